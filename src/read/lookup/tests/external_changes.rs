//! Files that writers and users change between the reads.

use std::{fs, path::Path};

use super::{JournalFiles, NAME, first_segment, get, groups, text, warm_reader};
use crate::{
    JournalOptions, MiniStoreError, Reader,
    format::{ChainLink, SegmentHeader, testing::SegmentBytes},
    testkit::SimDisk,
};

#[test]
fn rewritten_truncated_tail_is_read_as_it_is() {
    let kept = || groups(first_segment(), 1..=20, "kept");
    for (gone, now) in [("old", "other"), ("other", "o"), ("a word", "a longer one"), ("same", "same")] {
        for last in [20, 21, 39, 40, 60] {
            let files = JournalFiles::new();
            files.write("", groups(kept(), 21..=40, gone).padded(5000));
            let reader = warm_reader(&files, 40);
            files.write("", groups(kept(), 21..=last, now).padded(5000));
            for seq in [40, 21, 30, 1, 20, 60, 39] {
                let word = if seq <= 20 { "kept" } else { now };
                let expected = (seq <= last).then(|| text(seq, word));
                assert_eq!(get(&reader, seq).unwrap(), expected, "{gone} to {now}, {seq} of {last}");
            }
            let found: Vec<_> = reader.range::<String>(15..=35).map(|record| record.unwrap().seq).collect();
            assert_eq!(found, (15..=35.min(last)).collect::<Vec<_>>());
        }
    }
}

#[test]
fn replaced_journal_is_read_as_it_is_now() {
    let files = JournalFiles::new();
    let old = groups(first_segment(), 1..=30, "old");
    let next = SegmentBytes::new(SegmentHeader::Checksummed(ChainLink {
        first_seq: 31,
        prev_seal: old.last_seal(),
    }));
    files.write(".001", old.closed());
    files.write("", groups(next, 31..=60, "old").padded(3000));
    let reader = warm_reader(&files, 60);
    let new = groups(first_segment(), 1..=45, "new");
    let next = SegmentBytes::new(SegmentHeader::Checksummed(ChainLink {
        first_seq: 46,
        prev_seal: new.last_seal(),
    }));
    files.write(".001", new.closed());
    files.write("", groups(next, 46..=50, "new").ended());
    for seq in (1..=60).rev() {
        assert_eq!(get(&reader, seq).unwrap(), (seq <= 50).then(|| text(seq, "new")), "{seq}");
    }
}

#[test]
fn segment_index_survives_rotation() {
    let files = JournalFiles::new();
    let old = groups(first_segment(), 1..=60, "old");
    let last_seal = old.last_seal();
    files.write("", old.clone().padded(3000));
    let reader = warm_reader(&files, 60);
    let known = reader.index_bytes();
    fs::rename(files.path(""), files.path(".001")).unwrap();
    files.write(".001", old.closed());
    // The state between two steps of a rotation.
    assert_eq!(get(&reader, 59).unwrap(), Some(text(59, "old")));
    assert_eq!(get(&reader, 61).unwrap(), None);
    let next =
        SegmentBytes::new(SegmentHeader::Checksummed(ChainLink { first_seq: 61, prev_seal: last_seal }));
    files.write("", groups(next, 61..=61, "new").padded(100));
    assert_eq!(get(&reader, 61).unwrap(), Some(text(61, "new")));
    for seq in 1..=60 {
        assert_eq!(get(&reader, seq).unwrap(), Some(text(seq, "old")));
    }
    assert_eq!(reader.index_bytes(), known);
}

#[test]
fn journal_without_records_has_none() {
    let files = JournalFiles::new();
    let assert_empty = |reader: &Reader| {
        assert_eq!(get(reader, 0).unwrap(), None);
        assert_eq!(get(reader, 1).unwrap(), None);
        assert_eq!(get(reader, u64::MAX).unwrap(), None);
        assert_eq!(reader.range::<u64>(..).count(), 0);
        assert_eq!(reader.range::<u64>(1..=u64::MAX).count(), 0);
    };
    let reader = files.reader();
    assert_empty(&reader);
    files.write("", "");
    assert_empty(&reader);
    files.write("", first_segment().padded(100));
    assert_empty(&reader);
    files.write("", groups(first_segment(), 1..=1, "x").ended());
    assert_eq!(get(&reader, 1).unwrap(), Some(text(1, "x")));
    assert_eq!(get(&reader, 0).unwrap(), None);
    assert_eq!(get(&reader, u64::MAX).unwrap(), None);
    files.write("", "something else\n");
    assert!(matches!(get(&reader, 1), Err(MiniStoreError::MissingInitialState)));
}

#[test]
fn oversized_group_is_read_in_place() {
    let disk = SimDisk::new(1);
    let store = disk.open_blocking(JournalOptions::new(), NAME).unwrap();
    let texts: Vec<String> =
        (1..=2000).map(|number| format!("{number}:{}", "y".repeat(number % 90))).collect();
    store.blocking().append(&texts[0]).unwrap();
    store.blocking().append_batch(&texts[1..1998]).unwrap();
    store.blocking().append(&texts[1998]).unwrap();
    store.blocking().append(&texts[1999]).unwrap();
    let reader = disk.reader(Path::new(NAME));
    for seq in [2000, 1, 2, 1000, 1998, 1999, 700, 2001] {
        let expected = texts.get(seq - 1).cloned();
        assert_eq!(reader.get::<String>(seq as u64).unwrap().map(|record| record.value), expected, "{seq}");
    }
    let found: Vec<String> = reader.range(900..1999).map(|record| record.unwrap().value).collect();
    assert_eq!(found, texts[899..1998]);
}
