//! The published tests of `ministore` 0.1.7, compiled against this crate. They are inside its source file and use two
//! private names of it, which are defined here.

#![allow(
    clippy::all,
    unused_mut,
    reason = "the published tests are unchanged; `append` of 0.1.7 takes `&mut self`"
)]

/// The documentation examples of `ministore` 0.1.7.
#[cfg(doctest)]
#[doc = include_str!(concat!(env!("OUT_DIR"), "/examples.md"))]
pub mod examples {}

#[cfg(test)]
use ministore::*;

/// The first line of each journal file of `ministore` 0.1.7.
#[cfg(test)]
const JOURNAL_MAGIC_CURRENT: &str = "// MINISTORE JOURNAL v0.1.4\n";

/// The private function of `ministore` 0.1.7 that opens a journal with options. The public one calls it with the same
/// arguments.
#[cfg(test)]
trait OpenWithOptions: Sized {
    async fn open_with_options<P: AsRef<std::path::Path>>(path: P, options: MiniStoreOptions)
    -> Result<Self>;
}

#[cfg(test)]
impl OpenWithOptions for MiniStore {
    async fn open_with_options<P: AsRef<std::path::Path>>(
        path: P,
        options: MiniStoreOptions,
    ) -> Result<Self> {
        options.open(path).await
    }
}

include!(concat!(env!("OUT_DIR"), "/tests.rs"));
