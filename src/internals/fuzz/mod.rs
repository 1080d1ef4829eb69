//! The bodies of the fuzz targets: the properties that must hold for any bytes. Contains the generator that turns a
//! fuzzer's bytes into segments and journals, and a reference implementation of the format to check the engine against.
//!
//! Not part of the crate's interface: the feature `unstable-internals` is for the package in `fuzz/`. The tests of this module run
//! the same bodies on every input of `fuzz/corpus` and `fuzz/crashes`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a violated property must panic")]

mod codec;
mod generator;
mod journal;
mod reading;
mod recovery;
mod reference;
mod repair;
mod scan;
#[cfg(test)]
mod tests;

pub use codec::{codec, encode};
pub use reading::reading;
pub use recovery::recovery;
pub use repair::maintenance;
pub use scan::scan;
