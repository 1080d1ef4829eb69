//! The disk, as the engine sees it: the one seam between the engine and the operating system.
//!
//! [`FileSystem`] does everything to files and names that is not a commit: opening, recovery, rotation, writing
//! ahead. [`CommitBackend`] is the commit path: it belongs to the writer thread and makes one buffer durable at a time.
//! What runs behind them is chosen once, at open; the rest of the engine cannot tell.

mod blocking;
mod buffer;
mod commit_files;
mod executor;
#[cfg(test)]
pub(crate) mod fault;
mod files;
mod held;
mod method;
mod uring;

use std::{
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::{Duration, Instant, SystemTime},
};

pub(crate) use blocking::BlockingBackend;
pub(crate) use buffer::CommitBuffer;
#[cfg(any(test, feature = "testkit"))]
pub(crate) use executor::Task;
pub(crate) use executor::{Executor, ThreadExecutor};
pub(crate) use files::{DEFAULT_FILE_MODE, OsFileSystem};
pub(crate) use held::HeldDir;
pub use method::SyncKind;
pub(crate) use method::{CommitMethod, CommitOptions};
pub(crate) use uring::{UringBackend, refusal_hint};

use rustix::io::Errno;

use crate::{
    format::scan::ReadAt,
    seeded_bugs::{Bug, seeded},
};

/// Offset and length of a direct write are multiples of this many bytes, and so is the address of its buffer.
pub(crate) const BLOCK_BYTES: u64 = 4096;

/// Files and names.
pub(crate) trait FileSystem: Send + Sync + fmt::Debug {
    /// The path made absolute, symbolic links resolved; `NotFound` where nothing stands there.
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf>;

    /// What stands at a path, symbolic links followed.
    fn kind(&self, path: &Path) -> io::Result<FileKind>;

    /// Creates missing directories; their names are durable before anything is written into them.
    fn create_dirs(&self, dir: &Path) -> io::Result<()>;

    /// Opens a file that only serves to be locked; creates it where it is missing.
    fn lock_file(&self, path: &Path) -> io::Result<Box<dyn LockFile>>;

    /// Opens a regular file. Whatever else stands there is an error, and never waited for.
    fn open(&self, path: &Path, how: OpenMode) -> io::Result<Arc<dyn FileHandle>>;

    /// Keeps a directory open: from then on every path directly in it is looked up there, wherever it is moved.
    fn hold_dir(&self, _dir: &Path) -> io::Result<HeldDir> {
        Ok(HeldDir::default())
    }

    /// Replaces `to`, atomically. Durable once the directory is synced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Renames, and fails with `AlreadyExists` where `to` is taken. `Unsupported`: the file system cannot, and nothing
    /// was changed. Durable once the directory is synced. See [`rename_to_free_name`] for what works everywhere.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name, which must be free. Durable once the directory is synced.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Returns the identity of what has this name; `None` where nothing has it. Follows no symbolic link.
    fn id_at(&self, path: &Path) -> io::Result<Option<FileId>>;

    /// The same, with the length of the file. Called once per commit: one question in place of two.
    fn named(&self, path: &Path) -> io::Result<Option<(FileId, u64)>>;

    /// Durable once the directory is synced.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// The time since some fixed moment, for intervals. It never goes back.
    fn elapsed(&self) -> Duration {
        static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        ORIGIN.elapsed()
    }

    /// What time it is, for the ages of files.
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    /// The names in a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>>;

    /// The commit path. Called on the writer thread, which keeps it.
    fn commit_backend(&self) -> io::Result<Box<dyn CommitBackend>>;

    /// What runs the work beside the commits.
    fn executor(&self) -> io::Result<Box<dyn Executor>>;
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    File,
    Directory,
    /// A device, a FIFO, a socket.
    Other,
}

/// How [`FileSystem::open`] opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenMode {
    /// For reading only, through a symbolic link if need be.
    ReadOnly,
    /// For reading and writing. A symbolic link is an error: what is written to is what is named.
    ReadWrite,
    /// For reading and writing; creates it empty. What stood there is an error.
    CreateNew,
}

/// A file, whatever its name: device and inode.
pub(crate) type FileId = (u64, u64);

/// A file that serves to be locked. Its lock ends with the process, however that ends.
pub(crate) trait LockFile: Send + fmt::Debug {
    fn id(&self) -> FileId;

    /// Takes the lock; `false` where somebody else has it.
    fn try_lock(&self) -> io::Result<bool>;

    fn unlock(&self) -> io::Result<()>;

    /// The process that has it, where that can be known.
    fn holder(&self) -> Option<u32>;
}

/// Real files, for whoever only reads.
pub(crate) fn os_file_system() -> Arc<dyn FileSystem> {
    Arc::new(OsFileSystem::default())
}

/// An open file. Reads and writes go through the page cache.
pub(crate) trait FileHandle: ReadAt + Send + Sync + fmt::Debug {
    fn len(&self) -> io::Result<u64>;

    /// Its length; `None` where it has no name any more.
    fn len_if_linked(&self) -> io::Result<Option<u64>> {
        self.len().map(Some)
    }

    /// Returns its identity, where files have one.
    fn id(&self) -> io::Result<Option<FileId>> {
        Ok(None)
    }

    /// When it was last written to, where that is known. Not to be asked of a file that is committed to: it would make
    /// the next commit slower (see `OsFileSystem`).
    fn modified(&self) -> io::Result<Option<SystemTime>> {
        Ok(None)
    }

    /// Writes all of `bytes`, or fails.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file, or extends it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes data and length durable.
    fn sync(&self) -> io::Result<()>;

    /// The same, without times and the like. A file that was opened for reading can be synced, too.
    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    /// Lets the page cache forget what is durable of this range: who writes there past it then need not make it forget.
    /// Only a wish.
    fn drop_page_cache(&self, _offset: u64, _bytes: u64) {}

    /// Takes a lock on the file itself, whatever its name; `false` where somebody else has it. Where files have no
    /// other names there is nothing to do.
    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn unlock(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The commit path of the writer thread.
pub(crate) trait CommitBackend: fmt::Debug {
    /// Looks up the files of this directory in its descriptor from then on.
    fn hold_dir(&mut self, _dir: HeldDir) {}

    /// Opens another file for commits, as `options` ask for and its file system allows.
    fn attach(&mut self, path: &Path, options: CommitOptions) -> io::Result<()>;

    /// How commits to the attached file are made durable.
    fn method(&self) -> CommitMethod;

    /// Opens the file that [`switch`](Self::switch) directs commits to, as `options` ask for and its file system allows.
    /// Replaces one that was prepared before.
    fn prepare(&mut self, path: &Path, options: CommitOptions) -> io::Result<()>;

    /// Directs commits to the prepared file. Needs nothing from the operating system: it cannot fail for lack of
    /// descriptors. Without a prepared file, commits fail from then on.
    fn switch(&mut self);

    /// Writes through the page cache from now on, with the same descriptor, and syncs each write with `fdatasync`.
    fn fall_back_to_buffered(&mut self) -> io::Result<()>;

    /// Whether writes bypass the page cache: offsets and lengths must then be multiples of [`BLOCK_BYTES`].
    fn is_direct(&self) -> bool {
        self.method().direct
    }

    /// Writes the buffer's bytes at `offset` and makes them durable, the file's length included.
    fn commit(&mut self, buffer: &mut CommitBuffer, offset: u64) -> Result<(), CommitError>;

    /// A [`commit`](Self::commit), and `meanwhile` once while it is under way: before it, where commits do not go on by
    /// themselves.
    fn commit_overlapped(
        &mut self,
        buffer: &mut CommitBuffer,
        offset: u64,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<(), CommitError> {
        meanwhile();
        self.commit(buffer, offset)
    }
}

/// Why a commit is not durable.
#[derive(Debug)]
pub(crate) enum CommitError {
    /// There was no room: nothing acknowledged is affected, and a later commit may succeed.
    StorageFull(io::Error),
    /// A call failed before anything was changed, for want of memory, say: a later commit may succeed.
    NotBegun { action: &'static str, source: io::Error },
    /// A write or a sync failed: what is on the disk is not known any more.
    Failed(io::Error),
}

impl CommitError {
    /// The verdict on a failed write, which had not been followed by a sync yet.
    pub(crate) fn of_write(error: io::Error) -> Self {
        if is_storage_full(&error) { Self::StorageFull(error) } else { Self::Failed(error) }
    }

    pub(crate) fn into_io(self) -> io::Error {
        let (Self::StorageFull(error) | Self::NotBegun { source: error, .. } | Self::Failed(error)) = self;
        error
    }
}

/// Why a file did not get a name that must be free.
#[derive(Debug)]
pub(crate) enum RenameError {
    /// A call failed before it changed anything: the same rename may be attempted again. `AlreadyExists`: another file has
    /// the new name. The file keeps its old name; after an attempt by links it may have the new one, too.
    Refused(io::Error),
    /// The file system can neither rename without replacing nor link. Nothing was changed.
    Unsupported(io::Error),
    /// The file may have the old name, the new one, or both.
    Unknown(io::Error),
}

impl RenameError {
    pub(crate) fn into_io(self) -> io::Error {
        let (Self::Refused(error) | Self::Unsupported(error) | Self::Unknown(error)) = self;
        error
    }

    fn of(error: io::Error) -> Self {
        if changed_no_name(&error) { Self::Refused(error) } else { Self::Unknown(error) }
    }
}

/// Renames a file within `dir` and never replaces another one. Where the file system cannot do that in one step the file
/// gets the new name as a second one, durably, before it loses the old one: a crash leaves it with both, which recovery
/// completes, and so does another attempt. Durable once the directory is synced.
pub(crate) fn rename_to_free_name(
    disk: &dyn FileSystem,
    dir: &Path,
    from: &Path,
    to: &Path,
) -> Result<(), RenameError> {
    if seeded(Bug::RenameReplaces) {
        return disk.rename(from, to).map_err(RenameError::Unknown);
    }
    match disk.rename_new(from, to) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => link_to_free_name(disk, from, to)?,
        // It has both names, from an earlier attempt.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_same(disk, from, to) => {}
        renamed => return renamed.map_err(RenameError::of),
    }
    if !seeded(Bug::UnlinkBeforeLinkIsDurable) {
        disk.sync_dir(dir).map_err(RenameError::Unknown)?;
    }
    disk.remove(from).map_err(RenameError::of)
}

fn link_to_free_name(disk: &dyn FileSystem, from: &Path, to: &Path) -> Result<(), RenameError> {
    match disk.link(from, to) {
        // An earlier attempt made the link, or a network file system sent the request twice.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_same(disk, from, to) => Ok(()),
        Err(error) if is_link_refused(&error) => {
            let text = format!("the file system can neither rename without replacing nor link: {error}");
            Err(RenameError::Unsupported(io::Error::new(error.kind(), text)))
        }
        linked => linked.map_err(RenameError::of),
    }
}

fn is_same(disk: &dyn FileSystem, one: &Path, other: &Path) -> bool {
    matches!((disk.id_at(one), disk.id_at(other)), (Ok(Some(one)), Ok(Some(other))) if one == other)
}

/// File systems without hard links return `EPERM` (or `EOPNOTSUPP`), and so does a kernel that protects links.
fn is_link_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported || Errno::from_io_error(error) == Some(Errno::PERM)
}

/// Returns whether a file still has this name. Where that cannot be found out (the directory may not be searched any
/// more) it is taken to have it.
///
/// # Errors
///
/// A shortage: the same question may be answered later.
pub(crate) fn is_at(disk: &dyn FileSystem, path: &Path, file: &dyn FileHandle) -> io::Result<bool> {
    match file.id() {
        Err(error) if is_shortage(&error) => Err(error),
        id => has_id(disk, path, id.ok().flatten()),
    }
}

/// The same, of a file whose identity is known.
pub(crate) fn has_id(disk: &dyn FileSystem, path: &Path, id: Option<FileId>) -> io::Result<bool> {
    match (id, disk.id_at(path)) {
        (_, Err(error)) if is_shortage(&error) => Err(error),
        (Some(id), Ok(found)) => Ok(found == Some(id)),
        _ => Ok(true),
    }
}

/// A full disk, a quota, or the process's file size limit.
pub(crate) fn is_storage_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Whether a call failed because the process or the kernel has too little of something for a moment.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    const SHORTAGES: [Errno; 6] =
        [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::AGAIN, Errno::INTR];
    Errno::from_io_error(error).is_some_and(|errno| SHORTAGES.contains(&errno))
}

/// Whether a `rename`, `link` or `unlink` that failed with this error is known to have changed nothing. The kernel returns
/// these errors while it looks the names up, checks permissions and reserves what it needs, before the first change. After
/// every other error the outcome is unknown: `EIO` comes from the middle of the change, and the answer of a server may have
/// been lost (`EINTR`, `ETIMEDOUT`, `ESTALE`; `ENOENT` is what a repeated request returns after it succeeded).
pub(crate) fn changed_no_name(error: &io::Error) -> bool {
    const BEFORE_ANY_CHANGE: [Errno; 20] = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::NOBUFS,
        Errno::AGAIN,
        Errno::ACCESS,
        Errno::PERM,
        Errno::ROFS,
        Errno::NOSPC,
        Errno::DQUOT,
        Errno::BUSY,
        Errno::EXIST,
        Errno::MLINK,
        Errno::NAMETOOLONG,
        Errno::XDEV,
        Errno::INVAL,
        Errno::ISDIR,
        Errno::LOOP,
        Errno::NOSYS,
        Errno::OPNOTSUPP,
    ];
    Errno::from_io_error(error).is_some_and(|errno| BEFORE_ANY_CHANGE.contains(&errno))
        || is_storage_full(error)
}

/// The system calls that commits use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub enum BackendKind {
    /// io_uring.
    #[serde(rename = "io_uring")]
    Uring,
    /// Blocking system calls on the writer's own thread.
    #[serde(rename = "blocking")]
    Blocking,
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring => "io_uring",
            Self::Blocking => "blocking",
        })
    }
}
