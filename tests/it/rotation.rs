//! Rotation and retention: sequence numbers never change, and files are kept or deleted as configured.

use ministore_uring::{MiniStore, MiniStoreError, Reader};

use crate::support::{NAME, TempJournal, for_each_commit_path, legacy_replay, numbered, replay};

/// Appends records whose values are their sequence numbers.
fn append(store: &MiniStore, count: u64) {
    for _ in 0..count {
        let next = store.durable_seq() + 1;
        assert_eq!(store.blocking().submit(&next).unwrap().wait().unwrap().seq, next);
    }
}

/// Checks that the remaining records have their own numbers, without a gap, up to `last`. Returns the first.
fn check_seqs(journal: &TempJournal, last: u64) -> u64 {
    let found = numbered::<u64>(journal.path()).unwrap();
    assert!(found.iter().all(|(seq, value)| seq == value), "{found:?}");
    let first = found[0].0;
    assert_eq!(found.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (first..=last).collect::<Vec<_>>());
    first
}

#[test]
fn seqs_continue_over_rotation_retention_and_reopen() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let options = options.max_segment_bytes(500).max_segments(3);
        let mut last = 0;
        for round in 1..=5 {
            let store = options.clone().open_blocking(journal.path()).unwrap();
            assert_eq!(store.open_report().next_seq, last + 1);
            assert_eq!(store.open_report().created, round == 1);
            append(&store, 30);
            last += 30;
            assert_eq!(store.stats().records, 30);
            store.blocking().close().unwrap();
            let first = check_seqs(&journal, last);
            assert_eq!(first > 1, round > 1 || store.stats().rotations > 2, "{first}");
            assert_eq!(journal.names().len(), 3, "{:?}", journal.names());
        }
        assert!(check_seqs(&journal, last) > 100);
    });
}

#[test]
fn max_segments_1_keeps_only_the_active_one() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.max_segment_bytes(500).max_segments(1).open_blocking(journal.path()).unwrap();
        append(&store, 30);
        store.blocking().rotate().unwrap();
        append(&store, 1);
        store.blocking().close().unwrap();
        assert_eq!(journal.names(), [NAME]);
        assert_eq!(check_seqs(&journal, 31), 31);
    });
}

#[test]
fn nothing_is_deleted_by_default() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.max_segment_bytes(300).open_blocking(journal.path()).unwrap();
        append(&store, 100);
        let rotations = store.stats().rotations;
        store.blocking().close().unwrap();
        assert!(rotations >= 5, "{rotations}");
        assert_eq!(check_seqs(&journal, 100), 1);
        let rotated = journal.names().len() as u64 - 1;
        assert!(rotated >= rotations, "{rotated} rotated segments, {rotations} rotations");
        assert_eq!(legacy_replay::<u64>(journal.path()).unwrap(), (1..=100).collect::<Vec<_>>());
    });
}

#[test]
fn rotate_closes_the_current_segment() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        for round in 1..=4u64 {
            append(&store, 2);
            store.blocking().rotate().unwrap();
            assert_eq!(store.stats().rotations, round);
            assert_eq!(replay::<u64>(journal.path()).unwrap().len() as u64, 2 * round);
        }
        append(&store, 1);
        store.blocking().close().unwrap();
        let rotated: Vec<_> = (1..=4).map(|n| format!("{NAME}.{n:03}")).collect();
        assert_eq!(journal.names()[1..], rotated);
        assert_eq!(check_seqs(&journal, 9), 1);
    });
}

#[test]
fn rotating_an_empty_segment_does_nothing() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().rotate().unwrap();
        assert_eq!((store.stats().rotations, journal.names()), (0, vec![NAME.to_owned()]));
        append(&store, 1);
        store.blocking().rotate().unwrap();
        store.blocking().rotate().unwrap();
        assert_eq!(store.stats().rotations, 1);
        store.blocking().close().unwrap();
        assert_eq!(journal.names(), [NAME, "journal.jsonl.001"]);
        assert_eq!(check_seqs(&journal, 1), 1);
    });
}

#[test]
fn appends_continue_while_segments_rotate() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.max_segment_bytes(1000).open_blocking(journal.path()).unwrap();
        let pending: Vec<_> = (1..=400u64).map(|n| store.blocking().submit(&n).unwrap()).collect();
        let rotating: Vec<_> = (0..5).map(|_| store.blocking().rotate()).collect();
        for (n, pending) in (1..).zip(pending) {
            assert_eq!(pending.wait().unwrap().seq, n);
        }
        assert!(rotating.into_iter().all(|outcome| outcome.is_ok()));
        store.blocking().close().unwrap();
        assert_eq!(check_seqs(&journal, 400), 1);
    });
}

#[test]
fn closed_journal_has_no_open_or_next_segment() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.max_segment_bytes(1000).open_blocking(journal.path()).unwrap();
        // A little more than half a segment: the next one is prepared, or its preparation has started.
        for count in [12, 4, 9] {
            append(&store, count);
        }
        store.blocking().close().unwrap();
        for (name, bytes) in journal.files() {
            assert!(name == NAME || name[NAME.len() + 1..].parse::<u32>().is_ok(), "{name}");
            assert!(bytes.ends_with(b"\t\n"), "{name} is closed");
        }
    });
}

#[test]
fn reader_overtaken_by_retention_names_the_segment() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let options = options.max_segment_bytes(500);
        let store = options.clone().open_blocking(journal.path()).unwrap();
        for n in 1..=200u64 {
            store.blocking().append(&n).unwrap();
        }
        store.blocking().close().unwrap();
        let mut reader = Reader::open(journal.path()).unwrap().records::<u64>();
        let first: Vec<_> = reader.by_ref().take(3).map(|record| record.unwrap().seq).collect();
        assert_eq!(first, [1, 2, 3]);
        let store = options.max_segments(2).open_blocking(journal.path()).unwrap();
        for n in 201..=300u64 {
            store.blocking().append(&n).unwrap();
        }
        store.blocking().close().unwrap();
        // The reader reads its open segment to the end, and then returns an error that names the deleted one.
        let mut rest: Vec<_> = reader.map(|record| record.map(|record| record.seq)).collect();
        let Some(Err(MiniStoreError::Io { source })) = rest.pop() else { panic!("{rest:?}") };
        assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
        assert!(source.to_string().contains("journal.jsonl.0"), "{source}");
        let read: Vec<_> = rest.into_iter().map(Result::unwrap).collect();
        assert!(read.iter().copied().eq(4..4 + read.len() as u64), "{read:?}");
    });
}
