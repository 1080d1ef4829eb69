//! Tests of the program `ministore` from outside: arguments and input in, output and an exit code out.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod snapshot;

mod atomic_transfer;
mod backup;
mod backup_disks;
mod backup_live;
mod bench;
mod bench_page;
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
mod import_repair;
mod ingest;
mod ingest_kills;
mod input_formats;
mod invalid_files;
mod manual;
mod on_error;
mod os_restrictions;
mod outputs;
mod progress;
mod public_names;
mod read_commands;
mod resume;
mod retention;
mod selection;
mod serve;
mod signals;
mod snapshots;
mod support;
mod terminal;
mod transfer;
mod unprintable;
