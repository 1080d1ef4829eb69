//! The bodies of the fuzz targets: what must hold whatever the bytes are. Owns the decoders that turn a fuzzer's bytes
//! into segments and journals, and a second, naive reader of the format to hold the real one against.
//!
//! Not part of the crate's interface: the feature `_fuzz` is for the package in `fuzz/`. The tests of this module put
//! every input of `fuzz/corpus` and `fuzz/crashes` through the same bodies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken promise is to be found")]

mod codec;
mod journal;
mod mending;
mod naive;
mod reading;
mod recovery;
mod scan;
mod script;
#[cfg(test)]
mod tests;

pub use codec::{codec, encode};
pub use mending::maintenance;
pub use reading::reading;
pub use recovery::recovery;
pub use scan::scan;
