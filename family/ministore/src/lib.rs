//! `ministore-uring` under the name and version that the dependents of `ministore` 0.1.7 require, so that a Cargo patch
//! can replace `ministore` with it. Every name is a re-export.

pub use ministore_uring::*;
