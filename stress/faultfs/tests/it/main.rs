//! The store on file systems that fail, on full disks, and while other processes change its files.
//!
//! Tests that need the right to mount are skipped with a message. As root on a kernel with FUSE and loop devices all
//! tests run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod acks;
mod disk;
mod external_changes;
mod fixture;
mod full;
mod loop_disk;
mod power;
mod read_only;
mod reading;
mod rlimit;
mod rotation;
mod short;
mod stuck_io;
mod sweep;
mod sync;
mod workload;
