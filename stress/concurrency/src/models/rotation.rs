//! The writer thread, its callers and the background thread during a rotation.

use std::path::Path;

use super::{
    failure::reopen_and_find,
    fixture::{Fixture, is_poisoned, options, spawn},
};
use crate::{JournalOptions, MiniStore, Reader};

/// Segments of one or two records, and rotations on request.
pub(super) fn rotation_loses_no_record(dir: &Path) {
    rotate_often(dir, options().max_segment_bytes(100));
}

/// As [`rotation_loses_no_record`], with preallocation.
pub(super) fn rotation_with_preallocation_loses_no_record(dir: &Path) {
    rotate_often(dir, options().max_segment_bytes(200).preallocate(true));
}

fn rotate_often(dir: &Path, options: JournalOptions) {
    let fixture = Fixture::new(dir);
    let store = fixture.open(options).unwrap();
    let callers = [10_u64, 20].map(|caller| {
        spawn(&store, move |store| (0..3).map(|nth| append(&store, caller + nth)).collect::<Vec<_>>())
    });
    store.blocking().rotate().unwrap();
    let acks = callers.map(|caller| caller.join().unwrap()).concat();
    store.blocking().rotate().unwrap();
    store.blocking().close().unwrap();
    let records = fixture.records();
    assert_eq!(records.len(), acks.len());
    for (seq, value) in acks {
        assert_eq!(records[seq as usize - 1], value, "number {seq}");
    }
    assert!(!dir.join("j.next").exists(), "a prepared segment remains");
    assert!(store.stats().rotations >= 1);
}

fn append(store: &MiniStore, value: u64) -> (u64, u64) {
    let seq = store.blocking().submit(&value).unwrap().wait().unwrap().seq;
    assert_eq!(find(store, seq), Some(value), "it was acknowledged, and a reader does not find it");
    (seq, value)
}

/// Returns the record that a new reader finds under this number.
fn find(store: &MiniStore, seq: u64) -> Option<u64> {
    let mut records = Reader::open(store.path()).unwrap().records::<u64>().map(Result::unwrap);
    records.find(|record| record.seq == seq).map(|record| record.value)
}

/// The rename of the old or the new segment fails: every caller gets an error, and no acknowledged record is lost.
pub(super) fn failed_rename_replies_to_all_callers(dir: &Path) {
    use shuttle::rand::Rng as _;
    let fixture = Fixture::new(dir);
    let store = fixture.open(options()).unwrap();
    fixture.fail_rename(shuttle::rand::thread_rng().gen_range(1..=2));
    store.blocking().append(&1_u64).unwrap();
    let appender =
        spawn(&store, move |store| [2, 3].map(|value: u64| (value, store.blocking().append(&value))));
    let rotated = store.blocking().rotate();
    assert!(is_poisoned(&rotated), "{rotated:?}");
    let outcomes = appender.join().unwrap();
    let mut acknowledged = vec![1];
    for (value, outcome) in outcomes {
        assert!(outcome.is_ok() || is_poisoned(&outcome), "{outcome:?}");
        acknowledged.extend(outcome.is_ok().then_some(value));
    }
    let closed = store.blocking().close();
    assert!(is_poisoned(&closed), "{closed:?}");
    drop(store);
    reopen_and_find(&fixture, &acknowledged);
}
