//! `ingest --listen`: a service, with real clients.

mod acks;
mod auth;
mod fifo;
mod hostile;
mod limits;
mod senders;
mod service;
mod signals;
mod systemd;
mod trouble;
