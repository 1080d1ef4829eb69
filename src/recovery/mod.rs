//! Recovery, when a journal is opened for writing: inspects the files ([`inspect`]), decides on one step ([`decide`](mod@decide),
//! which never opens a file) and applies it ([`apply`], which is the only part that changes files).
//!
//! This repeats until no step is left. So a crash between two steps is not a special case: the next open continues from there.

mod active;
mod apply;
mod decide;
mod inspect;
mod last_rotated;
mod next;
mod report;
mod rewrite;
mod scan_cache;
#[cfg(test)]
mod tests;
mod truncate;

use std::{io, path::Path, sync::Arc};

pub(crate) use decide::{ActiveState, JournalStates, NextState, RotatedState, Step, decide};
pub(crate) use inspect::JournalState;
pub(crate) use next::is_without_content;
pub use report::{OpenReport, TruncatedTail};
pub(crate) use scan_cache::ScanCache;

use crate::{
    JournalOptions, MiniStoreError, Result,
    error::is_shortage,
    format::{DataEnd, SegmentHeader},
    io::{FileHandle, FileSystem, OpenMode},
    journal::file_names::FileNames,
    journal::ownership::check_unlocked,
};

/// The recovered active segment. It ends in an LF (or the close marker and an LF) after its data.
#[derive(Debug)]
pub(crate) struct RecoveredJournal {
    pub(crate) file: Arc<dyn FileHandle>,
    pub(crate) header: SegmentHeader,
    pub(crate) data_end: DataEnd,
    /// Its commit groups have seals.
    pub(crate) checksummed: bool,
    /// The number of its records.
    pub(crate) records: u64,
    /// The number of the newest rotated segment; 0 if there is none.
    pub(crate) newest_rotated: u64,
    /// The sequence number of the oldest record; of the next one if there is no record.
    pub(crate) first_seq: u64,
    pub(crate) report: OpenReport,
}

/// Recovers the journal. The caller holds its lock.
///
/// # Errors
///
/// `Corrupt` and `MissingInitialState`, before any file is changed; errors of the operating system.
pub(crate) fn recover(
    fs: &dyn FileSystem,
    names: &FileNames,
    options: &JournalOptions,
) -> Result<RecoveredJournal> {
    let mut report = OpenReport::default();
    let mut synced = false;
    let mut cache = ScanCache::default();
    loop {
        let journal = JournalState::inspect(fs, names, &mut cache)?;
        let step = decide(journal.states(), options.recovery);
        if !matches!(step, Step::Fail(_)) {
            journal.check_seq_left(names)?;
            journal.check_older_copy(names, options.recovery)?;
        }
        // A failed recovery changes nothing, so the first sync comes after the first decision.
        if !synced && !matches!(step, Step::Fail(_)) {
            check_segments_unlocked(fs, names, &journal)?;
            sync_files(fs, names, &journal)?;
            synced = true;
            // Completes a rename by links: the new name is durable now, so the old one is removed.
            if !journal.old_names().is_empty() {
                apply::remove_names(fs, names, journal.old_names())?;
                continue;
            }
        }
        if let Some(original) = journal.original_of_active().filter(|_| !matches!(step, Step::Fail(_))) {
            apply::quarantine_older_copy(fs, names, original, &mut report)?;
            cache.forget(&names.active());
            continue;
        }
        match step {
            Step::Done if rewrite::rewrite_and_sync_tail(fs, names, &journal, &mut cache)? => {
                return apply::finish_open(fs, options, journal, report);
            }
            Step::Done => {}
            step => {
                let _span = tracing::debug_span!("step", ?step).entered();
                apply::apply_step(step, fs, names, options, &journal, &mut cache, &mut report)?;
                cache.invalidate(step, names);
            }
        }
    }
}

/// Returns an error if another store writes a file that recovery would promote, close or remove. (The active segment is already
/// locked.)
fn check_segments_unlocked(fs: &dyn FileSystem, names: &FileNames, journal: &JournalState) -> Result<()> {
    let id_at = |path: &Path| match fs.id_at(path) {
        Err(error) if is_shortage(&error) => Err(MiniStoreError::file(path, "stat")(error)),
        found => Ok(found.ok().flatten()),
    };
    let active = id_at(&names.active())?;
    let newest = journal.newest_rotated().map(Path::to_path_buf);
    for path in newest.into_iter().chain([names.next()]) {
        if id_at(&path)?.is_some_and(|id| active != Some(id)) {
            check_unlocked(fs, &path)?;
        }
    }
    Ok(())
}

/// Syncs the files and the directory before recovery relies on them: after a process is killed, its files still show bytes and names
/// that it never synced, and a power failure could lose those later. The older segments were synced before the newest was renamed.
fn sync_files(fs: &dyn FileSystem, names: &FileNames, journal: &JournalState) -> Result<()> {
    let _span = tracing::debug_span!("sync").entered();
    let fail = |action| MiniStoreError::file(names.dir(), action);
    let newest = journal.newest_rotated().map(Path::to_path_buf);
    let in_use = [Some(names.active()), Some(names.next()), newest];
    let mut any_file = false;
    for path in in_use.into_iter().flatten() {
        match fs.open(&path, OpenMode::ReadOnly) {
            Ok(file) => {
                any_file = true;
                file.sync().map_err(MiniStoreError::file(path, "sync"))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(MiniStoreError::file(path, "open")(error)),
        }
    }
    if any_file { fs.sync_dir(names.dir()).map_err(fail("sync the directory")) } else { Ok(()) }
}
