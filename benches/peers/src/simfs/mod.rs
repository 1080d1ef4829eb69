//! A simulated disk that loses unsynced data: a file system in memory that knows the state after a power cut, fails
//! syncs on demand, and is mounted through FUSE so that any program can run on it.
//!
//! `model` contains the files and decides what survives; `fuse` serves the kernel's requests; `mount`
//! mounts it.

mod fuse;
pub mod model;
pub mod mount;
