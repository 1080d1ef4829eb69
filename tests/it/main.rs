//! What users of the crate can rely on, on real files and on both backends: one module per guarantee.

// Clippy's leave for tests (clippy.toml) covers test functions only, not what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod abandoned;
mod accepted;
mod access;
mod api;
mod backends;
mod backpressure;
mod drop_in;
mod entries;
mod exclusive;
mod executors;
mod fixtures;
mod follow;
mod foreign_files;
mod format;
#[cfg(feature = "hlog")]
mod hlog;
mod hostile;
mod idle;
mod killed;
mod live;
mod lookups;
mod model;
mod options;
mod plain;
mod reader;
mod readers;
mod recovery;
mod retention;
mod rotation;
mod shortage;
mod support;
mod surface;
mod sync_mode;
mod unfinished;
mod walmq;
