//! `ministore-uring` under the name and version that the family of `ministore` 0.1.7 asks for, so that a Cargo patch can put
//! it in the place of the original. It adds nothing: every name is a re-export.

pub use ministore_uring::*;
