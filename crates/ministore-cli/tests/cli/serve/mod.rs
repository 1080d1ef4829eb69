//! `ministore serve` with real clients.
#![expect(
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it could not run"
)]

mod acks;
mod auth;
mod fifo;
mod hostile;
mod limits;
mod load;
mod senders;
mod service;
mod signals;
mod systemd;
mod trouble;

pub(crate) use service::Service;
