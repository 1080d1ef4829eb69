//! A file system on top of another one: for tests that observe, delay, fail or falsify some calls.

use std::{
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{CommitBackend, Executor, FileHandle, FileId, FileKind, FileSystem, LockFile, OpenDir, OpenMode};
use crate::options::ReadLimits;

/// A [`FileSystem`] that forwards every call to another one, except for the methods that it implements itself.
pub trait FileSystemLayer: Send + Sync + fmt::Debug {
    /// Returns the file system below.
    fn inner(&self) -> &dyn FileSystem;

    fn lock_file(&self, path: &Path) -> io::Result<Box<dyn LockFile>> {
        self.inner().lock_file(path)
    }

    fn open(&self, path: &Path, how: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        self.inner().open(path, how)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner().rename(from, to)
    }

    fn rename_noreplace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner().rename_noreplace(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner().link(from, to)
    }

    fn id_and_len(&self, path: &Path) -> io::Result<Option<(FileId, u64)>> {
        self.inner().id_and_len(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner().remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner().sync_dir(dir)
    }

    fn elapsed(&self) -> Duration {
        self.inner().elapsed()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        self.inner().list(dir)
    }

    fn commit_backend(&self) -> io::Result<Box<dyn CommitBackend>> {
        self.inner().commit_backend()
    }
}

impl<L: FileSystemLayer> FileSystem for L {
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.inner().canonicalize(path)
    }

    fn kind(&self, path: &Path) -> io::Result<FileKind> {
        self.inner().kind(path)
    }

    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        self.inner().create_dirs(dir)
    }

    fn lock_file(&self, path: &Path) -> io::Result<Box<dyn LockFile>> {
        FileSystemLayer::lock_file(self, path)
    }

    fn open(&self, path: &Path, how: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        FileSystemLayer::open(self, path, how)
    }

    fn keep_dir_open(&self, dir: &Path) -> io::Result<OpenDir> {
        self.inner().keep_dir_open(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        FileSystemLayer::rename(self, from, to)
    }

    fn rename_noreplace(&self, from: &Path, to: &Path) -> io::Result<()> {
        FileSystemLayer::rename_noreplace(self, from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        FileSystemLayer::link(self, from, to)
    }

    fn clone_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner().clone_file(from, to)
    }

    fn id_at(&self, path: &Path) -> io::Result<Option<FileId>> {
        self.inner().id_at(path)
    }

    fn id_and_len(&self, path: &Path) -> io::Result<Option<(FileId, u64)>> {
        FileSystemLayer::id_and_len(self, path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        FileSystemLayer::remove(self, path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        FileSystemLayer::sync_dir(self, dir)
    }

    fn elapsed(&self) -> Duration {
        FileSystemLayer::elapsed(self)
    }

    fn now(&self) -> SystemTime {
        self.inner().now()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        FileSystemLayer::list(self, dir)
    }

    fn read_limits(&self) -> ReadLimits {
        self.inner().read_limits()
    }

    fn commit_backend(&self) -> io::Result<Box<dyn CommitBackend>> {
        FileSystemLayer::commit_backend(self)
    }

    fn executor(&self) -> io::Result<Box<dyn Executor>> {
        self.inner().executor()
    }
}
