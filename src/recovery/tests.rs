//! Tests every entry of the recovery table, and recovery interrupted after any of its operations.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod crash;
mod crash_states;
mod inspect;
mod properties;
mod scan_cache;
mod table;
