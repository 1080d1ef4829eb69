//! The guarantees that users of the crate rely on, on real files and on every backend: one module per guarantee.

// The exceptions for tests in clippy.toml cover test functions only, not their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod accepted;
mod access;
mod api;
mod api_surface;
mod append_builder;
mod backends;
mod backpressure;
mod cancellation;
mod compat;
mod crowded_directory;
mod exclusive;
mod executors;
mod fixtures;
mod follow;
mod foreign_files;
mod format;
#[cfg(feature = "hlog")]
mod hlog;
mod hostile;
mod idle_cpu;
mod interrupted_rotation;
mod json_header;
mod killed;
mod legacy_format;
mod live;
mod lookups;
mod model;
mod options;
mod other_readers;
mod reader;
mod readers;
mod recovery;
mod retention;
mod rotation;
mod shortage;
mod spin;
mod support;
mod sync_mode;
mod verify;
mod walmq;
