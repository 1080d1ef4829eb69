//! Several callers who append and write down what they were told; and what must be true of the journal then.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::Path,
};

use ministore_uring::{JournalOptions, MiniStore, MiniStoreError, Reader, Receipt, Result};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::rig::{Rig, bounded, finish};

/// What is appended: tells who did, and which of his it is.
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

/// What a caller was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Acknowledged(u64),
    /// No room, or a call that failed before it changed anything: it was not written.
    Full,
    /// The store was poisoned: it may be found, or not.
    Unknown(Option<i32>),
}

impl Fate {
    pub(crate) fn of(outcome: Result<Receipt>) -> Self {
        match outcome {
            Ok(receipt) => Self::Acknowledged(receipt.seq),
            Err(MiniStoreError::StorageFull { .. } | MiniStoreError::Unavailable { .. }) => Self::Full,
            Err(MiniStoreError::Poisoned { source, .. }) => Self::Unknown(source.raw_os_error()),
            Err(other) => panic!("no answer to an append: {other:?}"),
        }
    }
}

/// What every caller was told, by caller and index.
#[derive(Debug, Default)]
pub(crate) struct Log {
    fates: BTreeMap<(u32, u32), Fate>,
    callers: u32,
}

/// How much is appended at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) callers: u32,
    pub(crate) records: u32,
    pub(crate) padding: usize,
}

impl Log {
    /// Everybody appends at once, each one record after the other, and goes on whatever he is told.
    pub(crate) fn run(&mut self, store: &MiniStore, load: Load) {
        let first = self.callers;
        self.callers += load.callers;
        let told = finish(async {
            let mut callers: JoinSet<_> =
                (first..self.callers).map(|caller| append_all(store.clone(), caller, load)).collect();
            let mut told = Vec::new();
            while let Some(fates) = callers.join_next().await {
                told.extend(fates.unwrap());
            }
            told
        });
        self.fates.extend(told);
    }

    pub(crate) fn note(&mut self, record: &Record, fate: Fate) {
        self.callers = self.callers.max(record.caller + 1);
        self.fates.insert(record.id(), fate);
    }

    pub(crate) fn count(&self, mut is: impl FnMut(&Fate) -> bool) -> usize {
        self.fates.values().filter(|fate| is(fate)).count()
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.count(|fate| matches!(fate, Fate::Acknowledged(_)))
    }

    pub(crate) fn full(&self) -> usize {
        self.count(|fate| *fate == Fate::Full)
    }

    pub(crate) fn unknown(&self) -> usize {
        self.count(|fate| matches!(fate, Fate::Unknown(_)))
    }

    /// Once a caller was told that the store stopped, nobody tells him anything else.
    pub(crate) fn assert_stopped_for_good(&self, context: &str) {
        for caller in 0..self.callers {
            let fates: Vec<_> =
                self.fates.range((caller, 0)..(caller + 1, 0)).map(|(_, fate)| fate).collect();
            let stopped = fates.iter().position(|fate| matches!(fate, Fate::Unknown(_)));
            let after = &fates[stopped.unwrap_or(fates.len())..];
            let all = after.iter().all(|fate| matches!(fate, Fate::Unknown(_)));
            assert!(all, "{context}: caller {caller} was told {after:?}");
        }
    }

    /// Holds what callers were told against what a journal holds.
    pub(crate) fn assert_holds(&self, found: &[Record], context: &str) {
        let ids: HashSet<_> = found.iter().map(Record::id).collect();
        assert_eq!(ids.len(), found.len(), "{context}: a record is there twice: {found:?}");
        for (id, fate) in &self.fates {
            match fate {
                Fate::Acknowledged(seq) => {
                    let there = found.get(*seq as usize - 1).map(Record::id);
                    assert_eq!(
                        there,
                        Some(*id),
                        "{context}: record {seq} was acknowledged, {} are there",
                        found.len()
                    );
                }
                Fate::Full => assert!(!ids.contains(id), "{context}: {id:?} did not fit, and is there"),
                Fate::Unknown(_) => {}
            }
        }
        for caller in 0..self.callers {
            let indexes: Vec<_> = found.iter().filter(|r| r.caller == caller).map(|r| r.index).collect();
            assert!(indexes.is_sorted(), "{context}: caller {caller} finds {indexes:?}");
        }
    }
}

async fn append_all(store: MiniStore, caller: u32, load: Load) -> Vec<((u32, u32), Fate)> {
    let mut fates = Vec::new();
    for index in 0..load.records {
        let record = Record::new(caller, index, load.padding);
        let outcome = match store.submit(&record).await {
            Ok(pending) => pending.await,
            Err(error) => Err(error),
        };
        fates.push(((caller, index), Fate::of(outcome)));
    }
    fates
}

/// All records of a journal, whose numbers count from 1.
pub(crate) fn records(path: &Path) -> Vec<Record> {
    let path = path.to_path_buf();
    bounded(move || {
        let mut found = Vec::new();
        for record in Reader::open(&path).unwrap().records::<Record>() {
            let record = record.unwrap_or_else(|error| {
                let bytes = fs::read(&path).unwrap();
                let text = String::from_utf8_lossy(&bytes).replace('\t', "\\t");
                let again = Reader::open(&path).unwrap().records::<Record>().filter(Result::is_ok).count();
                panic!("{error}; read again: {again} records in {} bytes:\n{}", bytes.len(), text.trim_end())
            });
            found.push(record.value);
            assert_eq!(record.seq, found.len() as u64, "numbers count from 1");
        }
        found
    })
}

/// A power cut at this moment must find everything that was said to be durable.
pub(crate) fn assert_durable(rig: &Rig, store: &MiniStore, log: &Log, context: &str) {
    let context = format!("{context}, after a power cut");
    let durable = store.durable_seq();
    let copy = rig.aside();
    rig.fs.power_cut(copy.path()).unwrap();
    let path = copy.path().join("j");
    let again = finish(JournalOptions::new().open(&path));
    let again = again.unwrap_or_else(|error| panic!("{context}: {error}"));
    let found = records(&path);
    assert!(found.len() as u64 >= durable, "{context}: {durable} were durable, {} are there", found.len());
    log.assert_holds(&found, &context);
    finish(again.close()).unwrap();
}

/// Lifts every fault, gives the store up, and opens the journal again: everything acknowledged is there once and
/// in order, through the file system and behind it, and the journal is used on. How many records there are.
pub(crate) fn assert_recovers(rig: &Rig, store: MiniStore, log: &mut Log, context: &str) -> usize {
    log.assert_stopped_for_good(context);
    assert_durable(rig, &store, log, context);
    rig.fs.clear().unwrap();
    let durable = store.durable_seq();
    drop(store);
    let again = rig.open(rig.lane.options());
    let again = again.unwrap_or_else(|error| panic!("{context}: opening again: {error}"));
    let found = records(&rig.path());
    assert_eq!(again.open_report().next_seq, found.len() as u64 + 1, "{context}");
    assert_eq!(again.durable_seq(), found.len() as u64, "{context}");
    assert!(found.len() as u64 >= durable, "{context}: {durable} were durable, {} are there", found.len());
    log.assert_holds(&found, context);
    use_on(rig, &again, log, &found, context);
    finish(again.close()).unwrap_or_else(|error| panic!("{context}: closing: {error}"));
    let behind = records(&rig.behind());
    assert_eq!(behind[..found.len()], found[..], "{context}");
    log.assert_holds(&behind, context);
    found.len()
}

/// Appends to a journal opened again, whose records `found` are durable as well from then on.
fn use_on(rig: &Rig, store: &MiniStore, log: &mut Log, found: &[Record], context: &str) {
    for record in found {
        let seq = found.iter().position(|other| other == record).unwrap() as u64 + 1;
        log.note(record, Fate::Acknowledged(seq));
    }
    assert_durable(rig, store, log, &format!("{context}, opened again"));
    for round in 1..=2 {
        log.run(store, Load { callers: 2, records: 2, padding: 10 });
        finish(store.rotate()).unwrap_or_else(|error| panic!("{context}: rotating: {error}"));
        assert_durable(rig, store, log, &format!("{context}, used on"));
        assert_eq!(store.durable_seq(), found.len() as u64 + 4 * round, "{context}: it does not work again");
    }
}
