//! Opening a journal for writing: what is there ([`observe`]), what to do about it ([`decide`](mod@decide), which
//! never sees a file), and doing it ([`act`], the one place that cuts a file).
//!
//! Recovery goes step by step: look, decide on one step, take it, look again, until nothing is left to do. A crash
//! between two steps is therefore nothing new: the next open goes on from there.

mod apply;
mod decide;
mod inspect;
mod last_rotated;
mod numbering;
mod report;
mod scan_cache;
#[cfg(test)]
mod tests;

use std::{io, path::Path, sync::Arc};

pub(crate) use decide::{ActiveState, JournalStates, NextState, RotatedState, Step, decide};
pub(crate) use inspect::JournalState;
pub use report::{OpenReport, TruncatedTail};
pub(crate) use scan_cache::ScanCache;

use crate::{
    JournalOptions, MiniStoreError, Result,
    format::Chain,
    io::{FileHandle, FileSystem, OpenMode, is_shortage},
    journal::file_names::FileNames,
    journal::ownership::check_unlocked,
    seeded_bugs::{Bug, seeded},
};

/// The active segment, ready to be continued: it ends in LF behind `data_end` (or the closed mark and LF).
#[derive(Debug)]
pub(crate) struct RecoveredJournal {
    pub(crate) file: Arc<dyn FileHandle>,
    /// Behind its last seal, or header, or plain line.
    pub(crate) data_end: u64,
    pub(crate) chain: Chain,
    /// Its commit groups carry seals.
    pub(crate) sealed: bool,
    /// Its last seal.
    pub(crate) last_seal: Option<u32>,
    /// Records in it.
    pub(crate) records: u64,
    /// The number of the newest archived segment; 0 for none.
    pub(crate) newest_rotated: u64,
    /// The oldest record that is there; the next one where there is none.
    pub(crate) first_seq: u64,
    pub(crate) report: OpenReport,
}

/// Makes the journal whole and ready to be continued. The caller holds its lock.
///
/// # Errors
///
/// `Corrupt` and `MissingInitialState` change nothing; others are what the operating system says.
pub(crate) fn recover(
    disk: &dyn FileSystem,
    names: &FileNames,
    options: &JournalOptions,
) -> Result<RecoveredJournal> {
    let mut report = OpenReport::default();
    let mut settled = false;
    let mut cache = ScanCache::default();
    loop {
        let journal = JournalState::inspect(disk, names, &mut cache)?;
        let step = decide(journal.states(), options.recovery);
        // What is refused is not touched.
        if !settled && !matches!(step, Step::Fail(_)) {
            refuse_locked(disk, names, &journal)?;
            sync_files(disk, names, &journal)?;
            settled = true;
            // A rename by links is completed: the new name is durable now, and the file loses the old one.
            if !journal.old_names().is_empty() {
                apply::remove_names(disk, names, journal.old_names())?;
                continue;
            }
        }
        match step {
            Step::TruncateActive if seeded(Bug::RecoveryTruncatesTooLittle) => {
                return apply::finish_open(disk, options, journal, report);
            }
            Step::Done if apply::rewrite_and_sync_tail(disk, names, &journal, &mut cache)? => {
                return apply::finish_open(disk, options, journal, report);
            }
            Step::Done => {}
            step => {
                let _span = tracing::debug_span!("step", ?step).entered();
                apply::apply_step(step, disk, names, options, &journal, &mut cache, &mut report)?;
                cache.invalidate(step, names);
            }
        }
    }
}

/// Refuses to adopt, complete or remove a file that another store writes. (The active segment is locked already.)
fn refuse_locked(disk: &dyn FileSystem, names: &FileNames, journal: &JournalState) -> Result<()> {
    let id_at = |path: &Path| match disk.id_at(path) {
        Err(error) if is_shortage(&error) => Err(MiniStoreError::file(path, "stat")(error)),
        found => Ok(found.ok().flatten()),
    };
    let active = id_at(&names.active())?;
    let newest = journal.newest_rotated().map(Path::to_path_buf);
    for path in newest.into_iter().chain([names.next()]) {
        if id_at(&path)?.is_some_and(|id| active != Some(id)) {
            check_unlocked(disk, &path)?;
        }
    }
    Ok(())
}

/// Makes durable what is about to be trusted: after a process was killed its files are seen as it wrote them, names and
/// bytes that it never synced included, and a power cut may still take those away. The older segments were synced
/// before the newest got its archived name.
fn sync_files(disk: &dyn FileSystem, names: &FileNames, journal: &JournalState) -> Result<()> {
    let _span = tracing::debug_span!("sync").entered();
    let fail = |action| MiniStoreError::file(names.dir(), action);
    let newest = journal.newest_rotated().map(Path::to_path_buf);
    let in_use = [Some(names.active()), Some(names.next()), newest];
    let mut found = false;
    for path in in_use.into_iter().flatten() {
        match disk.open(&path, OpenMode::ReadOnly) {
            Ok(_) if seeded(Bug::TrustUnsyncedData) => found = true,
            Ok(file) => {
                found = true;
                file.sync().map_err(MiniStoreError::file(path, "sync"))?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(MiniStoreError::file(path, "open")(error)),
        }
    }
    if found && !seeded(Bug::TrustUnsyncedNames) {
        disk.sync_dir(names.dir()).map_err(fail("sync the directory"))
    } else {
        Ok(())
    }
}
