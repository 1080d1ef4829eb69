//! Disks that lie: layers over the simulated disk that report success for what they have not done. Each lie has the effect
//! of a bug that a log must not have (a sync that the engine forgot, an acknowledgement that came too early), so the
//! simulation must find every one of them.

mod backend;

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use clap::ValueEnum;
use ministore_uring::internals::{
    CommitBackend, FileHandle, FileId, FileSystem, FileSystemLayer, OpenMode, ReadAt, ReadLimits,
};

use self::backend::LyingBackend;

/// What a disk lies about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum Lie {
    /// The sync of the directory after a segment got its rotated name.
    DirSyncAfterRotation,
    /// The syncs of the directory of a new journal, until the first commit.
    DirSyncAfterCreate,
    /// The sync of a directory in which this process changed nothing: names that an earlier process left.
    DirSyncOfOldNames,
    /// The sync between the two halves of a rename that is a link and an unlink.
    DirSyncAfterLink,
    /// The sync of a file in which this process changed nothing: bytes that an earlier process left.
    SyncOfOldBytes,
    /// The sync of the holds.
    SyncOfHolds,
    /// The sync of a commit through the page cache.
    SyncOfCachedCommits,
    /// The `fdatasync` after a direct write.
    SyncOfDirectCommits,
    /// `O_DSYNC` is accepted and ignored, by a file system that is trusted.
    DsyncHonored,
    /// A sync that failed succeeds when it is repeated, and is reported as a success.
    FailedSync,
    /// A commit is written when the next one is made.
    Written,
}

/// A file system that lies. One belongs to one incarnation of a store.
#[derive(Debug)]
pub struct LyingFs {
    inner: Arc<dyn FileSystem>,
    lie: Lie,
    names: Mutex<NameState>,
    /// Shared with the commit path, which sets it at the first commit.
    has_committed: Arc<Mutex<bool>>,
}

/// What this incarnation did to the directory.
#[derive(Debug, Default)]
struct NameState {
    /// The last change since the last sync.
    last_change: Option<NameChange>,
    /// A segment got its rotated name, and the directory was not synced since.
    has_rotated: bool,
    /// A segment was created before the first commit.
    has_created: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NameChange {
    Create,
    Rename,
    Link,
    Remove,
}

impl LyingFs {
    pub fn new(inner: Arc<dyn FileSystem>, lie: Lie) -> Self {
        Self { inner, lie, names: Mutex::default(), has_committed: Arc::default() }
    }

    fn names(&self) -> MutexGuard<'_, NameState> {
        lock(&self.names)
    }

    /// Notes a change of the name `to`, once it was made.
    fn note(&self, change: NameChange, to: &Path, made: io::Result<()>) -> io::Result<()> {
        if made.is_ok() {
            let mut names = self.names();
            names.last_change = Some(change);
            names.has_rotated |= matches!(change, NameChange::Rename | NameChange::Link) && is_rotated(to);
            names.has_created |= change == NameChange::Create && has_extension(to, "next");
        }
        made
    }

    /// Whether a sync of the directory is a lie now.
    fn skips_dir_sync(&self, names: &NameState) -> bool {
        match self.lie {
            // A link is followed by a sync of its own before the old name is removed.
            Lie::DirSyncAfterRotation => names.has_rotated && names.last_change != Some(NameChange::Link),
            Lie::DirSyncAfterCreate => names.has_created && !*lock(&self.has_committed),
            Lie::DirSyncOfOldNames => names.last_change.is_none(),
            Lie::DirSyncAfterLink => names.last_change == Some(NameChange::Link),
            _ => false,
        }
    }
}

impl FileSystemLayer for LyingFs {
    fn inner(&self) -> &dyn FileSystem {
        &*self.inner
    }

    fn open(&self, path: &Path, how: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let file = self.inner.open(path, how)?;
        if how == OpenMode::CreateNew {
            self.note(NameChange::Create, path, Ok(()))?;
        }
        let lies = match self.lie {
            Lie::SyncOfOldBytes => how != OpenMode::CreateNew,
            Lie::SyncOfHolds => path.to_string_lossy().ends_with(".holds.next"),
            _ => false,
        };
        let syncs_changes = self.lie == Lie::SyncOfOldBytes;
        Ok(if lies {
            Arc::new(UnsyncedFile { inner: file, syncs_changes, is_changed: AtomicBool::new(false) })
        } else {
            file
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(NameChange::Rename, to, self.inner.rename(from, to))
    }

    fn rename_noreplace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(NameChange::Rename, to, self.inner.rename_noreplace(from, to))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(NameChange::Link, to, self.inner.link(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.note(NameChange::Remove, path, self.inner.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut names = self.names();
        if self.skips_dir_sync(&names) {
            (names.last_change, names.has_rotated) = (None, false);
            return Ok(());
        }
        drop(names);
        let synced = self.inner.sync_dir(dir);
        if synced.is_ok() {
            let mut names = self.names();
            names.has_rotated &= names.last_change == Some(NameChange::Link);
            names.last_change = None;
        }
        synced
    }

    fn commit_backend(&self) -> io::Result<Box<dyn CommitBackend>> {
        Ok(Box::new(LyingBackend::new(&self.inner, self.lie, Arc::clone(&self.has_committed))?))
    }
}

/// A file whose syncs are lies.
#[derive(Debug)]
struct UnsyncedFile {
    inner: Arc<dyn FileHandle>,
    /// It is synced once this handle has changed it.
    syncs_changes: bool,
    is_changed: AtomicBool,
}

impl UnsyncedFile {
    fn has_bytes(&self, bytes: &[u8], offset: u64) -> bool {
        let mut found = vec![0; bytes.len()];
        matches!(self.inner.read_at(&mut found, offset), Ok(count) if count == bytes.len() && found == bytes)
    }

    /// Makes a change, unless it would change nothing.
    fn change(&self, changes_nothing: bool, change: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        if self.syncs_changes && changes_nothing {
            return Ok(());
        }
        self.is_changed.store(true, Ordering::Relaxed);
        change()
    }
}

impl ReadAt for UnsyncedFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(into, offset)
    }

    fn read_limits(&self) -> ReadLimits {
        self.inner.read_limits()
    }
}

impl FileHandle for UnsyncedFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn len_if_linked(&self) -> io::Result<Option<u64>> {
        self.inner.len_if_linked()
    }

    fn id(&self) -> io::Result<Option<FileId>> {
        self.inner.id()
    }

    fn modified(&self) -> io::Result<Option<SystemTime>> {
        self.inner.modified()
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(self.has_bytes(bytes, offset), || self.inner.write_at(bytes, offset))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(self.inner.len()? == len, || self.inner.set_len(len))
    }

    fn sync(&self) -> io::Result<()> {
        if self.syncs_changes && self.is_changed.load(Ordering::Relaxed) { self.inner.sync() } else { Ok(()) }
    }

    fn drop_page_cache(&self, offset: u64, bytes: u64) {
        self.inner.drop_page_cache(offset, bytes);
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.inner.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.inner.unlock()
    }
}

fn is_rotated(path: &Path) -> bool {
    path.extension().is_some_and(|number| number.to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
