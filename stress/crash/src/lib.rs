//! Kills, forks, aborts and abandons processes that write a journal, and checks the journal they leave.
//!
//! The program `ministore-crash` is every process except the test itself: a test starts it in one of its roles,
//! exchanges lines with it over its standard streams ([`child`]), and ends it.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::exit,
    reason = "tests"
)]

pub mod child;
pub mod fork;
pub mod model;
pub mod record;
pub mod recovery;
pub mod rounds;
pub mod workdir;
