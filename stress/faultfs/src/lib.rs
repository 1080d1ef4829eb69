//! A FUSE file system that passes everything through to a directory and fails on command, for tests.
//!
//! The program `ministore-faultfs BACKING MOUNTPOINT` is a process of its own: a process that is blocked on a mount
//! which it serves itself cannot even be killed. It is told what to do over a Unix socket beside the mount point
//! and not through a file inside it: a control file would be a name in every listing of a directory under test,
//! and its own operations could be held back together with those they are to release.
//!
//! [`Faultfs`] starts it, talks to it and takes it down. A [`Rule`] says which operation on which file
//! is to fail, and how.

#![forbid(unsafe_code)]

mod client;
mod control;
mod daemon;
mod faults;
mod fs;
mod inodes;
mod protocol;
mod unsynced;

pub use client::Faultfs;
pub use daemon::run;
pub use protocol::{MountOptions, Op, Rule, RuleId};
