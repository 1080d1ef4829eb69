//! Owns how a journal is opened for writing from the command line.

use std::path::Path;

use clap::{Args, ValueEnum};
use ministore_uring::{Backend, JournalOptions, MiniStore, Stats, SyncMode};

use crate::exit::Failure;

/// The backends, as they are named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendName {
    /// io_uring where the system allows it, else blocking calls
    Auto,
    /// io_uring, or an error
    Uring,
    /// Plain blocking system calls
    Blocking,
}

impl BackendName {
    pub(crate) fn backend(self) -> Backend {
        match self {
            Self::Auto => Backend::Auto,
            Self::Uring => Backend::Uring,
            Self::Blocking => Backend::Blocking,
        }
    }

    /// As it is written on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// The sync modes, as they are named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SyncModeName {
    /// `dsync` for direct writes on ext4, xfs and btrfs, otherwise `fdatasync`
    Auto,
    /// One write with O_DSYNC on ext4, xfs and btrfs; elsewhere `fdatasync`
    Dsync,
    /// One write, then fdatasync
    Fdatasync,
}

impl SyncModeName {
    pub(crate) fn mode(self) -> SyncMode {
        match self {
            Self::Auto => SyncMode::Auto,
            Self::Dsync => SyncMode::Dsync,
            Self::Fdatasync => SyncMode::Fdatasync,
        }
    }
}

/// The options shared by every subcommand that writes records.
#[derive(Debug, Clone, Args)]
pub(crate) struct WriteArgs {
    /// What carries the writes to the disk
    #[arg(long, value_enum, default_value_t = BackendName::Auto)]
    pub(crate) backend: BackendName,

    /// How commits are made durable
    #[arg(long, value_enum, default_value_t = SyncModeName::Auto)]
    pub(crate) sync_mode: SyncModeName,

    /// Do not write the file ahead of its records (for copy-on-write file systems, tiny disks, `tail -f`)
    #[arg(long)]
    pub(crate) no_write_ahead: bool,
}

impl WriteArgs {
    pub(crate) fn options(&self) -> JournalOptions {
        JournalOptions::new()
            .backend(self.backend.backend())
            .sync_mode(self.sync_mode.mode())
            .write_ahead(!self.no_write_ahead)
    }
}

/// Opens for writing and tells on standard error what recovery had to do.
pub(crate) fn open(options: JournalOptions, journal: &Path) -> Result<MiniStore, Failure> {
    let store = options.open_blocking(journal).map_err(|error| Failure::store(journal, &error))?;
    if let Some(cut) = &store.open_report().cut {
        let kept =
            cut.kept_in.as_ref().map_or_else(String::new, |path| format!("; kept in {}", path.display()));
        crate::exit::warn(format_args!(
            "{}: cut {} unacknowledged bytes at byte {} ({}){kept}",
            cut.segment.display(),
            cut.bytes,
            cut.offset,
            cut.reason
        ));
    }
    Ok(store)
}

/// What carried the writes, and how, for people.
pub(crate) fn carrier(stats: &Stats) -> String {
    let how = if stats.direct { "direct writes" } else { "writes through the page cache" };
    format!("{}, {how}, {}", stats.backend, stats.sync_mode)
}
