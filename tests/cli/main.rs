//! The program `ministore`, run as its users run it: arguments and bytes in, bytes and an exit code out.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod compressed;
mod damage;
mod errors;
mod follow;
mod full_disk;
mod hostile;
mod ingest;
mod killed;
mod on_error;
mod progress;
mod reading;
mod refused;
mod resume;
mod retention;
mod serve;
mod signals;
mod support;
