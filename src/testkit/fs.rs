//! The engine's [`FileSystem`] on the simulated disk.

use std::{
    ffi::OsString,
    io,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use rustix::io::Errno;

use super::{
    backend::SimBackend,
    directory::Inode,
    file::SimFile,
    host::SimHost,
    scheduler::{InlineExecutor, LockstepExecutor},
    state::{OpKind, SimState},
};
use crate::{
    io::{CommitBackend, Executor, FileHandle, FileId, FileKind, FileSystem, LockFile, OpenMode},
    options::ReadLimits,
};

/// The file system as one incarnation of a process sees it.
#[derive(Debug, Clone)]
pub(super) struct SimFs {
    pub(super) host: Arc<SimHost>,
    pub(super) incarnation: u64,
}

impl SimFs {
    fn apply<T>(&self, kind: OpKind, change: impl FnOnce(&mut SimState) -> io::Result<T>) -> io::Result<T> {
        self.host.apply(self.incarnation, kind, change)
    }

    /// Makes a rename, or a link that is part of one. One that fails may have been made nevertheless.
    fn apply_rename(&self, change: impl FnOnce(&mut SimState) -> io::Result<()>) -> io::Result<()> {
        self.apply(OpKind::Names, |state| {
            state.check_rename_memory()?;
            if !state.next_rename_fails() {
                return change(state);
            }
            if state.rng.chance(50) {
                let _ = change(state);
            }
            Err(Errno::IO.into())
        })
    }
}

impl FileSystem for SimFs {
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        let path = absolute(path);
        let state = self.host.state();
        state.check_alive(self.incarnation)?;
        state.find(&path).map(|_| path)
    }

    fn kind(&self, path: &Path) -> io::Result<FileKind> {
        self.canonicalize(path).map(|_| FileKind::File)
    }

    fn create_dirs(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock_file(&self, path: &Path) -> io::Result<Box<dyn LockFile>> {
        let (host, incarnation) = (Arc::clone(&self.host), self.incarnation);
        host.state().check_alive(incarnation)?;
        let lock_id = host.state().lock_file_id(&absolute(path));
        Ok(Box::new(SimLock { host, incarnation, path: absolute(path), lock_id }))
    }

    fn open(&self, path: &Path, how: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let path = absolute(path);
        let inode = match how {
            OpenMode::ReadOnly | OpenMode::ReadWrite => {
                self.host.maybe_yield_on_read();
                let mut state = self.host.state();
                state.check_alive(self.incarnation)?;
                state.check_descriptors()?;
                state.find(&path)?
            }
            OpenMode::CreateNew => self.apply(OpKind::Names, |state| {
                state.check_descriptors()?;
                state.create(&path)
            })?,
        };
        let reported_failures = Mutex::new(self.host.state().failures(inode));
        Ok(Arc::new(SimFile {
            fs: self.clone(),
            inode,
            reported_failures,
            writable: how != OpenMode::ReadOnly,
            read_limits: self.read_limits(),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.apply_rename(|state| state.rename(&absolute(from), &absolute(to)))
    }

    fn rename_noreplace(&self, from: &Path, to: &Path) -> io::Result<()> {
        if !self.host.state().plan.renames_without_replacing {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.apply_rename(|state| state.rename_noreplace(&absolute(from), &absolute(to)))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.apply_rename(|state| state.link(&absolute(from), &absolute(to)))
    }

    fn id_at(&self, path: &Path) -> io::Result<Option<FileId>> {
        let mut state = self.host.state();
        state.check_alive(self.incarnation)?;
        state.check_memory()?;
        Ok(state.find(&absolute(path)).ok().map(id_of))
    }

    fn id_and_len(&self, path: &Path) -> io::Result<Option<(FileId, u64)>> {
        let mut state = self.host.state();
        state.check_alive(self.incarnation)?;
        state.check_memory()?;
        Ok(state.find(&absolute(path)).ok().map(|inode| (id_of(inode), state.len(inode))))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.apply(OpKind::Names, |state| state.remove(&absolute(path)))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.apply(OpKind::SyncDir, |state| {
            state.sync_dir(&absolute(dir));
            Ok(())
        })
    }

    fn now(&self) -> SystemTime {
        self.host.state().now()
    }

    fn elapsed(&self) -> Duration {
        self.host.state().elapsed()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        self.host.maybe_yield_on_read();
        let mut state = self.host.state();
        state.check_alive(self.incarnation)?;
        state.check_descriptors()?;
        Ok(state.list(&absolute(dir)))
    }

    fn read_limits(&self) -> ReadLimits {
        self.host.state().plan.read_limits
    }

    fn commit_backend(&self) -> io::Result<Box<dyn CommitBackend>> {
        Ok(Box::new(SimBackend::new(self.clone())))
    }

    fn executor(&self) -> io::Result<Box<dyn Executor>> {
        if !self.host.lockstep {
            return Ok(Box::new(InlineExecutor));
        }
        Ok(Box::new(LockstepExecutor::spawn(Arc::clone(&self.host.scheduler))?))
    }
}

/// The writer's lock: a path that one incarnation owns.
#[derive(Debug)]
struct SimLock {
    host: Arc<SimHost>,
    incarnation: u64,
    path: PathBuf,
    lock_id: u64,
}

impl LockFile for SimLock {
    fn id(&self) -> FileId {
        // No device has this number.
        (u64::MAX - self.host.id, self.incarnation << 32 | self.lock_id)
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut state = self.host.state();
        state.check_alive(self.incarnation)?;
        Ok(state.try_lock(&self.path))
    }

    fn unlock(&self) -> io::Result<()> {
        self.host.state().unlock(&self.path, self.incarnation);
        Ok(())
    }

    fn holder(&self) -> Option<u32> {
        None
    }
}

pub(super) fn id_of(inode: Inode) -> FileId {
    (0, inode as u64)
}

/// Normalizes a path. The working directory is the root.
pub(super) fn absolute(path: &Path) -> PathBuf {
    let parts = path.components().filter(|part| matches!(part, Component::Normal(_)));
    Path::new("/").join(parts.collect::<PathBuf>())
}
