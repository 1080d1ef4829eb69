//! `ministore serve` with real clients.
#![expect(
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and reports what it skips"
)]

mod accounting;
mod acks;
mod auth;
mod faulty_clients;
mod fifo;
mod full_disk;
mod health;
mod limits;
mod load;
mod log_format;
mod monitoring;
mod protocol;
mod reload;
mod senders;
mod service;
mod signals;
mod store_failure;
mod systemd;

pub(crate) use service::ServeProcess;
