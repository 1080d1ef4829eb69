//! The engine's view of the simulated machine: [`FileSystem`], its files and its [`CommitBackend`]. Every operation is counted, may be
//! the one at which everything ends, and is a moment at which others may run.

use std::{
    ffi::OsString,
    fmt, io,
    path::{Component, Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use rustix::io::Errno;

use super::{
    directory::Inode,
    machine::{self, Machine, Verdict},
    pace::{AtOnce, LockStep, Pace},
    plan::{DirectIo, Stop},
};
use crate::{
    format::scan::ReadAt,
    io::{
        BLOCK_BYTES, CommitBackend, CommitBuffer, CommitError, CommitMethod, CommitOptions, Executor,
        FileHandle, FileId, FileKind, FileSystem, LockFile, OpenMode, SyncKind,
    },
    seeded_bugs::{Bug, seeded},
};

/// Called on the writer's side before each of its operations.
pub(super) type Watcher = Box<dyn FnMut() + Send>;

/// The machine, and who may operate on it when.
pub(super) struct Host {
    machine: Mutex<Machine>,
    pub(super) pace: Arc<Pace>,
    watcher: Mutex<Option<Watcher>>,
    /// Whether the work beside has a thread in lock-step; else it is done at once.
    pub(super) lock_step: bool,
    /// Tells the disks of one process apart.
    id: u64,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Host {
    pub(super) fn new(seed: u64, lock_step: bool) -> Self {
        static DISKS: AtomicU64 = AtomicU64::new(0);
        Self {
            machine: Mutex::new(Machine::new(seed)),
            pace: Arc::default(),
            watcher: Mutex::default(),
            lock_step,
            id: DISKS.fetch_add(1, Ordering::Relaxed),
        }
    }

    pub(super) fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(any(test, feature = "_sim"))]
    pub(super) fn watch(&self, watcher: Option<Watcher>) {
        *self.watcher() = watcher;
    }

    fn watcher(&self) -> MutexGuard<'_, Option<Watcher>> {
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before every operation that changes something: others may run, and somebody may look.
    fn pause(&self) {
        if !self.pace.is_ahead() {
            return;
        }
        let steps = if self.pace.is_busy() { self.machine().steps_beside() } else { 0 };
        for _ in 0..steps {
            self.pace.advance();
        }
        // Taken out while it runs, for it reads from this disk.
        let watcher = self.watcher().take();
        if let Some(mut watcher) = watcher {
            watcher();
            *self.watcher() = Some(watcher);
        }
    }

    /// Before a read: others may run.
    fn glance(&self) {
        if !self.pace.is_beside() && self.pace.is_busy() && self.machine().rng.chance(15) {
            self.pace.advance();
        }
    }

    /// One operation; `make` changes the machine. A crash in the middle of it may leave it made or not.
    fn operate<T>(
        &self,
        life: u64,
        kind: machine::Kind,
        make: impl FnOnce(&mut Machine) -> io::Result<T>,
    ) -> io::Result<T> {
        self.pause();
        let mut machine = self.machine();
        match machine.begin(life, kind) {
            Verdict::Make => make(&mut machine),
            Verdict::Crash(_) => {
                if machine.rng.chance(50) {
                    let _ = make(&mut machine);
                }
                Err(Errno::IO.into())
            }
            Verdict::Fail(errno) => Err(errno.into()),
        }
    }
}

/// The disk during one life of a process.
#[derive(Debug, Clone)]
pub(super) struct LifeDisk {
    pub(super) host: Arc<Host>,
    pub(super) life: u64,
}

impl LifeDisk {
    fn names<T>(
        &self,
        kind: machine::Kind,
        make: impl FnOnce(&mut Machine) -> io::Result<T>,
    ) -> io::Result<T> {
        self.host.operate(self.life, kind, make)
    }

    /// A rename, or a link that is part of one. One that fails may have been made all the same.
    fn give_name(&self, make: impl FnOnce(&mut Machine) -> io::Result<()>) -> io::Result<()> {
        self.names(machine::Kind::FileNames, |machine| {
            machine.begin_rename()?;
            if !machine.rename_fails() {
                return make(machine);
            }
            if machine.rng.chance(50) {
                let _ = make(machine);
            }
            Err(Errno::IO.into())
        })
    }
}

impl FileSystem for LifeDisk {
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        let path = absolute(path);
        let machine = self.host.machine();
        machine.alive(self.life)?;
        machine.find(&path).map(|_| path)
    }

    fn kind(&self, path: &Path) -> io::Result<FileKind> {
        self.canonicalize(path).map(|_| FileKind::File)
    }

    fn create_dirs(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock_file(&self, path: &Path) -> io::Result<Box<dyn LockFile>> {
        let (host, life) = (Arc::clone(&self.host), self.life);
        host.machine().alive(life)?;
        let number = host.machine().lock_number(&absolute(path));
        Ok(Box::new(SimLock { host, life, path: absolute(path), number }))
    }

    fn open(&self, path: &Path, how: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let path = absolute(path);
        let inode = match how {
            OpenMode::ReadOnly | OpenMode::ReadWrite => {
                self.host.glance();
                let mut machine = self.host.machine();
                machine.alive(self.life)?;
                machine.open()?;
                machine.find(&path)?
            }
            OpenMode::CreateNew => self.names(machine::Kind::FileNames, |machine| {
                machine.open()?;
                machine.create(&path)
            })?,
        };
        let told = Mutex::new(self.host.machine().failures(inode));
        Ok(Arc::new(SimFile { disk: self.clone(), inode, told, writable: how != OpenMode::ReadOnly }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.give_name(|machine| machine.rename(&absolute(from), &absolute(to)))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        if !self.host.machine().plan.renames_without_replacing {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.give_name(|machine| machine.rename_new(&absolute(from), &absolute(to)))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.give_name(|machine| machine.link(&absolute(from), &absolute(to)))
    }

    fn id_at(&self, path: &Path) -> io::Result<Option<FileId>> {
        let mut machine = self.host.machine();
        machine.alive(self.life)?;
        machine.allocate()?;
        Ok(machine.find(&absolute(path)).ok().map(id_of))
    }

    fn named(&self, path: &Path) -> io::Result<Option<(FileId, u64)>> {
        let mut machine = self.host.machine();
        machine.alive(self.life)?;
        machine.allocate()?;
        Ok(machine.find(&absolute(path)).ok().map(|inode| (id_of(inode), machine.len(inode))))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.names(machine::Kind::FileNames, |machine| machine.remove(&absolute(path)))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.names(machine::Kind::SyncNames, |machine| {
            machine.sync_names(&absolute(dir));
            Ok(())
        })
    }

    fn now(&self) -> SystemTime {
        self.host.machine().now()
    }

    fn elapsed(&self) -> Duration {
        self.host.machine().elapsed()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        self.host.glance();
        let mut machine = self.host.machine();
        machine.alive(self.life)?;
        machine.open()?;
        Ok(machine.list(&absolute(dir)))
    }

    fn commit_backend(&self) -> io::Result<Box<dyn CommitBackend>> {
        Ok(Box::new(SimBackend { disk: self.clone(), file: None, next: None, late: None }))
    }

    fn executor(&self) -> io::Result<Box<dyn Executor>> {
        if !self.host.lock_step {
            return Ok(Box::new(AtOnce));
        }
        #[cfg(any(test, feature = "_sim"))]
        let begin = crate::seeded_bugs::inherit();
        #[cfg(not(any(test, feature = "_sim")))]
        let begin = || {};
        Ok(Box::new(LockStep::spawn(Arc::clone(&self.host.pace), begin)?))
    }
}

/// A file that was opened.
#[derive(Debug)]
struct SimFile {
    disk: LifeDisk,
    inode: Inode,
    /// Failed syncs that this opener knows of.
    told: Mutex<u64>,
    writable: bool,
}

impl SimFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(Errno::BADF.into()) }
    }
}

impl ReadAt for SimFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.host.glance();
        let machine = self.disk.host.machine();
        machine.alive(self.disk.life)?;
        Ok(machine.read_at(self.inode, into, offset))
    }
}

impl FileHandle for SimFile {
    fn len(&self) -> io::Result<u64> {
        let machine = self.disk.host.machine();
        machine.alive(self.disk.life)?;
        Ok(machine.len(self.inode))
    }

    fn len_if_linked(&self) -> io::Result<Option<u64>> {
        let mut machine = self.disk.host.machine();
        machine.alive(self.disk.life)?;
        machine.allocate()?;
        Ok(Some(machine.len(self.inode)))
    }

    fn id(&self) -> io::Result<Option<FileId>> {
        Ok(Some(id_of(self.inode)))
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut machine = self.disk.host.machine();
        machine.alive(self.disk.life)?;
        machine.allocate().map(|()| true)
    }

    fn modified(&self) -> io::Result<Option<SystemTime>> {
        let machine = self.disk.host.machine();
        machine.alive(self.disk.life)?;
        Ok(Some(machine.modified(self.inode)))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check_writable()?;
        write(&self.disk, self.inode, bytes, offset, Write::Cached)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.disk
            .host
            .operate(self.disk.life, machine::Kind::SetLen, |machine| machine.set_len(self.inode, len))
    }

    fn sync(&self) -> io::Result<()> {
        sync(&self.disk, self.inode, &mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a failed sync has dropped is only in the cache.
    fn drop_page_cache(&self, _offset: u64, _bytes: u64) {
        self.disk.host.machine().forget_dropped(self.inode);
    }
}

/// What a write does when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    /// It is in the page cache.
    Cached,
    /// It is past the page cache, and needs a sync to be durable.
    Direct,
    /// It is past the page cache, and durable.
    DirectDurable,
}

/// A write in pieces, as the kernel may make it.
fn write(disk: &LifeDisk, inode: Inode, bytes: &[u8], offset: u64, how: Write) -> io::Result<()> {
    let pieces = {
        let mut machine = disk.host.machine();
        let mut rng = machine.rng.fork();
        machine.plan.pieces(bytes.len(), &mut rng)
    };
    let mut done = 0;
    for end in pieces {
        write_piece(disk, inode, &bytes[done..end], offset + done as u64, how)?;
        done = end;
    }
    Ok(())
}

fn write_piece(disk: &LifeDisk, inode: Inode, bytes: &[u8], at: u64, how: Write) -> io::Result<()> {
    let is_durable = how == Write::DirectDurable;
    disk.host.pause();
    let mut machine = disk.host.machine();
    match machine.begin(disk.life, machine::Kind::Write) {
        Verdict::Make => {
            let granted = machine.grant(inode, at, bytes.len() as u64, how != Write::Cached) as usize;
            let (made, refused) = bytes.split_at(granted);
            if is_durable {
                machine.write_through(inode, at, made);
            } else {
                machine.write(inode, at, made);
            }
            if refused.is_empty() { Ok(()) } else { Err(Errno::NOSPC.into()) }
        }
        Verdict::Crash(Stop::PowerCut) => {
            // Any of its sectors may be on the disk: as if it were in the cache, not synced.
            machine.write(inode, at, bytes);
            Err(Errno::IO.into())
        }
        Verdict::Crash(Stop::Kill) => {
            if machine.rng.chance(50) && is_durable {
                machine.write_through(inode, at, bytes);
            } else if machine.rng.chance(50) {
                machine.write(inode, at, bytes);
            }
            Err(Errno::IO.into())
        }
        Verdict::Fail(errno) => {
            if machine.alive(disk.life).is_ok() {
                let made = machine.rng.below(bytes.len() as u64 + 1) as usize;
                if is_durable {
                    machine.fail_write_through(inode, at, bytes);
                } else {
                    machine.write(inode, at, &bytes[..made]);
                }
            }
            Err(errno.into())
        }
    }
}

fn sync(disk: &LifeDisk, inode: Inode, told: &mut u64) -> io::Result<()> {
    disk.host.pause();
    let mut machine = disk.host.machine();
    match machine.begin(disk.life, machine::Kind::Sync) {
        Verdict::Make => machine.sync(inode, told),
        Verdict::Crash(_) => {
            if machine.rng.chance(50) {
                let _ = machine.sync(inode, told);
            }
            Err(Errno::IO.into())
        }
        Verdict::Fail(errno) => {
            if machine.alive(disk.life).is_ok() {
                machine.fail_sync(inode);
                *told = machine.failures(inode);
            }
            Err(errno.into())
        }
    }
}

/// The commit path.
#[derive(Debug)]
struct SimBackend {
    disk: LifeDisk,
    file: Option<BackendFile>,
    next: Option<BackendFile>,
    /// A commit that a seeded bug acknowledged and did not write.
    late: Option<(Inode, Vec<u8>, u64)>,
}

#[derive(Debug)]
struct BackendFile {
    inode: Inode,
    told: u64,
    method: CommitMethod,
}

impl SimBackend {
    fn open(&self, path: &Path, options: CommitOptions) -> io::Result<BackendFile> {
        self.disk.host.pause();
        let mut machine = self.disk.host.machine();
        machine.alive(self.disk.life)?;
        machine.open()?;
        machine.note(|_| format!("open {} for commits", path.display()));
        let inode = machine.find(&absolute(path))?;
        let refused = machine.plan.direct_io == DirectIo::RefusedAtOpen;
        let options = if refused { options.without_direct() } else { options };
        let method = options.method(machine.plan.honors_dsync);
        Ok(BackendFile { inode, told: machine.failures(inode), method })
    }
}

impl CommitBackend for SimBackend {
    fn attach(&mut self, path: &Path, options: CommitOptions) -> io::Result<()> {
        self.file = Some(self.open(path, options)?);
        Ok(())
    }

    fn prepare(&mut self, path: &Path, options: CommitOptions) -> io::Result<()> {
        self.next = Some(self.open(path, options)?);
        Ok(())
    }

    fn switch(&mut self) {
        self.file = self.next.take();
    }

    fn fall_back_to_buffered(&mut self) -> io::Result<()> {
        self.file.iter_mut().for_each(|file| file.method = file.method.without_direct());
        Ok(())
    }

    fn method(&self) -> CommitMethod {
        self.file.as_ref().map_or(CommitMethod::BUFFERED, |file| file.method)
    }

    fn commit(&mut self, buffer: &mut CommitBuffer, offset: u64) -> Result<(), CommitError> {
        let Some(BackendFile { inode, told, method: CommitMethod { direct, sync: kind, .. } }) =
            &mut self.file
        else {
            return Err(CommitError::Failed(Errno::BADF.into()));
        };
        let bytes = buffer.bytes();
        if *direct {
            check_direct(&self.disk, bytes, offset).map_err(CommitError::Failed)?;
        }
        if seeded(Bug::AcknowledgeBeforeWrite) {
            let late = self.late.replace((*inode, bytes.to_vec(), offset));
            return late.map_or(Ok(()), |(inode, bytes, offset)| {
                write(&self.disk, inode, &bytes, offset, Write::DirectDurable).map_err(CommitError::of_write)
            });
        }
        let is_dsync = *kind == SyncKind::Dsync;
        let honored = is_dsync && self.disk.host.machine().plan.honors_dsync;
        let how = match (*direct, honored) {
            (false, _) => Write::Cached,
            (true, false) => Write::Direct,
            (true, true) => Write::DirectDurable,
        };
        write(&self.disk, *inode, bytes, offset, how).map_err(CommitError::of_write)?;
        if is_dsync {
            return self.end_dsync(how, honored);
        }
        let forgets = if *direct { Bug::AcknowledgeBeforeFdatasync } else { Bug::AcknowledgeBeforeSync };
        if seeded(forgets) {
            return Ok(());
        }
        let mut synced = sync(&self.disk, *inode, told);
        if seeded(Bug::RetryFailedSync) && synced.is_err() {
            synced = sync(&self.disk, *inode, told);
        }
        synced.map_err(CommitError::Failed)
    }
}

impl SimBackend {
    /// What the kernel does before a write with `O_DSYNC` returns.
    fn end_dsync(&mut self, how: Write, honored: bool) -> Result<(), CommitError> {
        match &mut self.file {
            Some(BackendFile { inode, told, .. }) if honored && how == Write::Cached => {
                sync(&self.disk, *inode, told).map_err(CommitError::of_write)
            }
            _ => {
                self.disk.host.machine().completed_syncs += u64::from(how == Write::DirectDurable);
                Ok(())
            }
        }
    }
}

/// What a file system refuses of a direct write; that it is not aligned is noted, for the engine falls back.
fn check_direct(disk: &LifeDisk, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut machine = disk.host.machine();
    let places = [offset, bytes.len() as u64, bytes.as_ptr().addr() as u64];
    if !places.iter().all(|place| place.is_multiple_of(BLOCK_BYTES)) {
        machine.violations.push(format!("a direct write is not aligned: {} bytes at {offset}", bytes.len()));
        return Err(Errno::INVAL.into());
    }
    if machine.plan.direct_io == DirectIo::RefusedAtWrite { Err(Errno::INVAL.into()) } else { Ok(()) }
}

/// The writer's lock: a name that one life holds.
#[derive(Debug)]
struct SimLock {
    host: Arc<Host>,
    life: u64,
    path: PathBuf,
    number: u64,
}

impl LockFile for SimLock {
    fn id(&self) -> FileId {
        // No device has such a number.
        (u64::MAX - self.host.id, self.life << 32 | self.number)
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut machine = self.host.machine();
        machine.alive(self.life)?;
        Ok(machine.claim(&self.path))
    }

    fn unlock(&self) -> io::Result<()> {
        self.host.machine().release(&self.path, self.life);
        Ok(())
    }

    fn holder(&self) -> Option<u32> {
        None
    }
}

fn id_of(inode: Inode) -> FileId {
    (0, inode as u64)
}

/// One spelling for each path: the working directory is the root.
pub(super) fn absolute(path: &Path) -> PathBuf {
    let parts = path.components().filter(|part| matches!(part, Component::Normal(_)));
    Path::new("/").join(parts.collect::<PathBuf>())
}
