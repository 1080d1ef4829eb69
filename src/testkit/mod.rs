//! A simulated disk, for programs that crash-test their own recovery. Nothing here touches a real file.
//!
//! [`SimDisk`] is an operating system's page cache over a disk with sectors of 512 bytes, in memory. It can cut the
//! power after any operation, kill the process, fail a write or a sync, and run full. After a power cut it holds one of
//! the states that a real disk could be left in, chosen by its seed: of what was not synced any sectors may be lost, a
//! write may be torn, sizes may be the old ones, names of files may be missing.
//!
//! A program that keeps its state in a journal opens it on the disk, works until the power is cut, and opens it again:
//! everything that was acknowledged must be there.
//!
//! ```
//! use ministore_uring::{JournalOptions, testkit::SimDisk};
//!
//! # fn main() -> ministore_uring::Result<()> {
//! for seed in 0..20 {
//!     let disk = SimDisk::new(seed);
//!     disk.power_cut_at(20 + seed);
//!     let mut acknowledged = 0;
//!     if let Ok(store) = disk.open_blocking(JournalOptions::new(), "counter.jsonl") {
//!         while store.blocking().append(&(acknowledged + 1)).is_ok() {
//!             acknowledged += 1;
//!         }
//!     }
//!     disk.restart();
//!     // The store recovers when it is opened for writing; readers need not wait for that.
//!     let store = disk.open_blocking(JournalOptions::new(), "counter.jsonl")?;
//!     let found = disk.reader("counter.jsonl").records::<u64>().count();
//!     assert!(found == acknowledged || found == acknowledged + 1, "seed {seed}: {found} of {acknowledged}");
//!     store.blocking().close()?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Repeating a failure
//!
//! A store on this disk has its writer thread as always, and does its background work on that thread, too. So a program
//! that awaits each append before it makes the next one makes the same operations in every run, and a seed and the
//! number of an operation repeat a failure. If several appends are pending at the same time, the number of them that
//! share a commit depends on the threads, and so do the operations that follow.
//!
//! # What is not simulated
//!
//! Directories other than the one that files are in, permissions, symbolic links, and reads that fail. Time passes only
//! in [`SimDisk::advance_clock`].

#![cfg_attr(
    not(any(test, feature = "unstable-internals")),
    allow(dead_code, unreachable_pub, reason = "some of it is used by the project's own simulation only")
)]

mod backend;
mod content;
mod directory;
pub(crate) mod fault_plan;
mod file;
mod fs;
mod host;
pub(crate) mod rng;
mod scheduler;
mod state;
#[cfg(any(test, feature = "unstable-internals"))]
pub(crate) mod stepped;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use directory::DirEntriesAfterCrash;
pub use fault_plan::DirectIo;
use serde::de::DeserializeOwned;

use self::{
    fault_plan::CrashKind,
    fs::{SimFs, absolute},
    host::SimHost,
};
use crate::{
    BackendKind, JournalOptions, MiniStore, MiniStoreError, Reader, Result,
    io::FileSystem,
    maintenance::{VerifyReport, verify_on},
    read::replay_on,
};

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    host: Arc<SimHost>,
}

impl SimDisk {
    /// Creates an empty disk without faults. `seed` decides what a crash leaves of unsynced data.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { host: Arc::new(SimHost::new(seed, false)) }
    }

    /// Opens a journal on this disk, as [`JournalOptions::open`] does on a real one. The backend option is ignored.
    ///
    /// # Errors
    ///
    /// As [`JournalOptions::open`].
    pub async fn open<P: AsRef<Path>>(&self, options: JournalOptions, path: P) -> Result<MiniStore> {
        let fs = self.fs();
        let select_backend = move || {
            let commit_backend = fs.commit_backend()?;
            Ok((BackendKind::Blocking, Arc::new(fs) as Arc<dyn FileSystem>, commit_backend))
        };
        MiniStore::open_on(options, path.as_ref(), select_backend).await
    }

    /// Opens a journal as [`open`](Self::open) does, for programs without an async runtime.
    ///
    /// # Errors
    ///
    /// As [`JournalOptions::open`].
    pub fn open_blocking<P: AsRef<Path>>(&self, options: JournalOptions, path: P) -> Result<MiniStore> {
        pollster::block_on(self.open(options, path))
    }

    /// Replays a journal, as [`MiniStore::replay`] does.
    ///
    /// # Errors
    ///
    /// As [`MiniStore::replay`].
    pub async fn replay<R: DeserializeOwned>(&self, path: impl AsRef<Path>) -> Result<Vec<R>> {
        replay_on(Arc::new(self.fs()), path.as_ref().to_path_buf()).await
    }

    /// Returns a reader of a journal, as [`Reader::open`] does.
    #[must_use]
    pub fn reader(&self, path: impl AsRef<Path>) -> Reader {
        Reader::new(Arc::new(self.fs()), path.as_ref())
    }

    /// Verifies a journal, as [`maintenance::verify`](crate::maintenance::verify()) does.
    ///
    /// # Errors
    ///
    /// As [`maintenance::verify`](crate::maintenance::verify()).
    pub fn verify(&self, path: impl AsRef<Path>) -> Result<VerifyReport> {
        verify_on(&self.fs(), path.as_ref())
    }

    /// Returns the number of operations so far that changed something: writes, syncs, changes of sizes and of names. A
    /// split write is several.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.host.state().operations
    }

    /// Cuts the power in the middle of the operation with this number, counted from 1 since the disk was created. That
    /// one and every later one fails until [`restart`](Self::restart).
    pub fn power_cut_at(&self, operation: u64) {
        self.host.state().plan.crash_at = Some((operation, CrashKind::PowerCut));
    }

    /// Kills the process in the middle of the operation with this number. What it wrote stays in the page cache: it is
    /// visible after [`restart`](Self::restart), and not more durable than before.
    pub fn kill_at(&self, operation: u64) {
        self.host.state().plan.crash_at = Some((operation, CrashKind::Kill));
    }

    /// As [`power_cut_at`](Self::power_cut_at), counted from now: 1 is the next operation.
    pub fn power_cut_after(&self, operations: u64) {
        let mut state = self.host.state();
        state.plan.crash_at = Some((state.operations + operations, CrashKind::PowerCut));
    }

    /// As [`kill_at`](Self::kill_at), counted from now: 1 is the next operation.
    pub fn kill_after(&self, operations: u64) {
        let mut state = self.host.state();
        state.plan.crash_at = Some((state.operations + operations, CrashKind::Kill));
    }

    /// Returns whether the power was cut, or the process killed, since the last [`restart`](Self::restart).
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.host.state().stopped.is_some()
    }

    /// Starts again after a power cut or a kill; where there was none, cuts the power now. Every operation of stores
    /// that are still open fails.
    pub fn restart(&self) {
        let mut state = self.host.state();
        let crash = state.stopped.unwrap_or(CrashKind::PowerCut);
        state.restart(crash);
    }

    /// Makes a write fail with an I/O error, counted from now: 1 is the next. Some of it may be on the disk.
    pub fn fail_write(&self, nth: u64) {
        let mut state = self.host.state();
        let at = state.writes + nth;
        state.plan.failing_writes.push(at);
    }

    /// Makes a sync of a file or a directory fail with an I/O error, counted from now: 1 is the next. As on Linux, the
    /// dirty pages are dropped: the next sync succeeds, and their data may never reach the disk.
    pub fn fail_sync(&self, nth: u64) {
        let mut state = self.host.state();
        let at = state.syncs + nth;
        state.plan.failing_syncs.push(at);
    }

    /// Makes a rename fail with an I/O error, counted from now: 1 is the next. The file may have its new name
    /// nevertheless.
    pub fn fail_rename(&self, nth: u64) {
        let mut state = self.host.state();
        let at = state.renames + nth;
        state.plan.failing_renames.push(at);
    }

    /// Limits by how many bytes all files together may still grow; truncating and removing frees space.
    pub fn set_space_limit(&self, bytes: u64) {
        self.host.state().plan.space = Some(bytes);
    }

    /// Removes the limit.
    pub fn clear_space_limit(&self) {
        self.host.state().plan.space = None;
    }

    /// Sets whether the process has no file descriptors left (default: no). Every call that needs a new one then fails
    /// with `EMFILE`, having changed nothing.
    pub fn exhaust_descriptors(&self, yes: bool) {
        self.host.state().plan.no_descriptors = yes;
    }

    /// Sets whether the kernel is short of memory (default: no). Renames and calls that look up files then fail with
    /// `ENOMEM` now and then, having changed nothing. Reads, writes and syncs work.
    pub fn exhaust_memory(&self, yes: bool) {
        self.host.state().plan.no_memory = yes;
    }

    /// Sets whether a full disk fails the sync instead of the write, as with delayed allocation (default: the write).
    pub fn delay_allocation(&self, yes: bool) {
        self.host.state().plan.delayed_allocation = yes;
    }

    /// Splits writes into up to this many pieces (default: 1), each an operation of its own.
    pub fn split_writes(&self, pieces_max: u64) {
        self.host.state().plan.pieces_max = pieces_max.max(1);
    }

    /// Sets whether files can be written without the page cache (default: yes).
    pub fn direct_io(&self, how: DirectIo) {
        self.host.state().plan.direct_io = how;
    }

    /// Sets whether the file system honours `O_DSYNC` (default: yes). One that does not is none of those on which the
    /// flag is trusted (see [`SyncMode`](crate::SyncMode)): a write with it is only durable after the next sync, as on
    /// FUSE.
    pub fn honor_dsync(&self, yes: bool) {
        self.host.state().plan.honors_dsync = yes;
    }

    /// Returns the number of completed syncs of files so far: `fsync` and `fdatasync` that succeeded, and writes with
    /// `O_DSYNC` where the file system honours it.
    #[must_use]
    pub fn completed_syncs(&self) -> u64 {
        self.host.state().completed_syncs
    }

    /// Sets whether the file system supports a rename that does not replace a file (default: yes). Without that, a
    /// store gives a file its new name with a link and removes the old name afterwards.
    pub fn rename_without_replacing(&self, yes: bool) {
        self.host.state().plan.renames_without_replacing = yes;
    }

    /// Advances the clock: for options that depend on the age of files ([`max_age`](JournalOptions::max_age)).
    pub fn advance_clock(&self, time: Duration) {
        self.host.state().advance_clock(time);
    }

    /// Sets the effect of a power cut on names (default: [`DirEntriesAfterCrash::Any`]).
    pub fn dir_entries_after_crash(&self, how: DirEntriesAfterCrash) {
        self.host.state().plan.dir_entries_after_crash = how;
    }

    /// Returns the files on the disk, as processes see them.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.host.state().paths()
    }

    /// Returns the bytes of a file, as processes see them.
    ///
    /// # Errors
    ///
    /// [`Io`](MiniStoreError::Io), of kind `NotFound`.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Vec<u8>> {
        let state = self.host.state();
        let inode = state.find(&absolute(path.as_ref())).map_err(not_found(path.as_ref()))?;
        Ok(state.cached(inode).to_vec())
    }

    /// Replaces bytes of a file on the disk itself, unnoticed by the page cache.
    ///
    /// # Errors
    ///
    /// [`Io`](MiniStoreError::Io), of kind `NotFound`.
    pub fn damage(&self, path: impl AsRef<Path>, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.host.state();
        let inode = state.find(&absolute(path.as_ref())).map_err(not_found(path.as_ref()))?;
        state.damage(inode, offset, bytes);
        Ok(())
    }

    /// Returns the file system, for tests of a reader's internals.
    #[cfg(test)]
    pub(crate) fn file_system(&self) -> Arc<dyn FileSystem> {
        Arc::new(self.fs())
    }

    /// Returns the file system of the current incarnation.
    fn fs(&self) -> SimFs {
        SimFs { incarnation: self.host.state().incarnation, host: Arc::clone(&self.host) }
    }
}

fn not_found(path: &Path) -> impl FnOnce(std::io::Error) -> MiniStoreError {
    MiniStoreError::file(path, "find")
}
