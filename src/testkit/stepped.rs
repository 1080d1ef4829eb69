//! What the simulation in `stress/sim` needs beyond the public interface: stores without threads, whose every step it
//! takes, and a look behind the disk's face.

use std::{path::Path, sync::Arc};

use super::{
    Host, SimDisk,
    disk::Watcher,
    plan::{Beside, Stop},
};
use crate::{BackendKind, JournalOptions, MiniStore, Result, commit::writer, io::FileSystem};

/// A writer that does nothing by itself.
#[derive(Debug)]
pub struct Stepped(writer::ManualWriter);

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Something was done.
    Busy,
    /// Nothing is there to be done.
    Idle,
    /// The journal is closed.
    Ended,
}

impl Stepped {
    /// Takes in one request, or one outcome of the work beside (`outcomes_first` where both are there).
    pub fn step(&mut self, outcomes_first: bool) -> Turn {
        match self.0.step(outcomes_first) {
            writer::StepResult::Busy => Turn::Busy,
            writer::StepResult::Idle => Turn::Idle,
            writer::StepResult::Ended => Turn::Ended,
        }
    }
}

impl SimDisk {
    /// A disk whose work beside the commits has a thread in lock-step.
    #[must_use]
    pub fn in_lock_step(seed: u64) -> Self {
        Self { host: Arc::new(Host::new(seed, true)) }
    }

    /// Another disk in the same state, which goes its own way.
    #[must_use]
    pub fn fork(&self, seed: u64) -> Self {
        let host = Host::new(seed, true);
        let mut machine = self.host.machine().clone();
        machine.rng = super::sim::Rng::new(seed);
        *host.machine() = machine;
        Self { host: Arc::new(host) }
    }

    /// Opens a journal on the calling thread. It does only what it is told to.
    ///
    /// # Errors
    ///
    /// As [`JournalOptions::open`].
    pub fn open_stepped(&self, options: JournalOptions, path: &Path) -> Result<(MiniStore, Stepped)> {
        let disk = self.now();
        let commit_backend = disk.commit_backend()?;
        let selected = (BackendKind::Blocking, Arc::new(disk) as Arc<dyn FileSystem>, commit_backend);
        let (store, writer) = MiniStore::open_stepped(options, path, selected)?;
        Ok((store, Stepped(writer)))
    }

    /// Calls `watcher` before each operation of the writer.
    pub fn watch(&self, watcher: Option<Watcher>) {
        self.host.watch(watcher);
    }

    /// Lets the work beside make one operation. `false` where there is none.
    pub fn advance_beside(&self) -> bool {
        self.host.pace.advance()
    }

    /// How fast the work beside gets on.
    pub fn pace_beside(&self, pace: Beside) {
        self.host.machine().plan.beside = pace;
    }

    /// Ends this life now.
    pub fn stop_now(&self, stop: Stop) {
        let mut machine = self.host.machine();
        machine.stopped.get_or_insert(stop);
    }

    /// How this life ended, if it did.
    #[must_use]
    pub fn stopped(&self) -> Option<Stop> {
        self.host.machine().stopped
    }

    /// Begins the next life, after this end of the last one.
    pub fn restart_after(&self, stop: Stop) {
        self.host.machine().restart(stop);
    }

    /// No fault is planned any more.
    pub fn heal(&self) {
        let mut machine = self.host.machine();
        machine.plan.failing_writes.clear();
        machine.plan.failing_syncs.clear();
        machine.plan.failing_renames.clear();
        machine.plan.no_descriptors = false;
        machine.plan.no_memory = false;
        machine.plan.room = None;
        machine.plan.stop_at = None;
    }

    /// The cache forgets whatever a failed sync dropped: nothing changes by itself from now on.
    pub fn forget_dropped(&self) {
        self.host.machine().forget_all();
    }

    /// Faults that struck so far.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.host.machine().faults
    }

    /// Calls that were refused for a temporary shortage so far.
    #[must_use]
    pub fn shortages(&self) -> u64 {
        self.host.machine().refused
    }

    /// Calls `look` as another process, which has descriptors and memory.
    pub fn from_outside<T>(&self, look: impl FnOnce() -> T) -> T {
        let before = {
            let plan = &self.host.machine().plan;
            (plan.no_descriptors, plan.no_memory)
        };
        self.exhaust_descriptors(false);
        self.exhaust_memory(false);
        let seen = look();
        self.exhaust_descriptors(before.0);
        self.exhaust_memory(before.1);
        seen
    }

    /// What a real disk would have refused.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.host.machine().violations.clone()
    }

    /// What a power cut could take away.
    #[must_use]
    pub fn undurable(&self) -> Option<String> {
        self.host.machine().undurable()
    }

    /// Notes every operation from now on.
    pub fn trace(&self) {
        self.host.machine().trace = Some(Vec::new());
    }

    /// A line of one's own in the trace.
    pub fn note(&self, text: &str) {
        let mut machine = self.host.machine();
        let line = format!("{}: -- {text}", machine.operations);
        if let Some(trace) = &mut machine.trace {
            trace.push(line);
        }
    }

    /// What was noted.
    #[must_use]
    pub fn traced(&self) -> Vec<String> {
        self.host.machine().trace.clone().unwrap_or_default()
    }

    /// Takes a file's name away.
    pub fn erase(&self, path: &Path) {
        self.host.machine().erase(&super::absolute(path));
    }

    /// Puts a file on the disk itself, or replaces it.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        self.host.machine().put(&super::absolute(path), bytes);
    }
}
