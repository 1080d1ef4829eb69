//! The file system, its files and its commit backend. Each calls [`FaultInjector`] before it makes an operation.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustix::io::Errno;

use super::{FaultEvent, FaultInjector, Op};
use crate::{
    BackendKind,
    format::scan::ReadAt,
    io::{
        CommitBackend, CommitBuffer, CommitError, CommitMethod, CommitOptions, FileHandle, FileId,
        FileSystem, FileSystemLayer, OpenDir, OpenMode, OsFileSystem,
    },
};

#[derive(Debug)]
pub(super) struct FaultFileSystem {
    pub(super) inner: OsFileSystem,
    pub(super) faults: FaultInjector,
}

impl FaultFileSystem {
    fn run<T>(&self, op: Op, path: &Path, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.faults.run(&FaultEvent { op, path, write: None }, act)
    }
}

impl FileSystemLayer for FaultFileSystem {
    fn inner(&self) -> &dyn FileSystem {
        &self.inner
    }

    fn open(&self, path: &Path, how: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let open = || self.inner.open(path, how);
        let inner = match how {
            OpenMode::ReadOnly | OpenMode::ReadWrite => {
                self.faults.begin_read(Op::Open)?;
                open()?
            }
            OpenMode::CreateNew => self.run(Op::Create, path, || {
                if self.faults.has_space() { open() } else { Err(Errno::NOSPC.into()) }
            })?,
        };
        Ok(Arc::new(FaultHandle { inner, path: path.into(), faults: self.faults.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(Op::Rename, to, || self.inner.rename(from, to))
    }

    fn rename_noreplace(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.faults.renames_only_by_links() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.run(Op::Rename, to, || self.inner.rename_noreplace(from, to))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(Op::Link, to, || self.inner.link(from, to))
    }

    fn id_and_len(&self, path: &Path) -> io::Result<Option<(FileId, u64)>> {
        self.faults.begin_read(Op::Stat)?;
        self.inner.id_and_len(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.run(Op::Remove, path, || {
            let freed = fs::metadata(path)?.len();
            self.inner.remove(path)?;
            self.faults.free_space(freed);
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.run(Op::SyncDir, dir, || self.inner.sync_dir(dir))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        self.faults.begin_read(Op::List)?;
        self.inner.list(dir)
    }

    fn elapsed(&self) -> Duration {
        self.inner.elapsed() + self.faults.clock_offset()
    }

    fn commit_backend(&self) -> io::Result<Box<dyn CommitBackend>> {
        self.faults.commit_backend(BackendKind::Blocking)
    }
}

#[derive(Debug)]
struct FaultHandle {
    inner: Arc<dyn FileHandle>,
    /// The path that it was opened with.
    path: PathBuf,
    faults: FaultInjector,
}

impl FaultHandle {
    fn run(&self, op: Op, act: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.faults.run(&FaultEvent { op, path: &self.path, write: None }, act)
    }
}

impl ReadAt for FaultHandle {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(into, offset)
    }
}

impl FileHandle for FaultHandle {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn len_if_linked(&self) -> io::Result<Option<u64>> {
        self.faults.begin_read(Op::Stat)?;
        self.inner.len_if_linked()
    }

    fn id(&self) -> io::Result<Option<FileId>> {
        self.inner.id()
    }

    fn modified(&self) -> io::Result<Option<SystemTime>> {
        self.inner.modified()
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let event = FaultEvent { op: Op::Write, path: &self.path, write: Some((offset, bytes)) };
        let outcome = self.faults.run(&event, || {
            let granted = granted(&self.faults, self.inner.len()?, offset, bytes);
            self.inner.write_at(granted, offset)?;
            if granted.len() < bytes.len() { Err(Errno::NOSPC.into()) } else { Ok(()) }
        });
        if outcome.is_err() && self.faults.is_halting() {
            self.inner.write_at(&bytes[..bytes.len() / 2], offset)?;
        }
        outcome
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.run(Op::SetLen, || {
            let before = self.inner.len()?;
            if self.faults.take_space(len.saturating_sub(before)) < len.saturating_sub(before) {
                return Err(Errno::NOSPC.into());
            }
            self.inner.set_len(len)?;
            self.faults.free_space(before.saturating_sub(len));
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.run(Op::SyncFile, || self.inner.sync())
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.faults.begin_read(Op::Lock)?;
        self.inner.try_lock()
    }

    fn unlock(&self) -> io::Result<()> {
        self.inner.unlock()
    }
}

#[derive(Debug)]
pub(super) struct FaultBackend {
    pub(super) inner: Box<dyn CommitBackend>,
    /// The attached file.
    pub(super) file: Option<File>,
    /// The prepared file.
    pub(super) next: Option<File>,
    pub(super) faults: FaultInjector,
}

impl CommitBackend for FaultBackend {
    fn keep_dir_open(&mut self, dir: OpenDir) {
        self.inner.keep_dir_open(dir);
    }

    fn attach(&mut self, path: &Path, options: CommitOptions) -> io::Result<()> {
        let faults = self.faults.clone();
        faults.run(&FaultEvent { op: Op::Attach, path, write: None }, || {
            self.file = Some(File::options().write(true).open(path)?);
            self.inner.attach(path, options)
        })
    }

    fn method(&self) -> CommitMethod {
        self.inner.method()
    }

    fn prepare(&mut self, path: &Path, options: CommitOptions) -> io::Result<()> {
        self.faults.begin_read(Op::Attach)?;
        self.next = Some(File::options().write(true).open(path)?);
        self.inner.prepare(path, options)
    }

    fn switch(&mut self) {
        self.file = self.next.take();
        self.inner.switch();
    }

    fn fall_back_to_buffered(&mut self) -> io::Result<()> {
        self.inner.fall_back_to_buffered()
    }

    fn commit(&mut self, buffer: &mut CommitBuffer, offset: u64) -> Result<(), CommitError> {
        let (Self { inner, file, faults, .. }, bytes) = (self, buffer.bytes().to_vec());
        let file = file.as_ref().ok_or_else(|| CommitError::Failed(Errno::BADF.into()))?;
        let path = name_of(file).map_err(CommitError::Failed)?;
        let event = FaultEvent { op: Op::Commit, path: &path, write: Some((offset, &bytes)) };
        let made = faults.run(&event, || {
            let granted = granted(faults, file.metadata()?.len(), offset, &bytes);
            if granted.len() < bytes.len() {
                file.write_all_at(granted, offset)?;
                return Err(Errno::NOSPC.into());
            }
            Ok(inner.commit(buffer, offset))
        });
        made.unwrap_or_else(|error| Err(CommitError::from_write(error)))
    }
}

/// Returns the path that a file has now. After a rename by links the kernel still shows the path that the file was
/// opened with, so the directory is searched for its inode.
fn name_of(file: &File) -> io::Result<PathBuf> {
    let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    if path.exists() {
        return Ok(path);
    }
    let inode = file.metadata()?.ino();
    let mut entries = fs::read_dir(path.parent().unwrap_or(Path::new("/")))?.filter_map(Result::ok);
    let named = entries.find(|entry| entry.metadata().is_ok_and(|meta| meta.ino() == inode));
    Ok(named.map_or(path, |entry| entry.path()))
}

/// Returns the part of `bytes` for which there is disk space, in a file of `len` bytes.
fn granted<'a>(faults: &FaultInjector, len: u64, offset: u64, bytes: &'a [u8]) -> &'a [u8] {
    let growth = (offset + bytes.len() as u64).saturating_sub(len);
    let missing = growth - faults.take_space(growth);
    &bytes[..bytes.len() - (missing as usize).min(bytes.len())]
}
