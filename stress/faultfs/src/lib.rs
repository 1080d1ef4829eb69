//! A FUSE file system that passes everything through to a directory and fails on command, for tests.
//!
//! The program `ministore-faultfs BACKING MOUNTPOINT` is a separate process, because a process that is blocked on a
//! mount that it serves itself cannot even be killed. It receives commands over a Unix socket next to the mount
//! point and not through a file inside it: a control file would appear in every listing of a directory under test,
//! and its own operations could be blocked together with those that they must release.
//!
//! [`Faultfs`] starts the program, sends it commands and ends it. A [`Rule`] selects an operation on a file and the
//! fault.

#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "a program of this repository, and its tests")]

mod client;
mod control;
mod daemon;
mod durability;
mod faults;
mod fs;
pub mod image;
mod inodes;
pub mod mounts;
mod protocol;
pub mod recording;

pub use client::{Faultfs, mark};
pub use daemon::run;
pub use protocol::{MountOptions, NameDurability, Op, Rule, RuleId};
