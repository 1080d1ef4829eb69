//! The writer, its callers and the housekeeper, while one segment takes over from another.

use std::path::Path;

use super::{
    failure::reopen_and_find,
    rig::{Rig, is_poisoned, options},
};
use crate::{JournalOptions, MiniStore, Reader, sync::thread};

/// Segments of a record or two, and rotations that are asked for.
pub(super) fn no_record_is_lost_between_segments(dir: &Path) {
    rotate_often(dir, options().max_segment_bytes(100));
}

/// The same with padding written ahead.
pub(super) fn segments_written_ahead_lose_no_record(dir: &Path) {
    rotate_often(dir, options().max_segment_bytes(200).preallocate(true));
}

fn rotate_often(dir: &Path, options: JournalOptions) {
    let rig = Rig::new(dir);
    let store = rig.open(options).unwrap();
    let callers = [10_u64, 20].map(|caller| {
        let store = store.clone();
        thread::spawn(move || (0..3).map(|turn| append(&store, caller + turn)).collect::<Vec<_>>())
    });
    store.blocking().rotate().unwrap();
    let told = callers.map(|caller| caller.join().unwrap()).concat();
    store.blocking().rotate().unwrap();
    store.blocking().close().unwrap();
    let records = rig.records();
    assert_eq!(records.len(), told.len());
    for (seq, value) in told {
        assert_eq!(records[seq as usize - 1], value, "number {seq}");
    }
    assert!(!dir.join("j.next").exists(), "a prepared segment was left behind");
    assert!(store.stats().rotations >= 1);
}

fn append(store: &MiniStore, value: u64) -> (u64, u64) {
    let seq = store.blocking().submit(&value).unwrap().wait().unwrap().seq;
    assert_eq!(find(store, seq), Some(value), "acknowledged, and no reader finds it");
    (seq, value)
}

/// What is acknowledged is found by every reader at once, rotation or not.
fn find(store: &MiniStore, seq: u64) -> Option<u64> {
    let mut records = Reader::open(store.path()).unwrap().records::<u64>().map(Result::unwrap);
    records.find(|record| record.seq == seq).map(|record| record.value)
}

/// A rename fails, of the old segment or of the new one: whoever waits is told, and nothing acknowledged is lost.
pub(super) fn a_failed_rename_answers_everybody(dir: &Path) {
    use shuttle::rand::Rng as _;
    let rig = Rig::new(dir);
    let store = rig.open(options()).unwrap();
    rig.fail_rename(shuttle::rand::thread_rng().gen_range(1..=2));
    store.blocking().append(&1_u64).unwrap();
    let appender = thread::spawn({
        let store = store.clone();
        move || [2, 3].map(|value: u64| (value, store.blocking().append(&value)))
    });
    let rotated = store.blocking().rotate();
    assert!(is_poisoned(&rotated), "{rotated:?}");
    let told = appender.join().unwrap();
    let mut acknowledged = vec![1];
    for (value, told) in told {
        assert!(told.is_ok() || is_poisoned(&told), "{told:?}");
        acknowledged.extend(told.is_ok().then_some(value));
    }
    let closed = store.blocking().close();
    assert!(is_poisoned(&closed), "{closed:?}");
    drop(store);
    reopen_and_find(&rig, &acknowledged);
}
