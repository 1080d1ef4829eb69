//! A disk that forgets: a file system in memory that knows what of it would survive a power cut, fails syncs on demand, and
//! is mounted through FUSE so that any program can be run on it.
//!
//! `model` holds the files and decides what survives, `mounted` is the kernel's side of it.

pub mod model;
pub mod mounted;
