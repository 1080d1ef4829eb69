//! A disk that counts, holds back, fails and fills up on command, around the real one. For tests.

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

use super::{BackendKind, BlockingBackend, CommitBackend, FileSystem, OsFileSystem, UringBackend};

/// A test that waits longer than this hangs.
const HANG: Duration = Duration::from_secs(60);

/// What is done to a disk.
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
    /// Looks at the file that is committed to.
    Stat,
    /// Locks a file.
    Lock,
}

/// An operation that is about to be made.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub(crate) op: Op,
    /// The file or directory; where it goes, for a rename.
    pub(crate) path: &'a Path,
    /// What is to be written, and where.
    pub(crate) write: Option<(u64, &'a [u8])>,
}

type Hook = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// The handle that tests hold; clones control the same disk.
#[derive(Clone, Default)]
pub(crate) struct FaultInjector(Arc<Control>);

#[derive(Default)]
struct Control {
    state: Mutex<State>,
    changed: Condvar,
    /// Held while a hook looks and the operation is made, so that it sees the disk between two operations.
    turn: Mutex<()>,
}

#[derive(Default)]
struct State {
    begun: HashMap<Op, u64>,
    held: HashSet<Op>,
    waiting: HashMap<Op, u64>,
    failures: HashMap<(Op, u64), Errno>,
    /// Operations that change something, so far.
    changes: u64,
    /// From this many changes on, all fail.
    halt_at: Option<u64>,
    /// Bytes by which files may still grow.
    room: Option<u64>,
    hook: Option<Hook>,
    /// The disk renames without replacing only by links.
    links: bool,
    /// These fail until they are healed.
    broken: HashMap<Op, Errno>,
    /// Added to the clock.
    passed: Duration,
}

impl State {
    fn failure(&self, op: Op, nth: u64) -> io::Result<()> {
        let errno = self.broken.get(&op).or_else(|| self.failures.get(&(op, nth)));
        errno.map_or(Ok(()), |&errno| Err(errno.into()))
    }
}

impl FaultInjector {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn disk(&self) -> Arc<dyn FileSystem> {
        let inner = OsFileSystem::default();
        Arc::new(wrap::FaultFileSystem { inner, faults: self.clone() })
    }

    pub(crate) fn commit_backend(&self, kind: BackendKind) -> io::Result<Box<dyn CommitBackend>> {
        let inner: Box<dyn CommitBackend> = match kind {
            BackendKind::Uring => Box::new(UringBackend::new()?),
            BackendKind::Blocking => Box::new(BlockingBackend::default()),
        };
        Ok(Box::new(wrap::FaultBackend { inner, file: None, next: None, faults: self.clone() }))
    }

    /// Refuses renames that must not replace, as some file systems do: a link and an unlink take their place.
    pub(crate) fn rename_only_by_links(&self) {
        self.state().links = true;
    }

    pub(crate) fn renames_only_by_links(&self) -> bool {
        self.state().links
    }

    /// How many of these were begun.
    pub(crate) fn count(&self, op: Op) -> u64 {
        self.state().begun.get(&op).copied().unwrap_or(0)
    }

    /// Operations begun that change something.
    pub(crate) fn changes(&self) -> u64 {
        self.state().changes
    }

    /// Holds these back before they are made, until they are released.
    pub(crate) fn hold(&self, op: Op) {
        self.state().held.insert(op);
    }

    pub(crate) fn release(&self, op: Op) {
        self.state().held.remove(&op);
        self.0.changed.notify_all();
    }

    /// Waits until one is held back.
    pub(crate) fn await_held(&self, op: Op) {
        drop(self.wait_while(|state| state.waiting.get(&op).is_none_or(|&count| count == 0)));
    }

    /// Waits until so many were begun.
    pub(crate) fn await_count(&self, op: Op, count: u64) {
        drop(self.wait_while(|state| state.begun.get(&op).is_none_or(|&begun| begun < count)));
    }

    /// Fails the `nth` one from now: 1 is the next, 0 the one that is held back.
    pub(crate) fn fail(&self, op: Op, nth: u64, errno: Errno) {
        let mut state = self.state();
        let nth = state.begun.get(&op).copied().unwrap_or(0) + nth;
        state.failures.insert((op, nth), errno);
    }

    /// Fails all of these from now on.
    pub(crate) fn break_down(&self, op: Op, errno: Errno) {
        self.state().broken.insert(op, errno);
    }

    /// Nothing fails any more.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.broken.clear();
        state.failures.clear();
    }

    /// Advances the clock that intervals are measured by.
    pub(crate) fn advance_clock(&self, time: Duration) {
        self.state().passed += time;
    }

    pub(super) fn passed(&self) -> Duration {
        self.state().passed
    }

    /// Counts an operation that changes nothing; fails it where the test asked for a failure.
    pub(super) fn look(&self, op: Op) -> io::Result<()> {
        let mut state = self.state();
        let nth = state.begun.entry(op).or_default();
        *nth += 1;
        let nth = *nth;
        let failure = state.failure(op, nth);
        drop(state);
        self.0.changed.notify_all();
        failure
    }

    /// After so many more changes nothing can be changed any more, as after a crash. A write may be made in part.
    pub(crate) fn halt_after(&self, changes: u64) {
        let mut state = self.state();
        state.halt_at = Some(state.changes + changes);
    }

    /// Files may grow by so many bytes together; what is cut or removed is room again.
    pub(crate) fn set_space_limit(&self, bytes: u64) {
        self.state().room = Some(bytes);
    }

    pub(crate) fn clear_space_limit(&self) {
        self.state().room = None;
    }

    /// Calls `hook` before each operation that changes something. No other is made meanwhile.
    pub(crate) fn before_each(&self, hook: impl Fn(&Event<'_>) + Send + Sync + 'static) {
        self.state().hook = Some(Arc::new(hook));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    fn wait_while(&self, condition: impl FnMut(&mut State) -> bool) -> MutexGuard<'_, State> {
        let (state, waited) = self.0.changed.wait_timeout_while(self.state(), HANG, condition).unwrap();
        assert!(!waited.timed_out(), "a test hangs");
        state
    }

    /// Makes an operation, or fails as told.
    fn run<T>(&self, event: &Event<'_>, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let hook = self.enter(event.op)?;
        let _turn = hook.map(|hook| {
            let turn = self.0.turn.lock().unwrap();
            hook(event);
            turn
        });
        act()
    }

    fn enter(&self, op: Op) -> io::Result<Option<Hook>> {
        let mut state = self.state();
        let nth = state.begun.entry(op).or_default();
        *nth += 1;
        let nth = *nth;
        *state.waiting.entry(op).or_default() += 1;
        drop(state);
        self.0.changed.notify_all();
        let mut state = self.wait_while(|state| state.held.contains(&op));
        *state.waiting.entry(op).or_default() -= 1;
        state.changes += 1;
        if state.halt_at.is_some_and(|halt_at| state.changes > halt_at) {
            return Err(Errno::IO.into());
        }
        state.failure(op, nth)?;
        Ok(state.hook.clone())
    }

    /// Whether the operation that just failed was the first that was halted.
    fn is_halting(&self) -> bool {
        let state = self.state();
        state.halt_at.is_some_and(|halt_at| state.changes == halt_at + 1)
    }

    /// How many of `bytes` there is room for.
    fn take_room(&self, bytes: u64) -> u64 {
        let mut state = self.state();
        let Some(room) = &mut state.room else { return bytes };
        let granted = bytes.min(*room);
        *room -= granted;
        granted
    }

    fn give_room_back(&self, bytes: u64) {
        if let Some(room) = &mut self.state().room {
            *room += bytes;
        }
    }

    fn has_room(&self) -> bool {
        self.state().room != Some(0)
    }
}

impl fmt::Debug for FaultInjector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}
