//! The program `ministore`, run as its users run it: arguments and bytes in, bytes and an exit code out.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod snapshot;

mod bench;
mod browser;
mod colour;
mod compare;
mod compressed;
mod damage;
mod doctor;
mod errors;
mod follow;
mod full_disk;
mod global_options;
mod hostile;
mod ingest;
mod killed;
mod manual;
mod on_error;
mod page;
mod progress;
mod public_names;
mod reading;
mod refused;
mod resume;
mod retention;
mod selection;
mod serve;
mod signals;
mod snapshots;
mod support;
mod terminal;
mod transfer;
mod whole;
