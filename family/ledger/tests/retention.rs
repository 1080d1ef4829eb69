//! A journal that outgrows `max_segments` (3 of 64 MiB, which `ministate` cannot change): the oldest segment is deleted, and
//! `ministate`, which counts records, is wrong from then on. It must not be wrong without a word.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex},
};

use ministate::{MiniStateError, StateManager};
use ministore_family_ledger::{Count, JOURNAL, Ledger};
use tracing_subscriber::fmt::MakeWriter;

/// With notes of 4 MiB: four segments.
const COUNTS: u64 = 60;

/// What the journal warned of.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Said {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Said {
    /// Of everything in this process: readers and writers have threads of their own.
    fn listen() -> Self {
        let said = Self::default();
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
            .with_ansi(false)
            .with_writer(said.clone())
            .init();
        said
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

/// The remedy: before `ministate` opens the journal for the first time, a hold that retention does not pass.
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

/// Of one process, for one listener hears all of it; one after the other.
#[tokio::test]
async fn ministate_is_not_wrong_without_a_word_and_right_with_a_hold() {
    let said = Said::listen();
    what_retention_left_is_told_of(&said).await;
    a_hold_keeps_everything(&said).await;
}

async fn a_hold_keeps_everything(said: &Said) {
    let dir = temporary();
    hold_everything(dir.path()).await;
    let state = open(dir.path()).await.unwrap();
    count_to(&state, 1, COUNTS).await;
    drop(state);
    let state = open(dir.path()).await.unwrap();
    assert!(dir.path().join(format!("{JOURNAL}.003")).exists(), "more segments than are kept without a hold");
    assert_eq!((state.sequence(), state.snapshot().await.lost), (COUNTS, 0));
    let warned = said.take();
    assert!(!warned.contains("replay starts") && !warned.contains("delete"), "{warned}");
}

/// The number of the oldest record that is left, less one.
fn gone(dir: &Path) -> u64 {
    ministore::Reader::open(dir.join(JOURNAL)).unwrap().records::<Count>().next().unwrap().unwrap().seq - 1
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A state built from what is left.
#[cfg(not(feature = "snapshot"))]
async fn what_retention_left_is_told_of(said: &Said) {
    let dir = temporary();
    let state = open(dir.path()).await.unwrap();
    count_to(&state, 1, COUNTS).await;
    drop(state);
    let warned = said.take();
    assert!(warned.contains("max_segments deleted untrimmed records"), "{warned}");
    let state = open(dir.path()).await.unwrap();
    let (gone, warned) = (gone(dir.path()), said.take());
    assert!(gone > 0);
    assert_eq!(state.sequence(), COUNTS - gone, "ministate counts what it is given");
    assert_eq!(state.snapshot().await.lost, gone);
    assert!(
        warned.contains(&format!("missing_records={gone}"))
            && warned.contains("replay starts after record 1"),
        "{warned}"
    );
    close(state, dir.path()).await;
    said.take();
}

/// A tail of which too much is skipped.
#[cfg(feature = "snapshot")]
async fn what_retention_left_is_told_of(said: &Said) {
    let (dir, copy) = (temporary(), temporary());
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
    let warned = said.take();
    assert!(warned.contains("max_segments deleted untrimmed records"), "{warned}");

    // With a late snapshot more is to be skipped than is there: an error, and what it comes from.
    let refused = open(dir.path()).await;
    let (gone, warned) = (gone(dir.path()), said.take());
    assert!(gone > 0);
    assert!(matches!(refused, Err(MiniStateError::SnapshotSeqTooHigh)), "{refused:?}");
    assert!(warned.contains(&format!("missing_records={gone}")), "{warned}");

    // With an early one as many mutations are passed over as were deleted, though they are there.
    for name in snapshot {
        std::fs::copy(copy.path().join(name), dir.path().join(name)).unwrap();
    }
    let state = open(dir.path()).await.unwrap();
    let warned = said.take();
    assert_eq!(
        state.snapshot().await.lost,
        gone,
        "11 to {}, acknowledged, and still in the journal",
        10 + gone
    );
    assert!(
        warned.contains(&format!("missing_records={gone}"))
            && warned.contains("replay starts after record 1"),
        "{warned}"
    );
    close(state, dir.path()).await;
    said.take();
}
