//! The writer on a disk that holds back, fails and fills up, over both lanes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod capture;
mod closing;
mod crash;
mod failure;
mod full_disk;
mod grouping;
mod logging;
mod manual;
mod queue;
mod retention;
mod rotation;
mod shortage;
mod stages;
mod terms;

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

/// A test that waits longer than this hangs.
const HANG: Duration = Duration::from_secs(60);

/// What a commit may be made durable with.
const SYNC_MODES: [SyncMode; 2] = [SyncMode::Dsync, SyncMode::Fdatasync];

/// The lanes that run here: io_uring may be refused.
fn lanes() -> Vec<BackendKind> {
    let uring = FaultInjector::new().commit_backend(BackendKind::Uring).is_ok();
    [BackendKind::Blocking].into_iter().chain(uring.then_some(BackendKind::Uring)).collect()
}

/// A store on a disk under control.
struct Rig {
    dir: TempDir,
    path: PathBuf,
    faults: FaultInjector,
    store: MiniStore,
}

impl Rig {
    fn open(kind: BackendKind, options: JournalOptions) -> Self {
        Self::open_on(kind, options, FaultInjector::new())
    }

    fn open_on(kind: BackendKind, options: JournalOptions, faults: FaultInjector) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let store = open_on(kind, options, &path, &faults).unwrap();
        Self { dir, path, faults, store }
    }

    /// Holds commits back, and has one held back that carries `record`.
    fn stall(&self, record: u64) -> PendingAppend {
        self.faults.hold(Op::Commit);
        let pending = self.submit(&record);
        self.faults.await_held(Op::Commit);
        pending
    }

    fn submit<R: serde::Serialize + ?Sized>(&self, record: &R) -> PendingAppend {
        finish(self.store.submit(record)).unwrap()
    }

    fn append(&self, record: u64) -> Result<()> {
        finish(self.store.append(&record))
    }

    /// A record, and a rotation that is held back before its first sync of the directory.
    fn stall_rotation(&self) -> Pin<Box<impl Future<Output = Result<()>> + '_>> {
        self.append(0).unwrap();
        self.settle();
        self.faults.hold(Op::SyncDir);
        let mut rotating = Box::pin(self.store.rotate());
        assert!(is_waiting(&mut rotating));
        self.faults.await_held(Op::SyncDir);
        rotating
    }

    /// Four appends in a row, the third too large for the room that there is. The first is in a group of its own.
    fn submit_more_than_fits(&self) -> [PendingAppend; 4] {
        let first = self.stall(0);
        self.faults.set_space_limit(100 << 10);
        let (small, huge) = (self.submit(&1u64), self.submit(&"x".repeat(600 << 10)));
        let last = self.submit(&2u64);
        self.faults.release(Op::Commit);
        [first, small, huge, last]
    }

    /// Waits until the writer has done what it was asked before.
    fn settle(&self) {
        finish(self.store.append_batch::<u64, _>([])).unwrap();
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
    finish(MiniStore::open_on(options, path, move || Ok((kind, faults.disk(), faults.commit_backend(kind)?))))
}

/// Waits for an outcome, but not for ever.
fn finish<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(HANG, future).await.expect("a caller hangs") })
}

fn is_waiting<F: Future + Unpin>(future: &mut F) -> bool {
    pollster::block_on(poll_once(future)).is_none()
}

/// All records, with contiguous numbers from 1.
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

/// The operating system's word that poisoned the store.
fn poison<T: std::fmt::Debug>(outcome: Result<T>) -> Option<Errno> {
    match outcome {
        Err(MiniStoreError::Poisoned { source, .. }) => source.raw_os_error().map(Errno::from_raw_os_error),
        other => panic!("not poisoned: {other:?}"),
    }
}

fn is_full<T: std::fmt::Debug>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(MiniStoreError::StorageFull { .. }))
}
