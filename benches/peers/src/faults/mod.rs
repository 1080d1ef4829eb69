//! The faults: one module each, and what they share.

pub mod changed_byte;
pub mod child;
pub mod directory_sync;
pub mod disk_full;
pub mod failed_sync;
pub mod judge;
pub mod killed;
pub mod logfiles;
pub mod missing_file;
pub mod power_cut;
pub mod random;
pub mod report;
pub mod served;
pub mod stuck_sync;
pub mod template;
pub mod torn_tail;
pub mod two_writers;
pub mod wire;

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::contestant::{Kind, Settings};
use report::Table;

/// What every fault is run with.
#[derive(Debug)]
pub struct Context {
    /// Who takes part.
    pub kinds: Vec<Kind>,
    /// Where the logs live: a directory on a real file system, emptied afterwards.
    pub dir: PathBuf,
    /// What decides everything random.
    pub seed: u64,
    /// How much is tried: the number of kills, and of power cuts; the others follow.
    pub rounds: u64,
    /// How many callers append at once before a kill or a power cut.
    pub appenders: usize,
}

impl Context {
    /// A new directory for one contestant's logs under one fault.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn fresh(&self, fault: &str, kind: Kind) -> io::Result<PathBuf> {
        let dir = self.dir.join(fault).join(kind.name());
        remove(&dir)?;
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    }
}

/// Removes a directory that may be missing.
///
/// # Errors
///
/// It cannot be removed.
pub fn remove(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Files large enough that a small log has one.
pub const ONE_FILE: Settings = Settings { segment_bytes: 64 << 20 };

/// Files so small that a small log has several.
pub const SMALL_FILES: Settings = Settings { segment_bytes: 4 << 10 };

/// A fault: its name on the command line, and what runs it.
pub type Fault = (&'static str, fn(&Context) -> io::Result<Table>);

/// All of them, in the order of the report.
pub const ALL: [Fault; 10] = [
    ("killed", killed::run),
    ("power-cut", power_cut::run),
    ("failed-sync", failed_sync::run),
    ("disk-full", disk_full::run),
    ("torn-tail", torn_tail::run),
    ("changed-byte", changed_byte::run),
    ("missing-file", missing_file::run),
    ("two-writers", two_writers::run),
    ("directory-sync", directory_sync::run),
    ("stuck-sync", stuck_sync::run),
];
