//! The recovery table, all of it; and recovery that is cut off between any two of its own steps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod crash;
mod inspect;
mod properties;
mod scan_cache;
mod table;
