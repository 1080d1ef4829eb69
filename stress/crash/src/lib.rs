//! Kills, forks, aborts and abandons processes that write a journal, and looks at what is left.
//!
//! The program `killed` is every process but the first: the tests start it in one of its roles ([`child`]), talk to it
//! over its standard streams, and end it.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, clippy::exit, reason = "tests")]

pub mod child;
pub mod entry;
pub mod fork;
pub mod model;
pub mod place;
pub mod random;
pub mod recovery;
pub mod rounds;
