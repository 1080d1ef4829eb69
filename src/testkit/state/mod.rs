//! The state of a simulated computer: its files and names, the planned faults, and the effect of a crash. Every method
//! is one operation of a process; the scheduler decides the order of operations.

mod files;
mod names;

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::io::Errno;

use super::{
    content::FileContent,
    directory::{Directory, Inode},
    fault_plan::{BackgroundPace, CrashKind, FaultPlan},
    rng::Rng,
};

/// The kinds of operations that faults distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpKind {
    Write,
    Sync,
    Names,
    SyncDir,
    SetLen,
}

/// The decision about an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpDecision {
    Apply,
    /// The incarnation ends in the middle of it.
    Crash(CrashKind),
    Fail(Errno),
}

/// The state of a simulated computer.
#[derive(Debug, Clone)]
pub(super) struct SimState {
    pub(super) plan: FaultPlan,
    pub(super) rng: Rng,
    files: Vec<SimInode>,
    directory: Directory,
    /// The incarnation that owns the lock on each path.
    lock_owners: HashMap<PathBuf, u64>,
    /// Lock files; the index of each is its id.
    lock_files: Vec<PathBuf>,
    /// The number of restarts. Files that were opened in an earlier incarnation fail.
    pub(super) incarnation: u64,
    /// The crash after which every operation fails until the restart.
    pub(super) stopped: Option<CrashKind>,
    /// Operations so far that changed something.
    pub(super) operations: u64,
    /// The time since the epoch.
    clock: Duration,
    pub(super) writes: u64,
    pub(super) syncs: u64,
    /// Syncs of files that succeeded, and durable writes.
    pub(super) completed_syncs: u64,
    /// Faults that occurred.
    pub(super) faults: u64,
    pub(super) renames: u64,
    /// Calls that failed because of a temporary shortage. They changed nothing.
    pub(super) shortages: u64,
    /// Operations that a real disk would have refused.
    pub(super) violations: Vec<String>,
    /// Every operation, for debugging.
    pub(super) trace: Option<Vec<String>>,
}

/// A file, whatever its names.
#[derive(Debug, Default, Clone)]
struct SimInode {
    content: FileContent,
    /// Failed syncs. Each is reported once to every open handle.
    failures: u64,
    /// Written bytes for which no disk space is allocated yet.
    unallocated: u64,
    /// When it was last changed.
    modified: Duration,
}

impl SimState {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            plan: FaultPlan::default(),
            rng: Rng::new(seed),
            files: Vec::new(),
            directory: Directory::default(),
            lock_owners: HashMap::new(),
            lock_files: Vec::new(),
            incarnation: 0,
            stopped: None,
            operations: 0,
            clock: Duration::ZERO,
            writes: 0,
            syncs: 0,
            completed_syncs: 0,
            faults: 0,
            renames: 0,
            shortages: 0,
            violations: Vec::new(),
            trace: None,
        }
    }

    /// Counts an operation that changes something, and decides about it.
    pub(super) fn begin(&mut self, incarnation: u64, kind: OpKind) -> OpDecision {
        if incarnation != self.incarnation || self.stopped.is_some() {
            return OpDecision::Fail(Errno::IO);
        }
        self.operations += 1;
        if self.rng.chance(10) {
            (0..self.files.len()).for_each(|inode| self.maybe_forget_dropped(inode));
        }
        if let Some(crash) = self.plan.crashes_at(self.operations) {
            self.stopped = Some(crash);
            self.note(|_| format!("{crash:?} in the middle of: {kind:?}"));
            return OpDecision::Crash(crash);
        }
        let failed = match kind {
            OpKind::Write => {
                self.writes += 1;
                self.plan.failing_writes.contains(&self.writes)
            }
            OpKind::Sync | OpKind::SyncDir => {
                self.syncs += 1;
                self.plan.failing_syncs.contains(&self.syncs)
            }
            OpKind::Names | OpKind::SetLen => false,
        };
        if failed {
            self.faults += 1;
            return OpDecision::Fail(Errno::IO);
        }
        OpDecision::Apply
    }

    /// Chooses how many background operations run before the next one of the writer.
    pub(super) fn background_steps(&mut self) -> u64 {
        match self.plan.background_pace {
            BackgroundPace::Starved => 0,
            BackgroundPace::Slow => u64::from(self.rng.chance(20)),
            BackgroundPace::Even => self.rng.below(3),
            BackgroundPace::Eager => self.rng.below(20),
        }
    }

    /// Fails if this incarnation has ended.
    pub(super) fn check_alive(&self, incarnation: u64) -> io::Result<()> {
        if incarnation == self.incarnation && self.stopped.is_none() { Ok(()) } else { Err(Errno::IO.into()) }
    }

    /// Adds a line to the trace.
    pub(super) fn note(&mut self, text: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let text = format!("{}: {}", self.operations, text(self));
            self.trace.get_or_insert_default().push(text);
        }
    }

    /// Returns the names of a file, for the trace.
    fn describe(&self, inode: Inode) -> String {
        let names = self.directory.names().filter(|(_, named)| *named == inode);
        let names: Vec<_> = names.map(|(path, _)| path.display().to_string()).collect();
        format!("{} (inode {inode}, {} bytes)", names.join(" "), self.len(inode))
    }

    /// Fails a call that needs a descriptor while there are none.
    pub(super) fn check_descriptors(&mut self) -> io::Result<()> {
        self.fail_if(self.plan.no_descriptors, Errno::MFILE)
    }

    /// Fails a call that needs kernel memory, now and then, while there is little.
    pub(super) fn check_memory(&mut self) -> io::Result<()> {
        let is_short = self.plan.no_memory && self.rng.chance(30);
        self.fail_if(is_short, Errno::NOMEM)
    }

    /// Fails a rename, which needs kernel memory before it changes anything, now and then.
    pub(super) fn check_rename_memory(&mut self) -> io::Result<()> {
        let is_short = self.plan.no_memory && self.rng.chance(50);
        self.fail_if(is_short, Errno::NOMEM)
    }

    /// Counts a rename, and returns whether it fails. It may have been made nevertheless.
    pub(super) fn next_rename_fails(&mut self) -> bool {
        self.renames += 1;
        let fails = self.plan.failing_renames.contains(&self.renames);
        self.faults += u64::from(fails);
        fails
    }

    fn fail_if(&mut self, is_short: bool, errno: Errno) -> io::Result<()> {
        if is_short {
            self.shortages += 1;
            self.note(|_| format!("refused: {errno}"));
            return Err(errno.into());
        }
        Ok(())
    }

    pub(super) fn advance_clock(&mut self, time: Duration) {
        self.clock = self.clock.saturating_add(time);
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.clock
    }

    pub(super) fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.clock
    }

    pub(super) fn modified(&self, inode: Inode) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.files[inode].modified
    }

    /// Returns the id of the lock file at a path.
    pub(super) fn lock_file_id(&mut self, path: &Path) -> u64 {
        let known = self.lock_files.iter().position(|known| known == path);
        let id = known.unwrap_or_else(|| {
            self.lock_files.push(path.into());
            self.lock_files.len() - 1
        });
        id as u64
    }

    /// Acquires the lock on a path; returns `false` if it has an owner.
    pub(super) fn try_lock(&mut self, path: &Path) -> bool {
        let free = !self.lock_owners.contains_key(path);
        if free {
            self.lock_owners.insert(path.into(), self.incarnation);
        }
        free
    }

    pub(super) fn unlock(&mut self, path: &Path, incarnation: u64) {
        if self.lock_owners.get(path) == Some(&incarnation) {
            self.lock_owners.remove(path);
        }
    }

    /// Starts the process again after a kill, or the computer after a power cut.
    pub(super) fn restart(&mut self, crash: CrashKind) {
        (0..self.files.len()).for_each(|inode| self.maybe_forget_dropped(inode));
        self.incarnation += 1;
        self.lock_owners.clear();
        if crash == CrashKind::PowerCut {
            self.directory.power_cut(self.plan.dir_entries_after_crash, &mut self.rng);
            for file in &mut self.files {
                let before = file.content.len();
                file.content.power_cut(&mut self.rng);
                let lost = before.saturating_sub(file.content.len()) as u64;
                self.plan.free_space(lost);
                (file.failures, file.unallocated) = (0, 0);
            }
        }
        for (inode, file) in self.files.iter_mut().enumerate() {
            if !self.directory.is_named(inode) {
                file.content = FileContent::default();
            }
        }
        self.stopped = None;
        self.plan.crash_at = None;
        self.note(|state| {
            let names = state.directory.names();
            let lengths: Vec<_> =
                names.map(|(path, inode)| format!("{}={}", path.display(), state.len(inode))).collect();
            format!("---- {crash:?}, left: {}", lengths.join(" "))
        });
    }

    /// Returns a description of what a power cut could lose; `None` if everything is durable.
    pub(super) fn dirty_state(&self) -> Option<String> {
        if self.directory.is_dirty() {
            return Some("names that no sync of the directory covers".into());
        }
        let dirty = |(path, inode): &(&PathBuf, Inode)| {
            self.files[*inode].content.is_dirty().then(|| format!("{}: not synced", path.display()))
        };
        self.directory.names().find_map(|name| dirty(&name))
    }

    /// Creates or replaces a file, durably.
    pub(super) fn write_file(&mut self, path: &Path, bytes: &[u8]) {
        let inode = self.files.len();
        let mut content = FileContent::default();
        content.damage(0, bytes);
        self.files.push(SimInode { content, ..SimInode::default() });
        self.directory.create_durable(path, inode);
    }

    /// Removes a name durably.
    pub(super) fn delete_file(&mut self, path: &Path) {
        self.directory.remove_durable(path);
    }

    /// Replaces bytes of a file on the disk, unnoticed by processes.
    pub(super) fn damage(&mut self, inode: Inode, offset: u64, bytes: &[u8]) {
        self.files[inode].content.damage(offset as usize, bytes);
    }
}
