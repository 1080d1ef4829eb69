//! The log on file systems that fail, on disks that are full, and under files that others change.
//!
//! What needs the right to mount says `SKIPPED` where it has none; as root on a kernel with FUSE and loop
//! devices everything runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod acks;
mod callers;
mod disk;
mod foreign;
mod full;
mod held;
mod limit;
mod loop_disk;
mod power;
mod read_only;
mod reading;
mod rig;
mod rotation;
mod short;
mod sweep;
mod sync;
