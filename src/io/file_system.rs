//! [`FileSystem`]: everything that the engine does to files and names, except for commits.

use std::{
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::{Duration, Instant, SystemTime},
};

use super::{CommitBackend, Executor, OpenDir};
use crate::{format::scan::ReadAt, options::ReadLimits};

/// Files and names.
pub trait FileSystem: Send + Sync + fmt::Debug {
    /// Returns the path made absolute, with symbolic links resolved; `NotFound` if nothing has this name.
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf>;

    /// Returns the type of the file at a path, symbolic links followed.
    fn kind(&self, path: &Path) -> io::Result<FileKind>;

    /// Creates missing directories. Their names are durable when it returns, before anything is written into them.
    fn create_dirs(&self, dir: &Path) -> io::Result<()>;

    /// Opens a file that is only used as a lock; creates it if it is missing.
    fn lock_file(&self, path: &Path) -> io::Result<Box<dyn LockFile>>;

    /// Opens a regular file. Any other type of file is an error, and the call does not block on it.
    fn open(&self, path: &Path, how: OpenMode) -> io::Result<Arc<dyn FileHandle>>;

    /// Opens a file for reading; `None` if nothing has this name.
    fn open_if_exists(&self, path: &Path) -> io::Result<Option<Arc<dyn FileHandle>>> {
        match self.open(path, OpenMode::ReadOnly) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Opens a directory and keeps it open: from then on every path directly in it is looked up in its descriptor, even
    /// after the directory was moved.
    fn keep_dir_open(&self, _dir: &Path) -> io::Result<OpenDir> {
        Ok(OpenDir::default())
    }

    /// Renames a file, and replaces `to` atomically. Durable once the directory is synced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Renames a file, and fails with `AlreadyExists` if `to` exists. `Unsupported` means that the file system cannot
    /// do that, and that nothing was changed. Durable once the directory is synced.
    /// [`rename_to_free_name`](super::rename_to_free_name) works on every file system.
    fn rename_noreplace(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name, which must be free. Durable once the directory is synced.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Creates `to` with the content of `from`, of which it shares the blocks until one of them is written to (a reflink).
    /// `Unsupported` means that the file system cannot do that; after any error there is no file `to`.
    fn clone_file(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Returns the identity of the file with this name; `None` if there is none. Follows no symbolic link.
    fn id_at(&self, path: &Path) -> io::Result<Option<FileId>>;

    /// Returns the identity and the length in bytes of the file with this name. Called once per commit: one system call
    /// in place of two.
    fn id_and_len(&self, path: &Path) -> io::Result<Option<(FileId, u64)>>;

    /// Removes a name. Durable once the directory is synced.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Returns the time since a fixed moment, for intervals. It is monotonic.
    fn elapsed(&self) -> Duration {
        static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        ORIGIN.elapsed()
    }

    /// Returns the wall-clock time, for the ages of files.
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    /// Returns the names in a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>>;

    /// Returns the sizes in which its files are read.
    fn read_limits(&self) -> ReadLimits {
        ReadLimits::default()
    }

    /// Returns the commit path. Called on the writer thread, which owns it from then on.
    fn commit_backend(&self) -> io::Result<Box<dyn CommitBackend>>;

    /// Returns the executor of background work.
    fn executor(&self) -> io::Result<Box<dyn Executor>>;
}

/// The type of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    File,
    Directory,
    /// A device, a FIFO, a socket.
    Other,
}

/// How [`FileSystem::open`] opens a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading only. A symbolic link is followed.
    ReadOnly,
    /// For reading and writing. A symbolic link is an error: only the named file itself is ever written to.
    ReadWrite,
    /// For reading and writing; creates it empty. An existing file is an error.
    CreateNew,
}

/// The identity of a file, whatever its name: device and inode.
pub type FileId = (u64, u64);

/// A file that is used as a lock. The lock ends with the process, however that ends.
pub trait LockFile: Send + fmt::Debug {
    fn id(&self) -> FileId;

    /// Acquires the lock; returns `false` if another owner has it.
    fn try_lock(&self) -> io::Result<bool>;

    fn unlock(&self) -> io::Result<()>;

    /// Returns the process that holds the lock, if that can be determined.
    fn holder(&self) -> Option<u32>;
}

/// An open file. Reads and writes use the page cache.
pub trait FileHandle: ReadAt + Send + Sync + fmt::Debug {
    fn len(&self) -> io::Result<u64>;

    /// Returns its length; `None` if it has no name any more.
    fn len_if_linked(&self) -> io::Result<Option<u64>> {
        self.len().map(Some)
    }

    /// Returns its identity, if files have one.
    fn id(&self) -> io::Result<Option<FileId>> {
        Ok(None)
    }

    /// Returns when it was last written to, if that is known. Must not be called on a file that is committed to: the
    /// call slows the next commit down (see `OsFileSystem`).
    fn modified(&self) -> io::Result<Option<SystemTime>> {
        Ok(None)
    }

    /// Writes all of `bytes`, or fails.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Truncates the file, or extends it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes data and length durable.
    fn sync(&self) -> io::Result<()>;

    /// Makes data and length durable, but no times. Works on a file that was opened for reading, too.
    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    /// Returns whether several threads may read it at once, in any order. Not so in a simulation, which repeats every operation.
    fn allows_parallel_reads(&self) -> bool {
        false
    }

    /// Drops the durable pages of this range from the page cache, so that direct writes there need not invalidate them.
    /// Only a hint.
    fn drop_page_cache(&self, _offset: u64, _bytes: u64) {}

    /// Locks the file itself, whatever its name; returns `false` if another owner has the lock. Does nothing where
    /// files have no other names.
    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn unlock(&self) -> io::Result<()> {
        Ok(())
    }
}
