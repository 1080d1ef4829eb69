//! The writer with blocked, failing and full file systems, with every commit backend.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod append_options;
mod capture;
mod closing;
mod crash;
mod failure;
mod full_disk;
mod grouping;
mod holds;
mod logging;
mod padding;
mod queue;
mod retention;
mod rotation;
mod shortage;
mod statistics;
mod stepped;

use std::{
    fs,
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    time::Duration,
};

use futures_lite::future::poll_once;
use rustix::io::Errno;
use tempfile::TempDir;

use crate::{
    BackendKind, JournalOptions, MiniStore, MiniStoreError, PendingAppend, Reader, Result, SyncKind,
    SyncMode,
    io::fault::{FaultInjector, Op},
};

/// A test that waits longer than this has failed.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// The sync modes of commits.
const SYNC_MODES: [SyncMode; 2] = [SyncMode::Dsync, SyncMode::Fdatasync];

/// Returns the commit backends that are available: io_uring may be refused, and tokio-uring not compiled in.
fn backends() -> Vec<BackendKind> {
    let all = [BackendKind::Blocking, BackendKind::Uring, BackendKind::TokioUring];
    all.into_iter().filter(|kind| kind.commit_backend().is_ok()).collect()
}

/// A store on a file system with fault injection.
struct StoreFixture {
    dir: TempDir,
    path: PathBuf,
    faults: FaultInjector,
    store: MiniStore,
}

impl StoreFixture {
    fn open(kind: BackendKind, options: JournalOptions) -> Self {
        Self::open_on(kind, options, FaultInjector::new())
    }

    fn open_on(kind: BackendKind, options: JournalOptions, faults: FaultInjector) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let store = open_on(kind, options, &path, &faults).unwrap();
        Self { dir, path, faults, store }
    }

    /// Blocks commits, and appends `record`, whose commit is blocked when this returns.
    fn stall(&self, record: u64) -> PendingAppend {
        self.faults.block(Op::Commit);
        let pending = self.submit(&record);
        self.faults.wait_until_blocked(Op::Commit);
        pending
    }

    fn submit<R: serde::Serialize + ?Sized>(&self, record: &R) -> PendingAppend {
        finish(self.store.submit(record)).unwrap()
    }

    fn append(&self, record: u64) -> Result<()> {
        finish(self.store.append(&record))
    }

    /// Appends a record, and starts a rotation that is blocked at its first sync of the directory.
    fn stall_rotation(&self) -> Pin<Box<impl Future<Output = Result<()>> + '_>> {
        self.append(0).unwrap();
        self.barrier();
        self.faults.block(Op::SyncDir);
        let mut rotation = Box::pin(self.store.rotate());
        assert!(is_pending(&mut rotation));
        self.faults.wait_until_blocked(Op::SyncDir);
        rotation
    }

    /// Submits four appends, of which the third is too large for the disk space. The first is in a group of its own.
    fn submit_more_than_fits(&self) -> [PendingAppend; 4] {
        let first = self.stall(0);
        self.faults.set_space_limit(100 << 10);
        let (small, huge) = (self.submit(&1u64), self.submit(&"x".repeat(600 << 10)));
        let last = self.submit(&2u64);
        self.faults.unblock(Op::Commit);
        [first, small, huge, last]
    }

    /// Waits until the writer thread has handled the requests before this one.
    fn barrier(&self) {
        finish(self.store.append_batch::<u64, _>([])).unwrap();
    }

    /// Appends and rotates `count` times: segments of one record each, and an empty active one.
    fn append_segments(&self, count: u64) {
        for record in 0..count {
            self.append(record).unwrap();
            finish(self.store.rotate()).unwrap();
        }
        // Its reply comes after the background work of the last rotation.
        finish(self.store.trim_before(0)).unwrap();
    }

    fn rotations(&self) -> u64 {
        self.store.stats().rotations
    }
}

fn open_on(
    kind: BackendKind,
    options: JournalOptions,
    path: &Path,
    faults: &FaultInjector,
) -> Result<MiniStore> {
    let faults = faults.clone();
    finish(MiniStore::open_on(options, path, move || {
        Ok((kind, faults.file_system(), faults.commit_backend(kind)?))
    }))
}

/// Runs a future to completion, within [`WAIT_TIMEOUT`].
fn finish<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(WAIT_TIMEOUT, future).await.expect("the future hangs") })
}

fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    pollster::block_on(poll_once(future)).is_none()
}

/// Returns the values of all records. Their sequence numbers must be contiguous from 1.
fn values(path: &Path) -> Vec<u64> {
    let records = Reader::open(path).unwrap().records::<u64>().map(|record| record.unwrap()).enumerate();
    records
        .map(|(index, record)| {
            assert_eq!(record.seq, index as u64 + 1);
            record.value
        })
        .collect()
}

fn is_closed(path: &Path) -> bool {
    fs::read(path).unwrap().ends_with(b"\t\n")
}

/// Returns the error code that poisoned the store.
fn poison_errno<T: std::fmt::Debug>(outcome: Result<T>) -> Option<Errno> {
    match outcome {
        Err(MiniStoreError::Poisoned { source, .. }) => source.raw_os_error().map(Errno::from_raw_os_error),
        other => panic!("not poisoned: {other:?}"),
    }
}

fn is_storage_full<T: std::fmt::Debug>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(MiniStoreError::StorageFull { .. }))
}
