//! Opens a journal for writing from the command line.

use std::{fmt::Display, path::Path, time::Duration};

use clap::{
    Args,
    builder::{BoolishValueParser, PossibleValue, PossibleValuesParser, TypedValueParser},
};
use ministore_uring::{Backend, Header, JournalOptions, MiniStore, SyncMode};

use crate::{exit::CliError, ownership, units};

/// Parses a backend by the library's names.
pub(crate) fn backend_parser() -> impl TypedValueParser<Value = Backend> {
    PossibleValuesParser::new([
        PossibleValue::new("auto").help("io_uring if the system allows it, otherwise blocking system calls"),
        PossibleValue::new("io_uring").help("io_uring, or fail"),
        PossibleValue::new("tokio-uring")
            .help("io_uring through the crate tokio-uring, always with fdatasync, or fail"),
        PossibleValue::new("blocking").help("Blocking system calls"),
    ])
    .try_map(|name| name.parse())
}

/// Parses a sync mode by the library's names.
pub(crate) fn sync_mode_parser() -> impl TypedValueParser<Value = SyncMode> {
    PossibleValuesParser::new([
        PossibleValue::new("auto")
            .help("`dsync` for direct I/O on ext4, xfs and btrfs, otherwise `fdatasync`"),
        PossibleValue::new("dsync")
            .help("One write with O_DSYNC on ext4, xfs and btrfs; elsewhere `fdatasync`"),
        PossibleValue::new("fdatasync").help("One write and one fdatasync"),
    ])
    .try_map(|name| name.parse())
}

/// Parses a kind of header by the library's names.
pub(crate) fn header_parser() -> impl TypedValueParser<Value = Header> {
    PossibleValuesParser::new([
        PossibleValue::new("comment").help("A line that starts with `//`, as ministore 0.1.7 writes it"),
        PossibleValue::new("json")
            .help("A JSON object: DuckDB, pandas, Polars and jq read the file from its first byte"),
    ])
    .try_map(|name| name.parse())
}

/// The options of a journal that records are appended to.
#[derive(Debug, Clone, Args)]
#[command(mut_args(|arg| arg.hide_env_values(true)))]
pub(crate) struct JournalArgs {
    /// Start a new segment when the current one reaches this size (64MiB, 500M, 2G, …)
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, default_value = "64MiB", env = "MINISTORE_MAX_SEGMENT_BYTES")]
    pub(crate) max_segment_bytes: u64,

    /// Keep at most N segments; DELETES the oldest [default: keep all]
    #[arg(long, value_name = "N", env = "MINISTORE_MAX_SEGMENTS")]
    pub(crate) max_segments: Option<usize>,

    /// Keep at most this many bytes of segments (100MiB, 20G, …); DELETES the oldest [default: keep all]
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, env = "MINISTORE_MAX_TOTAL_BYTES")]
    pub(crate) max_total_bytes: Option<u64>,

    /// Keep segments for this long (36h, 7d, …); DELETES those whose newest record is older [default: keep all]
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration, env = "MINISTORE_MAX_AGE")]
    pub(crate) max_age: Option<Duration>,

    /// The I/O interface for writes
    #[arg(long, value_parser = backend_parser(), default_value = "auto", env = "MINISTORE_BACKEND")]
    pub(crate) backend: Backend,

    /// How commits are made durable
    #[arg(long, value_parser = sync_mode_parser(), default_value = "auto", env = "MINISTORE_SYNC_MODE")]
    pub(crate) sync_mode: SyncMode,

    /// The first line of new segments
    #[arg(long, value_parser = header_parser(), default_value = "comment", env = "MINISTORE_HEADER")]
    pub(crate) header: Header,

    /// Do not preallocate segments (for copy-on-write file systems, small disks, `tail -f`)
    #[arg(long, value_parser = BoolishValueParser::new(), env = "MINISTORE_NO_PREALLOCATE")]
    pub(crate) no_preallocate: bool,

    /// Never spin for a commit: less processor time, higher latency
    #[arg(long, value_parser = BoolishValueParser::new(), env = "MINISTORE_NO_SPIN")]
    pub(crate) no_spin: bool,

    /// Write no checksums: the closed file is plain lines, and damage is not detected
    #[arg(long, value_parser = BoolishValueParser::new(), env = "MINISTORE_NO_CHECKSUMS")]
    pub(crate) no_checksums: bool,
}

impl JournalArgs {
    pub(crate) fn options(&self) -> JournalOptions {
        JournalOptions::new()
            .backend(self.backend)
            .sync_mode(self.sync_mode)
            .header(self.header)
            .preallocate(!self.no_preallocate)
            .spin(!self.no_spin)
    }

    /// Whether old segments may be deleted.
    pub(crate) fn deletes(&self) -> bool {
        self.max_segments.is_some() || self.max_total_bytes.is_some() || self.max_age.is_some()
    }
}

/// Opens a journal for writing and reports on standard error what recovery truncated.
pub(crate) fn open(options: JournalOptions, journal: &Path) -> Result<MiniStore, CliError> {
    ownership::check_journal_name(journal)?;
    let store = options.open_blocking(journal).map_err(|error| CliError::store(journal, &error))?;
    if let Some(tail) = &store.open_report().truncated {
        let kept =
            tail.saved_to.as_ref().map_or_else(String::new, |path| format!("; saved to {}", path.display()));
        crate::exit::warn(format_args!(
            "{}: truncated {} bytes at byte {} ({}){kept}",
            tail.segment.display(),
            tail.bytes,
            tail.offset,
            tail.reason
        ));
    }
    Ok(store)
}

/// Describes how writes reach the disk.
pub(crate) fn write_path(backend: impl Display, direct_io: bool, sync_mode: impl Display) -> String {
    let how = if direct_io { "direct I/O" } else { "buffered writes" };
    format!("{backend}, {how}, {sync_mode}")
}
