//! A wrapper around the file system of the operating system that counts operations, blocks them, fails them and runs
//! full on command. For tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod wrap;

use std::{
    collections::{HashMap, HashSet},
    fmt, io,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::Duration,
};

use rustix::io::Errno;

use super::{BackendKind, CommitBackend, FileSystem, OsFileSystem};

/// A test that waits longer than this has failed.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// The kind of an operation on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Create,
    Write,
    SetLen,
    SyncFile,
    Rename,
    Link,
    Remove,
    SyncDir,
    Attach,
    Commit,
    /// Opens a file that exists.
    Open,
    /// Lists a directory.
    List,
    /// Reads the length or the identity of the file that is committed to.
    Stat,
    /// Locks a file.
    Lock,
}

/// An operation that is about to be made.
#[derive(Debug)]
pub(crate) struct FaultEvent<'a> {
    pub(crate) op: Op,
    /// The file or directory; the new name, for a rename.
    pub(crate) path: &'a Path,
    /// The offset and the bytes of a write.
    pub(crate) write: Option<(u64, &'a [u8])>,
}

/// Called before an operation.
type Hook = Arc<dyn Fn(&FaultEvent<'_>) + Send + Sync>;

/// Controls the faults of a file system; clones control the same one.
#[derive(Clone, Default)]
pub(crate) struct FaultInjector(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<FaultState>,
    changed: Condvar,
    /// Locked while a hook runs and its operation is made, so that the hook sees the disk between two operations.
    operation: Mutex<()>,
}

#[derive(Default)]
struct FaultState {
    started: HashMap<Op, u64>,
    blocked: HashSet<Op>,
    /// Operations that are waiting, by kind.
    waiting: HashMap<Op, u64>,
    /// Operations that fail, by kind and number.
    failures: HashMap<(Op, u64), Errno>,
    /// The number of operations so far that change something.
    changes: u64,
    /// The number of changes after which all fail.
    halt_at: Option<u64>,
    /// Bytes by which files may still grow.
    space: Option<u64>,
    hook: Option<Hook>,
    /// A rename that must not replace a file is unsupported.
    links_only: bool,
    /// Kinds of which every operation fails.
    broken: HashMap<Op, Errno>,
    /// Added to the clock.
    clock_offset: Duration,
}

impl FaultState {
    fn failure(&self, op: Op, nth: u64) -> io::Result<()> {
        let errno = self.broken.get(&op).or_else(|| self.failures.get(&(op, nth)));
        errno.map_or(Ok(()), |&errno| Err(errno.into()))
    }
}

impl FaultInjector {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn file_system(&self) -> Arc<dyn FileSystem> {
        let inner = OsFileSystem::default();
        Arc::new(wrap::FaultFileSystem { inner, faults: self.clone() })
    }

    pub(crate) fn commit_backend(&self, kind: BackendKind) -> io::Result<Box<dyn CommitBackend>> {
        let inner = kind.commit_backend()?;
        Ok(Box::new(wrap::FaultBackend { inner, file: None, next: None, faults: self.clone() }))
    }

    /// Refuses renames that must not replace a file, as some file systems do.
    pub(crate) fn rename_only_by_links(&self) {
        self.state().links_only = true;
    }

    pub(crate) fn renames_only_by_links(&self) -> bool {
        self.state().links_only
    }

    /// Returns the number of operations of this kind that were started.
    pub(crate) fn count(&self, op: Op) -> u64 {
        self.state().started.get(&op).copied().unwrap_or(0)
    }

    /// Returns the number of operations that were started and change something.
    pub(crate) fn changes(&self) -> u64 {
        self.state().changes
    }

    /// Blocks operations of this kind before they are made, until [`unblock`](Self::unblock).
    pub(crate) fn block(&self, op: Op) {
        self.state().blocked.insert(op);
    }

    pub(crate) fn unblock(&self, op: Op) {
        self.state().blocked.remove(&op);
        self.0.changed.notify_all();
    }

    /// Waits until an operation of this kind is blocked.
    pub(crate) fn wait_until_blocked(&self, op: Op) {
        drop(self.wait_while(|state| state.waiting.get(&op).is_none_or(|&count| count == 0)));
    }

    /// Waits until `count` operations of this kind were started.
    pub(crate) fn wait_for_count(&self, op: Op, count: u64) {
        drop(self.wait_while(|state| state.started.get(&op).is_none_or(|&started| started < count)));
    }

    /// Fails the `nth` operation of this kind from now: 1 is the next, 0 the one that is blocked.
    pub(crate) fn fail(&self, op: Op, nth: u64, errno: Errno) {
        let mut state = self.state();
        let nth = state.started.get(&op).copied().unwrap_or(0) + nth;
        state.failures.insert((op, nth), errno);
    }

    /// Fails all operations of this kind from now on.
    pub(crate) fn fail_all(&self, op: Op, errno: Errno) {
        self.state().broken.insert(op, errno);
    }

    /// Removes all failures.
    pub(crate) fn clear_faults(&self) {
        let mut state = self.state();
        state.broken.clear();
        state.failures.clear();
    }

    /// Advances the clock that intervals are measured by.
    pub(crate) fn advance_clock(&self, time: Duration) {
        self.state().clock_offset += time;
    }

    pub(super) fn clock_offset(&self) -> Duration {
        self.state().clock_offset
    }

    /// Counts an operation that changes nothing; fails it if the test asked for a failure.
    pub(super) fn begin_read(&self, op: Op) -> io::Result<()> {
        let mut state = self.state();
        let nth = state.started.entry(op).or_default();
        *nth += 1;
        let nth = *nth;
        let failure = state.failure(op, nth);
        drop(state);
        self.0.changed.notify_all();
        failure
    }

    /// Fails every change after `changes` more, as after a crash. The first write that fails is made in part.
    pub(crate) fn fail_after(&self, changes: u64) {
        let mut state = self.state();
        state.halt_at = Some(state.changes + changes);
    }

    /// Limits by how many bytes all files together may grow; truncating and removing frees space.
    pub(crate) fn set_space_limit(&self, bytes: u64) {
        self.state().space = Some(bytes);
    }

    pub(crate) fn clear_space_limit(&self) {
        self.state().space = None;
    }

    /// Calls `hook` before each operation that changes something. No other operation is made while it runs.
    pub(crate) fn before_each(&self, hook: impl Fn(&FaultEvent<'_>) + Send + Sync + 'static) {
        self.state().hook = Some(Arc::new(hook));
    }

    fn state(&self) -> MutexGuard<'_, FaultState> {
        self.0.state.lock().unwrap()
    }

    fn wait_while(&self, condition: impl FnMut(&mut FaultState) -> bool) -> MutexGuard<'_, FaultState> {
        let (state, waited) =
            self.0.changed.wait_timeout_while(self.state(), WAIT_TIMEOUT, condition).unwrap();
        assert!(!waited.timed_out(), "a test waited too long");
        state
    }

    /// Makes an operation, or fails it if the test asked for a failure.
    fn run<T>(&self, event: &FaultEvent<'_>, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let hook = self.enter(event.op)?;
        let _operation = hook.map(|hook| {
            let operation = self.0.operation.lock().unwrap();
            hook(event);
            operation
        });
        act()
    }

    fn enter(&self, op: Op) -> io::Result<Option<Hook>> {
        let mut state = self.state();
        let nth = state.started.entry(op).or_default();
        *nth += 1;
        let nth = *nth;
        *state.waiting.entry(op).or_default() += 1;
        drop(state);
        self.0.changed.notify_all();
        let mut state = self.wait_while(|state| state.blocked.contains(&op));
        *state.waiting.entry(op).or_default() -= 1;
        state.changes += 1;
        if state.halt_at.is_some_and(|halt_at| state.changes > halt_at) {
            return Err(Errno::IO.into());
        }
        state.failure(op, nth)?;
        Ok(state.hook.clone())
    }

    /// Returns whether the operation that just failed was the first after the halt.
    fn is_halting(&self) -> bool {
        let state = self.state();
        state.halt_at.is_some_and(|halt_at| state.changes == halt_at + 1)
    }

    /// Takes disk space for `bytes` bytes; returns how many of them it got.
    fn take_space(&self, bytes: u64) -> u64 {
        let mut state = self.state();
        let Some(space) = &mut state.space else { return bytes };
        let granted = bytes.min(*space);
        *space -= granted;
        granted
    }

    fn free_space(&self, bytes: u64) {
        if let Some(space) = &mut self.state().space {
            *space += bytes;
        }
    }

    fn has_space(&self) -> bool {
        self.state().space != Some(0)
    }
}

impl fmt::Debug for FaultInjector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultInjector").finish_non_exhaustive()
    }
}
