//! The same faults, and the same loads, on ministore-uring and other write-ahead logs.
//!
//! Each log is used in the way that its own documentation calls the most durable, through one small trait
//! ([`log_under_test::LogUnderTest`]). The module that calls a crate documents what the crate promises, and where it
//! says so.

pub mod faults;
pub mod log_under_test;
pub mod logs;
pub mod speed;
pub mod versions;
