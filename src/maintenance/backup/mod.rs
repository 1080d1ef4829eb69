//! Backups of a journal, which may be open for writing, and the way back.
//!
//! A backup is a journal. Its files are staged first ([`stage`]): copied, synced and verified under other names. Then
//! they are compared with what the directory contains ([`existing`]) and published one by one ([`publish`]), so that
//! whenever a process is killed the directory contains a sound journal that ends where this one did at some moment.

mod compare;
mod copy;
mod existing;
mod pieces;
mod publish;
mod report;
mod stage;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

use rustix::io::Errno;

use crate::{
    MiniStoreError, Reader, Result,
    io::{FileSystem, os_file_system},
    journal::{
        file_names::FileNames,
        holds,
        lock::{JournalLock, PendingRelease},
        ownership::{check_after_locking, check_before_opening, check_unlocked, not_owned},
        segment_set::SegmentSet,
    },
};
use existing::ExistingFiles;
use pieces::{check_links, report_of};
pub use report::{BackupMode, BackupReport};

/// The content of the active file while a journal is being restored. It is no header: no writer opens the journal, and every
/// reader of all records ends with an error.
const PLACEHOLDER: &[u8] = b"this journal is being restored: run 'ministore restore' again\n";

/// Backs up the journal at `path` to the directory `to`, which then contains a sound, closed journal of the same name:
/// all records up to one that was the newest during the call, with their numbers, and the [holds](crate::MiniStore::hold).
/// The journal may be open for writing, in this process or another; it is only read.
///
/// A later call with the same directory adds what is new. Rotated segments that are there already, and those that the
/// journal has deleted since, stay. Every file is synced and verified before it gets its name; those that stay are
/// compared, but not read again: that is what [`verify`](super::verify()) is for.
///
/// A segment that retention deletes during the call is left out, together with those before it.
///
/// # Errors
///
/// Nothing that the directory contained is lost.
///
/// * [`Corrupt`](MiniStoreError::Corrupt): the journal is damaged, or a segment is missing.
/// * [`NotOwned`](MiniStoreError::NotOwned): the directory contains something else with a name of this journal, records that
///   the journal does not have, or older records that these do not continue, because retention deleted those between.
/// * [`Locked`](MiniStoreError::Locked): another process has the backup open.
/// * [`InvalidArgument`](MiniStoreError::InvalidArgument): the directory is that of the journal.
/// * [`StorageFull`](MiniStoreError::StorageFull), [`Io`](MiniStoreError::Io). A later call continues: complete copies
///   remain as `NAME.staged-…`.
///
/// ```
/// # fn main() -> ministore_uring::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("journal.jsonl");
/// # let copies = dir.path().join("copies");
/// use ministore_uring::{JournalOptions, maintenance::{BackupMode, backup, restore}};
///
/// let store = JournalOptions::new().open_blocking(&path)?;
/// store.blocking().append_batch([1, 2, 3])?;
/// let report = backup(&path, &copies, BackupMode::Share)?; // the store stays open
/// assert_eq!((report.first_seq, report.last_seq), (1, 3));
/// restore(&report.path, dir.path().join("restored.jsonl"))?;
/// # Ok(())
/// # }
/// ```
pub fn backup(path: impl AsRef<Path>, to: impl AsRef<Path>, mode: BackupMode) -> Result<BackupReport> {
    let fs = os_file_system();
    let from = FileNames::resolve(&*fs, path.as_ref())?;
    let source = take_source(&*fs, &from)?;
    let to = names_in(&*fs, to.as_ref(), &from)?;
    let sharing = match mode {
        BackupMode::Share => Sharing::Inodes,
        BackupMode::Copy => Sharing::Nothing,
    };
    Transfer { fs, from, to, sharing, is_restore: false }.run(source)
}

/// Restores the journal at `backup`, which may be any journal that is not open for writing, as a new journal at `path`.
/// Its records keep their numbers; the holds are restored, too. The backup is only read, and shares no file with the
/// new journal (blocks it may share: a reflink).
///
/// The journal is complete with its last file. Until then it cannot be opened for writing, replaying it is an error, and
/// calling this again continues.
///
/// # Errors
///
/// * [`Io`](MiniStoreError::Io) of kind `AlreadyExists`: there is a journal at `path`.
/// * [`Corrupt`](MiniStoreError::Corrupt): the backup is damaged.
/// * As [`backup`] and [`JournalOptions::open`](crate::JournalOptions::open) for the new journal.
pub fn restore(backup: impl AsRef<Path>, path: impl AsRef<Path>) -> Result<BackupReport> {
    let (fs, path) = (os_file_system(), path.as_ref());
    let from = FileNames::resolve(&*fs, backup.as_ref())?;
    let source = take_source(&*fs, &from)?;
    let to = FileNames::resolve(&*fs, path)?;
    fs.create_dirs(to.dir()).map_err(MiniStoreError::file(to.dir(), "create the directory"))?;
    let to = FileNames::resolve(&*fs, path)?;
    Transfer { fs, from, to, sharing: Sharing::Blocks, is_restore: true }.run(source)
}

/// What a copy may share with its original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// Everything: it may be a hard link.
    Inodes,
    /// The blocks on the disk, until they are written to.
    Blocks,
    Nothing,
}

/// A journal that is copied to another directory or name.
#[derive(Debug)]
struct Transfer {
    fs: Arc<dyn FileSystem>,
    from: FileNames,
    to: FileNames,
    sharing: Sharing,
    is_restore: bool,
}

impl Transfer {
    fn run(self, source: SegmentSet) -> Result<BackupReport> {
        let fs = &*self.fs;
        self.check_apart(&source)?;
        let _lock = lock(fs, &self.to)?;
        let held = holds::load(fs, &self.from)?;
        let existing = ExistingFiles::list(fs, &self.to)?;
        if self.is_restore && !existing.is_free(fs, &self.to)? {
            return Err(MiniStoreError::file(self.to.active(), "create the new journal")(
                Errno::EXIST.into(),
            ));
        }
        let pieces = self.stage_all(source, &existing)?;
        check_links(&pieces)?;
        let extended = existing.check_continued(fs, &pieces)?;
        self.publish(&pieces, &existing, extended.as_deref(), &held)?;
        self.remove_staged(|_| true)?;
        let reader = Reader::new(Arc::clone(&self.fs), &self.to.active());
        let (first_seq, last_seq) = (reader.first_seq()?, reader.last_seq()?);
        Ok(BackupReport { path: self.to.active(), first_seq, last_seq, ..report_of(&pieces) })
    }

    /// Rejects a target that shares names or files with the journal.
    fn check_apart(&self, source: &SegmentSet) -> Result<()> {
        let Self { from, to, .. } = self;
        let (old, new) = (from.active(), to.active());
        let id = self.fs.id_at(&new).map_err(MiniStoreError::file(&new, "stat"))?;
        let is_active = source.active.as_ref().is_some_and(|(_, file)| {
            // The same directory by another path, as a bind mount has it.
            id.is_some() && file.id().ok().flatten() == id
        });
        if is_active || from.is_journal_file(&new) || to.is_journal_file(&old) {
            let (old, new, dir) = (old.display(), new.display(), to.dir().display());
            return Err(MiniStoreError::InvalidArgument(match self.is_restore {
                true => format!("{old} and {new} cannot be two journals"),
                false => format!("{dir} is the directory of the journal {old}: name another one"),
            }));
        }
        Ok(())
    }

    /// Removes the copies that were not published, as far as `is_removed` says.
    fn remove_staged(&self, is_removed: impl Fn(&Path) -> bool) -> Result<()> {
        let listed =
            self.fs.list(self.to.dir()).map_err(MiniStoreError::file(self.to.dir(), "list the directory"))?;
        let staged = self.to.staged_in(&listed);
        staged.iter().filter(|path| is_removed(path)).try_for_each(|path| self.remove(path))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.fs.remove(path).map_err(MiniStoreError::file(path, "remove"))
    }
}

/// Returns the segments of a journal that exists.
fn take_source(fs: &dyn FileSystem, names: &FileNames) -> Result<SegmentSet> {
    let source = SegmentSet::take(fs, names)?;
    if source.rotated.is_empty() && source.active.is_none() {
        return Err(MiniStoreError::file(names.active(), "find the journal")(Errno::NOENT.into()));
    }
    Ok(source)
}

/// Returns the names of the backup in a directory, which is created.
fn names_in(fs: &dyn FileSystem, dir: &Path, journal: &FileNames) -> Result<FileNames> {
    let created = fs.create_dirs(dir).and_then(|()| fs.canonicalize(dir));
    let dir = created.map_err(MiniStoreError::file(dir, "create the directory"))?;
    let path = dir.join(journal.active().file_name().unwrap_or_default());
    let names = FileNames::resolve(fs, &path)?;
    if names.active() == path {
        return Ok(names);
    }
    let reason = "it is a symbolic link, and a backup contains its files itself: name another directory";
    Err(not_owned(&path, reason.to_owned()))
}

/// Locks the target as its writer would: it is a journal.
fn lock(fs: &dyn FileSystem, names: &FileNames) -> Result<JournalLock> {
    names.check_length()?;
    check_before_opening(fs, names)?;
    let is_new = matches!(fs.id_at(&names.lock()), Ok(None));
    let lock = JournalLock::acquire(fs, names, PendingRelease::default())?;
    if is_new && names.owner().is_some() {
        check_after_locking(fs, names)?;
    }
    check_unlocked(fs, &names.active())?;
    Ok(lock)
}
