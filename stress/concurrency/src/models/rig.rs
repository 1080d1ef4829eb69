//! What the models share: a store on real files, whose commits and renames can be held back and made to fail.

use std::{
    ffi::OsString,
    future::{Future, poll_fn},
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use crate::{
    BackendKind, JournalOptions, MiniStore, MiniStoreError, Reader, Result,
    api::APPEND_OVERHEAD_BYTES,
    io::{
        CommitBackend, CommitBuffer, CommitError, CommitMethod, CommitOptions, DEFAULT_FILE_MODE, Executor,
        FileHandle, FileId, FileKind, FileSystem, LockFile, OpenMode, OsFileSystem,
    },
    sync::{Condvar, Mutex, block_on, switch},
};

/// What an append of one digit takes of the queue.
pub(super) const APPEND_BYTES: u64 = APPEND_OVERHEAD_BYTES + 1;

/// A journal in a directory of its own.
#[derive(Debug, Clone)]
pub(super) struct Rig {
    pub(super) path: PathBuf,
    control: Arc<Control>,
}

#[derive(Debug, Default)]
struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    held: bool,
    commits: u64,
    fails_at_commit: Option<u64>,
    renames: u64,
    fails_at_rename: Option<u64>,
}

impl Rig {
    pub(super) fn new(dir: &Path) -> Self {
        Self { path: dir.join("j"), control: Arc::default() }
    }

    pub(super) fn open(&self, options: JournalOptions) -> Result<MiniStore> {
        block_on(self.opening(options))
    }

    pub(super) fn opening(
        &self,
        options: JournalOptions,
    ) -> Pin<Box<impl Future<Output = Result<MiniStore>> + use<>>> {
        let (path, control) = (self.path.clone(), Arc::clone(&self.control));
        Box::pin(async move {
            let select_backend = move || {
                let inner = OsFileSystem::new(BackendKind::Blocking, DEFAULT_FILE_MODE);
                let commit_backend =
                    ModelBackend { inner: inner.commit_backend()?, control: Arc::clone(&control) };
                let disk: Arc<dyn FileSystem> = Arc::new(ModelDisk { inner, control });
                Ok((BackendKind::Blocking, disk, Box::new(commit_backend) as Box<dyn CommitBackend>))
            };
            MiniStore::open_on(options, &path, select_backend).await
        })
    }

    /// Holds commits back.
    pub(super) fn hold(&self) {
        self.control.state.lock().unwrap().held = true;
    }

    pub(super) fn release(&self) {
        self.control.state.lock().unwrap().held = false;
        self.control.changed.notify_all();
    }

    pub(super) fn holds(&self) -> bool {
        self.control.state.lock().unwrap().held
    }

    /// Fails one commit from now on: 1 is the next.
    pub(super) fn fail_commit(&self, nth: u64) {
        let mut state = self.control.state.lock().unwrap();
        state.fails_at_commit = Some(state.commits + nth);
    }

    /// From now on nothing fails any more.
    pub(super) fn heal(&self) {
        let mut state = self.control.state.lock().unwrap();
        (state.fails_at_commit, state.fails_at_rename) = (None, None);
    }

    /// Fails one rename from now on: 1 is the next.
    pub(super) fn fail_rename(&self, nth: u64) {
        let mut state = self.control.state.lock().unwrap();
        state.fails_at_rename = Some(state.renames + nth);
    }

    /// Every record, from the first on; their numbers leave none out.
    pub(super) fn records(&self) -> Vec<u64> {
        let records = Reader::open(&self.path).unwrap().records::<u64>();
        let numbered = records.zip(1..).map(|(record, seq)| {
            let record = record.unwrap();
            assert_eq!(record.seq, seq, "a number is left out");
            record.value
        });
        numbered.collect()
    }
}

impl Control {
    fn commit(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.commits += 1;
        let fails = state.fails_at_commit == Some(state.commits);
        drop(self.changed.wait_while(state, |state| state.held).unwrap());
        if fails { Err(io_error()) } else { Ok(()) }
    }

    fn rename(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.renames += 1;
        if state.fails_at_rename == Some(state.renames) { Err(io_error()) } else { Ok(()) }
    }
}

fn io_error() -> io::Error {
    rustix::io::Errno::IO.into()
}

/// Small and quick; without padding.
pub(super) fn options() -> JournalOptions {
    JournalOptions::new().preallocate(false).direct_io(false)
}

/// A queue with room for so many appends of one digit.
pub(super) fn permits_for(appends: u64) -> JournalOptions {
    options().max_queue_bytes(appends * APPEND_BYTES)
}

/// Whether the future is ready now.
pub(super) fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    block_on(poll_fn(|context| {
        Poll::Ready(match Pin::new(&mut *future).poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    }))
}

pub(super) fn is_closed<T: std::fmt::Debug>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(MiniStoreError::Closed))
}

pub(super) fn is_poisoned<T: std::fmt::Debug>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(MiniStoreError::Poisoned { .. }))
}

pub(super) fn is_locked<T: std::fmt::Debug>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(MiniStoreError::Locked { pid: Some(pid), .. }) if *pid == std::process::id())
}

#[derive(Debug)]
struct ModelBackend {
    inner: Box<dyn CommitBackend>,
    control: Arc<Control>,
}

impl CommitBackend for ModelBackend {
    fn attach(&mut self, path: &Path, options: CommitOptions) -> io::Result<()> {
        switch();
        self.inner.attach(path, options)
    }

    fn method(&self) -> CommitMethod {
        self.inner.method()
    }

    fn prepare(&mut self, path: &Path, options: CommitOptions) -> io::Result<()> {
        switch();
        self.inner.prepare(path, options)
    }

    fn switch(&mut self) {
        self.inner.switch();
    }

    fn fall_back_to_buffered(&mut self) -> io::Result<()> {
        self.inner.fall_back_to_buffered()
    }

    fn commit(&mut self, buffer: &mut CommitBuffer, offset: u64) -> std::result::Result<(), CommitError> {
        self.control.commit().map_err(CommitError::Failed)?;
        self.inner.commit(buffer, offset)?;
        switch();
        Ok(())
    }
}

/// Others may run before whatever is done to names.
#[derive(Debug)]
struct ModelDisk {
    inner: OsFileSystem,
    control: Arc<Control>,
}

impl FileSystem for ModelDisk {
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.inner.canonicalize(path)
    }

    fn kind(&self, path: &Path) -> io::Result<FileKind> {
        self.inner.kind(path)
    }

    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dirs(dir)
    }

    fn lock_file(&self, path: &Path) -> io::Result<Box<dyn LockFile>> {
        switch();
        self.inner.lock_file(path)
    }

    fn open(&self, path: &Path, how: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        switch();
        self.inner.open(path, how)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.control.rename()?;
        self.inner.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.control.rename()?;
        self.inner.rename_new(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.link(from, to)
    }

    fn id_at(&self, path: &Path) -> io::Result<Option<FileId>> {
        self.inner.id_at(path)
    }

    fn named(&self, path: &Path) -> io::Result<Option<(FileId, u64)>> {
        self.inner.named(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        switch();
        self.inner.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        switch();
        self.inner.sync_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        self.inner.list(dir)
    }

    fn commit_backend(&self) -> io::Result<Box<dyn CommitBackend>> {
        self.inner.commit_backend()
    }

    fn executor(&self) -> io::Result<Box<dyn Executor>> {
        self.inner.executor()
    }
}
