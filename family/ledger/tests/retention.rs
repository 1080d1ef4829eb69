//! A journal of more than `max_segments` segments (3 of 64 MiB, which `ministate` cannot change): the oldest segment is
//! deleted, and the state of `ministate`, which counts records, is wrong from then on. The journal must log a warning.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex},
};

use ministate::{MiniStateError, StateManager};
use ministore_family_ledger::{Count, JOURNAL, Ledger};
use tracing_subscriber::fmt::MakeWriter;

/// Mutations with notes of 4 MiB, which fill four segments.
const COUNTS: u64 = 60;

/// The captured log of this process.
#[derive(Clone, Default)]
struct LogCapture(Arc<Mutex<Vec<u8>>>);

impl Write for LogCapture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogCapture {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl LogCapture {
    /// Captures the warnings of all threads of this process, because readers and writers run on their own threads.
    fn install() -> Self {
        let log = Self::default();
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
            .with_ansi(false)
            .with_writer(log.clone())
            .init();
        log
    }

    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

async fn open(dir: &Path) -> Result<StateManager<Ledger, Count>, MiniStateError> {
    StateManager::open(dir, JOURNAL).await
}

async fn count_to(state: &StateManager<Ledger, Count>, from: u64, to: u64) {
    let note = "x".repeat(4 << 20);
    for number in from..=to {
        state.apply(Count { client: 0, number, note: note.clone() }).await.unwrap();
    }
}

/// Sets a hold on the first record before `ministate` opens the journal for the first time. This prevents the deletion.
async fn hold_everything(dir: &Path) {
    let journal = ministore::MiniStore::open(dir.join(JOURNAL)).await.unwrap();
    journal.hold("ministate", 1).await.unwrap();
    journal.close().await.unwrap();
}

/// Drops the state and waits until its store is closed: `ministate` drops the store, which closes it in the background.
async fn close(state: StateManager<Ledger, Count>, dir: &Path) {
    drop(state);
    ministore::MiniStore::open(dir.join(JOURNAL)).await.unwrap().close().await.unwrap();
}

/// One test runs both cases, because the log capture is global to the process.
#[tokio::test]
async fn retention_is_logged_and_prevented_by_a_hold() {
    let log = LogCapture::install();
    check_retention_is_logged(&log).await;
    check_hold_keeps_all_records(&log).await;
}

async fn check_hold_keeps_all_records(log: &LogCapture) {
    let dir = temp_dir();
    hold_everything(dir.path()).await;
    let state = open(dir.path()).await.unwrap();
    count_to(&state, 1, COUNTS).await;
    drop(state);
    let state = open(dir.path()).await.unwrap();
    assert!(
        dir.path().join(format!("{JOURNAL}.003")).exists(),
        "the hold keeps more than max_segments segments"
    );
    assert_eq!((state.sequence(), state.snapshot().await.lost), (COUNTS, 0));
    let warned = log.take();
    assert!(!warned.contains("replay starts") && !warned.contains("delete"), "{warned}");
}

/// Returns the number of deleted records.
fn deleted_records(dir: &Path) -> u64 {
    ministore::Reader::open(dir.join(JOURNAL)).unwrap().records::<Count>().next().unwrap().unwrap().seq - 1
}

fn temp_dir() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Checks a state that is rebuilt from the remaining records.
#[cfg(not(feature = "snapshot"))]
async fn check_retention_is_logged(log: &LogCapture) {
    let dir = temp_dir();
    let state = open(dir.path()).await.unwrap();
    count_to(&state, 1, COUNTS).await;
    drop(state);
    let warned = log.take();
    assert!(warned.contains("max_segments deleted untrimmed records"), "{warned}");
    let state = open(dir.path()).await.unwrap();
    let (deleted, warned) = (deleted_records(dir.path()), log.take());
    assert!(deleted > 0);
    assert_eq!(state.sequence(), COUNTS - deleted, "ministate counts the replayed records");
    assert_eq!(state.snapshot().await.lost, deleted);
    assert!(
        warned.contains(&format!("missing_records={deleted}"))
            && warned.contains("replay starts after record 1"),
        "{warned}"
    );
    close(state, dir.path()).await;
    log.take();
}

/// Checks states for which `ministate` skips too many records after the snapshot.
#[cfg(feature = "snapshot")]
async fn check_retention_is_logged(log: &LogCapture) {
    let (dir, copy) = (temp_dir(), temp_dir());
    let snapshot = ["snapshot.json", "snapshot.seq"];
    let state = open(dir.path()).await.unwrap();
    count_to(&state, 1, 10).await;
    state.create_snapshot().await.unwrap();
    for name in snapshot {
        std::fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    count_to(&state, 11, COUNTS).await;
    state.create_snapshot().await.unwrap();
    drop(state);
    let warned = log.take();
    assert!(warned.contains("max_segments deleted untrimmed records"), "{warned}");

    // With a late snapshot `ministate` must skip more records than exist. It fails, and the log shows the cause.
    let result = open(dir.path()).await;
    let (deleted, warned) = (deleted_records(dir.path()), log.take());
    assert!(deleted > 0);
    assert!(matches!(result, Err(MiniStateError::SnapshotSeqTooHigh)), "{result:?}");
    assert!(warned.contains(&format!("missing_records={deleted}")), "{warned}");

    // With an early snapshot `ministate` skips as many existing mutations as were deleted.
    for name in snapshot {
        std::fs::copy(copy.path().join(name), dir.path().join(name)).unwrap();
    }
    let state = open(dir.path()).await.unwrap();
    let warned = log.take();
    assert_eq!(
        state.snapshot().await.lost,
        deleted,
        "11 to {} are acknowledged and in the journal, but skipped",
        10 + deleted
    );
    assert!(
        warned.contains(&format!("missing_records={deleted}"))
            && warned.contains("replay starts after record 1"),
        "{warned}"
    );
    close(state, dir.path()).await;
    log.take();
}
