//! Several callers that append and record the outcomes; and the checks of the journal against them.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::Path,
};

use ministore_faultfs::{mounts::temp_dir, recording::KeptWrites};
use ministore_uring::{JournalOptions, MiniStore, MiniStoreError, Reader, Receipt, Result};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::fixture::{Fixture, block_on, run_with_timeout};

/// An appended record: identifies its caller and its place in that caller's order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) caller: u32,
    pub(crate) index: u32,
    padding: String,
}

impl Record {
    pub(crate) fn new(caller: u32, index: u32, padding: usize) -> Self {
        Self { caller, index, padding: "x".repeat(padding) }
    }

    fn id(&self) -> (u32, u32) {
        (self.caller, self.index)
    }
}

/// The outcome of an append, as its caller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AppendOutcome {
    Acknowledged(u64),
    /// No space, or a call that failed before it changed anything: the record was not written.
    Rejected,
    /// The store was poisoned: the record may be stored or not.
    Unknown(Option<i32>),
}

impl AppendOutcome {
    pub(crate) fn of(outcome: Result<Receipt>) -> Self {
        match outcome {
            Ok(receipt) => Self::Acknowledged(receipt.seq),
            Err(MiniStoreError::StorageFull { .. } | MiniStoreError::Unavailable { .. }) => Self::Rejected,
            Err(MiniStoreError::Poisoned { source, .. }) => Self::Unknown(source.raw_os_error()),
            Err(other) => panic!("unexpected error of an append: {other:?}"),
        }
    }
}

/// The outcome of each append, by caller and index.
#[derive(Debug, Default)]
pub(crate) struct AckLog {
    outcomes: BTreeMap<(u32, u32), AppendOutcome>,
    callers: u32,
}

/// A number of appends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) callers: u32,
    pub(crate) records: u32,
    pub(crate) padding: usize,
}

impl AckLog {
    /// Runs all callers concurrently. Each appends its records one after the other and continues after an error.
    pub(crate) fn run(&mut self, store: &MiniStore, workload: Workload) {
        let first = self.callers;
        self.callers += workload.callers;
        let outcomes = block_on(async {
            let mut callers: JoinSet<_> =
                (first..self.callers).map(|caller| append_all(store.clone(), caller, workload)).collect();
            let mut outcomes = Vec::new();
            while let Some(caller_outcomes) = callers.join_next().await {
                outcomes.extend(caller_outcomes.unwrap());
            }
            outcomes
        });
        self.outcomes.extend(outcomes);
    }

    pub(crate) fn record_outcome(&mut self, record: &Record, outcome: AppendOutcome) {
        self.callers = self.callers.max(record.caller + 1);
        self.outcomes.insert(record.id(), outcome);
    }

    pub(crate) fn count(&self, mut predicate: impl FnMut(&AppendOutcome) -> bool) -> usize {
        self.outcomes.values().filter(|outcome| predicate(outcome)).count()
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.count(|outcome| matches!(outcome, AppendOutcome::Acknowledged(_)))
    }

    pub(crate) fn rejected(&self) -> usize {
        self.count(|outcome| *outcome == AppendOutcome::Rejected)
    }

    pub(crate) fn unknown(&self) -> usize {
        self.count(|outcome| matches!(outcome, AppendOutcome::Unknown(_)))
    }

    /// After a caller's append failed because the store is poisoned, all its later appends fail so.
    pub(crate) fn assert_stays_poisoned(&self, context: &str) {
        for caller in 0..self.callers {
            let outcomes: Vec<_> =
                self.outcomes.range((caller, 0)..(caller + 1, 0)).map(|(_, outcome)| outcome).collect();
            let poisoned_at =
                outcomes.iter().position(|outcome| matches!(outcome, AppendOutcome::Unknown(_)));
            let after = &outcomes[poisoned_at.unwrap_or(outcomes.len())..];
            let all_unknown = after.iter().all(|outcome| matches!(outcome, AppendOutcome::Unknown(_)));
            assert!(all_unknown, "{context}: caller {caller} got {after:?}");
        }
    }

    /// Compares the outcomes with the records of a journal.
    pub(crate) fn assert_matches(&self, found: &[Record], context: &str) {
        let ids: HashSet<_> = found.iter().map(Record::id).collect();
        assert_eq!(ids.len(), found.len(), "{context}: a record is stored twice: {found:?}");
        for (id, outcome) in &self.outcomes {
            match outcome {
                AppendOutcome::Acknowledged(seq) => {
                    let stored = found.get(*seq as usize - 1).map(Record::id);
                    assert_eq!(
                        stored,
                        Some(*id),
                        "{context}: record {seq} was acknowledged, {} are stored",
                        found.len()
                    );
                }
                AppendOutcome::Rejected => {
                    assert!(!ids.contains(id), "{context}: {id:?} was rejected, but is stored")
                }
                AppendOutcome::Unknown(_) => {}
            }
        }
        for caller in 0..self.callers {
            let indexes: Vec<_> = found.iter().filter(|r| r.caller == caller).map(|r| r.index).collect();
            assert!(
                indexes.is_sorted(),
                "{context}: caller {caller} has its records in the order {indexes:?}"
            );
        }
    }
}

async fn append_all(store: MiniStore, caller: u32, workload: Workload) -> Vec<((u32, u32), AppendOutcome)> {
    let mut outcomes = Vec::new();
    for index in 0..workload.records {
        let record = Record::new(caller, index, workload.padding);
        let outcome = match store.submit(&record).await {
            Ok(pending) => pending.await,
            Err(error) => Err(error),
        };
        outcomes.push(((caller, index), AppendOutcome::of(outcome)));
    }
    outcomes
}

/// Reads all records of a journal, whose sequence numbers start at 1.
pub(crate) fn records(path: &Path) -> Vec<Record> {
    let path = path.to_path_buf();
    run_with_timeout(move || {
        let mut records = Vec::new();
        for record in Reader::open(&path).unwrap().records::<Record>() {
            let record = record.unwrap_or_else(|error| {
                let bytes = fs::read(&path).unwrap();
                let text = String::from_utf8_lossy(&bytes).replace('\t', "\\t");
                let second_read =
                    Reader::open(&path).unwrap().records::<Record>().filter(Result::is_ok).count();
                panic!(
                    "{error}; read again: {second_read} records in {} bytes:\n{}",
                    bytes.len(),
                    text.trim_end()
                )
            });
            records.push(record.value);
            assert_eq!(record.seq, records.len() as u64, "numbers count from 1");
        }
        records
    })
}

/// Asserts that a power cut now leaves all records that were reported as durable.
pub(crate) fn assert_durable(fixture: &Fixture, store: &MiniStore, acks: &AckLog, context: &str) {
    let context = format!("{context}, after a power cut");
    let durable = store.durable_seq();
    let copy = temp_dir().unwrap();
    fixture.fs.power_cut(copy.path(), KeptWrites::Nothing).unwrap();
    let path = copy.path().join("j");
    let reopened = block_on(JournalOptions::new().open(&path));
    let reopened = reopened.unwrap_or_else(|error| panic!("{context}: {error}"));
    let found = records(&path);
    assert!(found.len() as u64 >= durable, "{context}: {durable} were durable, {} are stored", found.len());
    acks.assert_matches(&found, &context);
    block_on(reopened.close()).unwrap();
}

/// Clears all faults, drops the store, and opens the journal again. Asserts that all acknowledged records are stored
/// once and in order, on the mount and in the backing directory, and that the journal can be used. Returns the
/// number of records found.
pub(crate) fn assert_recovers(
    fixture: &Fixture,
    store: MiniStore,
    acks: &mut AckLog,
    context: &str,
) -> usize {
    acks.assert_stays_poisoned(context);
    assert_durable(fixture, &store, acks, context);
    fixture.fs.clear().unwrap();
    let durable = store.durable_seq();
    drop(store);
    let reopened = fixture.open(fixture.config.options());
    let reopened = reopened.unwrap_or_else(|error| panic!("{context}: opening again: {error}"));
    let found = records(&fixture.path());
    assert_eq!(reopened.open_report().next_seq, found.len() as u64 + 1, "{context}");
    assert_eq!(reopened.durable_seq(), found.len() as u64, "{context}");
    assert!(found.len() as u64 >= durable, "{context}: {durable} were durable, {} are stored", found.len());
    acks.assert_matches(&found, context);
    continue_appending(fixture, &reopened, acks, &found, context);
    block_on(reopened.close()).unwrap_or_else(|error| panic!("{context}: closing: {error}"));
    let backing_records = records(&fixture.backing_path());
    assert_eq!(backing_records[..found.len()], found[..], "{context}");
    acks.assert_matches(&backing_records, context);
    found.len()
}

/// Appends to a journal that was opened again; its records `found` are durable from then on.
fn continue_appending(
    fixture: &Fixture,
    store: &MiniStore,
    acks: &mut AckLog,
    found: &[Record],
    context: &str,
) {
    for record in found {
        let seq = found.iter().position(|other| other == record).unwrap() as u64 + 1;
        acks.record_outcome(record, AppendOutcome::Acknowledged(seq));
    }
    assert_durable(fixture, store, acks, &format!("{context}, opened again"));
    for round in 1..=2 {
        acks.run(store, Workload { callers: 2, records: 2, padding: 10 });
        block_on(store.rotate()).unwrap_or_else(|error| panic!("{context}: rotating: {error}"));
        assert_durable(fixture, store, acks, &format!("{context}, used again"));
        assert_eq!(
            store.durable_seq(),
            found.len() as u64 + 4 * round,
            "{context}: an append or rotation failed"
        );
    }
}
