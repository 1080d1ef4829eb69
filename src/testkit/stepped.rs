//! The interface of the simulation in `stress/sim`: stores without threads, which it runs step by step, and the
//! internals of the disk.

use std::{path::Path, sync::Arc};

use super::{
    SimDisk, SimHost,
    fault_plan::{BackgroundPace, CrashKind},
    host::Watcher,
    rng::Rng,
};
use crate::{
    BackendKind, JournalOptions, MiniStore, Result, commit::writer::SteppedWriter, io::FileSystem,
    options::ReadLimits,
};

impl SimDisk {
    /// Creates a disk whose background work has a thread in lockstep.
    #[must_use]
    pub fn in_lock_step(seed: u64) -> Self {
        Self { host: Arc::new(SimHost::new(seed, true)) }
    }

    /// Returns another disk in the same state, independent of this one.
    #[must_use]
    pub fn fork(&self, seed: u64) -> Self {
        let host = SimHost::new(seed, true);
        let mut state = self.host.state().clone();
        state.rng = Rng::new(seed);
        *host.state() = state;
        Self { host: Arc::new(host) }
    }

    /// Opens a journal on the calling thread. Its writer works only in [`SteppedWriter::step`].
    ///
    /// # Errors
    ///
    /// As [`JournalOptions::open`].
    pub fn open_stepped(&self, options: JournalOptions, path: &Path) -> Result<(MiniStore, SteppedWriter)> {
        self.open_stepped_on(options, path, |disk| disk)
    }

    /// As [`open_stepped`](Self::open_stepped), on the file system that `layer` makes of this disk.
    ///
    /// # Errors
    ///
    /// As [`JournalOptions::open`].
    pub fn open_stepped_on(
        &self,
        options: JournalOptions,
        path: &Path,
        layer: impl FnOnce(Arc<dyn FileSystem>) -> Arc<dyn FileSystem>,
    ) -> Result<(MiniStore, SteppedWriter)> {
        let fs = layer(Arc::new(self.fs()));
        let commit_backend = fs.commit_backend()?;
        let selected = (BackendKind::Blocking, fs, commit_backend);
        MiniStore::open_stepped(options, path, selected)
    }

    /// Calls `watcher` before each operation of the writer.
    pub fn watch(&self, watcher: Option<Watcher>) {
        self.host.watch(watcher);
    }

    /// Lets the background thread make one operation. Returns `false` if it has no task.
    pub fn advance_background(&self) -> bool {
        self.host.scheduler.advance()
    }

    /// Sets the speed of background work.
    pub fn background_pace(&self, pace: BackgroundPace) {
        self.host.state().plan.background_pace = pace;
    }

    /// Sets the sizes in which files are read that are opened from now on.
    pub fn read_limits(&self, limits: ReadLimits) {
        self.host.state().plan.read_limits = limits;
    }

    /// Ends this incarnation now.
    pub fn stop_now(&self, crash: CrashKind) {
        let mut state = self.host.state();
        state.stopped.get_or_insert(crash);
    }

    /// Returns how this incarnation ended; `None` if it did not.
    #[must_use]
    pub fn stopped(&self) -> Option<CrashKind> {
        self.host.state().stopped
    }

    /// Starts the next incarnation, after this end of the last one.
    pub fn restart_after(&self, crash: CrashKind) {
        self.host.state().restart(crash);
    }

    /// Removes all planned faults.
    pub fn heal(&self) {
        let mut state = self.host.state();
        state.plan.failing_writes.clear();
        state.plan.failing_syncs.clear();
        state.plan.failing_renames.clear();
        state.plan.no_descriptors = false;
        state.plan.no_memory = false;
        state.plan.space = None;
        state.plan.crash_at = None;
    }

    /// Reloads all pages that a failed sync dropped, so that no read changes from now on.
    pub fn forget_dropped(&self) {
        self.host.state().forget_all_dropped();
    }

    /// Returns the number of faults that occurred so far.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.host.state().faults
    }

    /// Returns the number of calls so far that failed because of a temporary shortage.
    #[must_use]
    pub fn shortages(&self) -> u64 {
        self.host.state().shortages
    }

    /// Calls `observe` as another process, which has descriptors and memory.
    pub fn from_outside<T>(&self, observe: impl FnOnce() -> T) -> T {
        let before = {
            let plan = &self.host.state().plan;
            (plan.no_descriptors, plan.no_memory)
        };
        self.exhaust_descriptors(false);
        self.exhaust_memory(false);
        let observed = observe();
        self.exhaust_descriptors(before.0);
        self.exhaust_memory(before.1);
        observed
    }

    /// Returns the operations that a real disk would have refused.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.host.state().violations.clone()
    }

    /// Returns a description of what a power cut could lose; `None` if everything is durable.
    #[must_use]
    pub fn undurable(&self) -> Option<String> {
        self.host.state().dirty_state()
    }

    /// Records every operation from now on.
    pub fn trace(&self) {
        self.host.state().trace = Some(Vec::new());
    }

    /// Adds a line of the caller to the trace.
    pub fn note(&self, text: &str) {
        let mut state = self.host.state();
        let line = format!("{}: -- {text}", state.operations);
        if let Some(trace) = &mut state.trace {
            trace.push(line);
        }
    }

    /// Returns the recorded operations.
    #[must_use]
    pub fn traced(&self) -> Vec<String> {
        self.host.state().trace.clone().unwrap_or_default()
    }

    /// Removes a file durably.
    pub fn erase(&self, path: &Path) {
        self.host.state().delete_file(&super::absolute(path));
    }

    /// Creates or replaces a file, durably.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        self.host.state().write_file(&super::absolute(path), bytes);
    }
}
