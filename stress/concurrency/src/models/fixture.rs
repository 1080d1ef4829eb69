//! A store on real files whose commits can be blocked, and whose commits and renames can fail.

use std::{
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
        CommitBackend, CommitBuffer, CommitError, CommitMethod, CommitOptions, FileHandle, FileSystem,
        FileSystemLayer, LockFile, OpenMode, OsFileSystem,
    },
    options::DEFAULT_FILE_MODE,
    sync::{Condvar, Mutex, block_on, switch, thread},
};

/// The capacity of the queue that an append of one digit needs.
pub(super) const APPEND_BYTES: u64 = APPEND_OVERHEAD_BYTES + 1;

/// A journal in its own directory.
#[derive(Debug, Clone)]
pub(super) struct Fixture {
    pub(super) path: PathBuf,
    control: Arc<Control>,
}

#[derive(Debug, Default)]
struct Control {
    state: Mutex<ControlState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct ControlState {
    is_blocked: bool,
    commits: u64,
    fails_at_commit: Option<u64>,
    renames: u64,
    fails_at_rename: Option<u64>,
}

impl Fixture {
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
                let file_system: Arc<dyn FileSystem> = Arc::new(ModelFileSystem { inner, control });
                Ok((BackendKind::Blocking, file_system, Box::new(commit_backend) as Box<dyn CommitBackend>))
            };
            MiniStore::open_on(options, &path, select_backend).await
        })
    }

    /// Makes commits wait until [`Self::unblock_commits`].
    pub(super) fn block_commits(&self) {
        self.control.state.lock().unwrap().is_blocked = true;
    }

    pub(super) fn unblock_commits(&self) {
        self.control.state.lock().unwrap().is_blocked = false;
        self.control.changed.notify_all();
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.control.state.lock().unwrap().is_blocked
    }

    /// Fails the `nth` commit from now on; 1 is the next.
    pub(super) fn fail_commit(&self, nth: u64) {
        let mut state = self.control.state.lock().unwrap();
        state.fails_at_commit = Some(state.commits + nth);
    }

    /// Cancels the planned failures.
    pub(super) fn clear_faults(&self) {
        let mut state = self.control.state.lock().unwrap();
        (state.fails_at_commit, state.fails_at_rename) = (None, None);
    }

    /// Fails the `nth` rename from now on; 1 is the next.
    pub(super) fn fail_rename(&self, nth: u64) {
        let mut state = self.control.state.lock().unwrap();
        state.fails_at_rename = Some(state.renames + nth);
    }

    /// Returns every record, and checks that their numbers start with 1 and have no gaps.
    pub(super) fn records(&self) -> Vec<u64> {
        let records = Reader::open(&self.path).unwrap().records::<u64>();
        let numbered = records.zip(1..).map(|(record, seq)| {
            let record = record.unwrap();
            assert_eq!(record.seq, seq, "a number is missing");
            record.value
        });
        numbered.collect()
    }

    /// Checks that the journal contains exactly those of these values whose append succeeded before the close.
    pub(super) fn assert_written_or_rejected(&self, outcomes: impl IntoIterator<Item = (u64, Result<()>)>) {
        let records = self.records();
        for (value, outcome) in outcomes {
            assert!(outcome.is_ok() || is_closed(&outcome), "{value}: {outcome:?}");
            assert_eq!(records.contains(&value), outcome.is_ok(), "{value}: {outcome:?}, and {records:?}");
        }
    }
}

impl Control {
    fn commit(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.commits += 1;
        let fails = state.fails_at_commit == Some(state.commits);
        drop(self.changed.wait_while(state, |state| state.is_blocked).unwrap());
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

/// Returns options without padding, for speed.
pub(super) fn options() -> JournalOptions {
    JournalOptions::new().preallocate(false).direct_io(false)
}

/// Returns options for a queue with capacity for `appends` appends of one digit.
pub(super) fn permits_for(appends: u64) -> JournalOptions {
    options().max_queue_bytes(appends * APPEND_BYTES)
}

/// Polls the future once; returns its output if it is ready.
pub(super) fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    block_on(poll_fn(|context| {
        Poll::Ready(match Pin::new(&mut *future).poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    }))
}

/// Runs `body` on another thread, with a handle of its own.
pub(super) fn spawn<T: Send + 'static>(
    store: &MiniStore,
    body: impl FnOnce(MiniStore) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let store = store.clone();
    thread::spawn(move || body(store))
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

/// Lets other threads run before each operation on directory entries.
#[derive(Debug)]
struct ModelFileSystem {
    inner: OsFileSystem,
    control: Arc<Control>,
}

impl FileSystemLayer for ModelFileSystem {
    fn inner(&self) -> &dyn FileSystem {
        &self.inner
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

    fn rename_noreplace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.control.rename()?;
        self.inner.rename_noreplace(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        switch();
        self.inner.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        switch();
        self.inner.sync_dir(dir)
    }
}
