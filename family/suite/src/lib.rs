//! The published tests of `ministore` 0.1.7, against this crate. They stand in the original's source, beside what they
//! test, and name two things that only stand there: those are given here, and nothing else.

#![allow(
    clippy::all,
    unused_mut,
    reason = "the original's tests as they are; its `append` takes `&mut self`"
)]

/// The examples of its documentation.
#[cfg(doctest)]
#[doc = include_str!(concat!(env!("OUT_DIR"), "/examples.md"))]
pub mod examples {}

#[cfg(test)]
use ministore::*;

/// What the original begins every file with.
#[cfg(test)]
const JOURNAL_MAGIC_CURRENT: &str = "// MINISTORE JOURNAL v0.1.4\n";

/// The original's private way to open with options: its public one calls it with the same arguments.
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
