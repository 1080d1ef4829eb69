#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod copies;

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{RepairMode, SegmentState, repair, salvage, verify};
use crate::{JournalOptions, MiniStoreError, Reader, RecoveryPolicy};

/// Creates a closed journal of `segments` segments, each with three groups of two records.
fn journal(dir: &Path, segments: u64) -> PathBuf {
    let path = dir.join("j.jsonl");
    let store = JournalOptions::new().open_blocking(&path).unwrap();
    for segment in 0..segments {
        for group in 0..3 {
            let first = (segment * 3 + group) * 2;
            store.blocking().append_batch([first, first + 1]).unwrap();
        }
        if segment + 1 < segments {
            store.blocking().rotate().unwrap();
        }
    }
    store.blocking().close().unwrap();
    path
}

/// Changes the first digit of a line; returns its offset. Lines are counted from 1, and line 1 is the header.
fn damage(path: &Path, line: usize) -> u64 {
    let mut bytes = fs::read(path).unwrap();
    let at = memchr::memchr_iter(b'\n', &bytes).nth(line - 2).unwrap() + 1;
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
    at as u64
}

fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

fn values(path: &Path) -> Vec<u64> {
    Reader::open(path).unwrap().records::<u64>().map(|record| record.unwrap().value).collect()
}

#[test]
fn intact_journal_has_no_faults_and_correct_sums() {
    let dir = tempfile::tempdir().unwrap();
    let found = verify(journal(dir.path(), 3)).unwrap();
    assert_eq!((found.faults.len(), found.torn_tail, found.records, found.groups), (0, None, 18, 9));
    let numbers: Vec<_> = found.segments.iter().map(|s| (s.first_seq, s.last_seq, s.groups)).collect();
    assert_eq!(numbers, [(Some(1), Some(6), 3), (Some(7), Some(12), 3), (Some(13), Some(18), 3)]);
    for segment in found.segments {
        assert_eq!(
            (segment.state, segment.checksummed, segment.padding_bytes),
            (SegmentState::Closed, true, 0)
        );
        assert_eq!(segment.file_bytes, segment.data_bytes + 2, "close marker and LF");
        let bytes = fs::read(&segment.path).unwrap();
        let header_bytes = memchr::memchr(b'\n', &bytes).unwrap() as u64;
        let digits: u64 = (segment.first_seq.unwrap()..=segment.last_seq.unwrap())
            .map(|n| (n - 1).to_string().len() as u64)
            .sum();
        assert_eq!(
            (segment.header_bytes, segment.record_bytes, segment.seal_bytes),
            (header_bytes, digits, 3 * 33)
        );
        let sum = segment.header_bytes + segment.record_bytes + segment.seal_bytes + segment.records;
        assert_eq!(sum, segment.data_bytes, "a line feed before each record");
    }
}

#[test]
fn faults_have_offsets_and_later_records_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = journal(dir.path(), 2);
    let rotated = dir.path().join("j.jsonl.001");
    let at = damage(&rotated, 4);
    let found = verify(&path).unwrap();
    let fault = &found.faults[0];
    assert_eq!((&fault.segment, fault.offset, fault.line, fault.seq), (&rotated, at, 4, Some(3)));
    // The group after the corrupt one and those of the next segment still verify.
    assert_eq!((found.faults.len(), found.records, found.groups), (1, 10, 5));
    assert_eq!(found.segments[0].state, SegmentState::Damaged);
}

#[test]
fn missing_segment_is_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let path = journal(dir.path(), 3);
    fs::remove_file(dir.path().join("j.jsonl.002")).unwrap();
    let found = verify(&path).unwrap();
    assert_eq!((found.faults.len(), &found.faults[0].segment), (1, &path));
    assert!(found.faults[0].reason.contains("begins with record 13, and 7 was to come"));
}

#[test]
fn missing_journal_is_not_found() {
    let dir = tempfile::tempdir().unwrap();
    let missing = verify(dir.path().join("none"));
    let Err(MiniStoreError::Io { source }) = missing else { panic!("{missing:?}") };
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn repair_truncates_damaged_end_and_counts_records() {
    let dir = tempfile::tempdir().unwrap();
    let path = journal(dir.path(), 2);
    let at = damage(&path, 6);
    let before = files(dir.path());
    let planned = repair(&path, RepairMode::DryRun).unwrap();
    assert_eq!(files(dir.path()), before, "a dry run changes nothing");
    let text = &before.iter().find(|(name, _)| *name == path).unwrap().1;

    let done = repair(&path, RepairMode::Apply).unwrap();
    assert_eq!(done, planned);
    assert!(done.actions[0].contains(&format!("at byte {at}")), "{:?}", done.actions);
    let lost: Vec<_> = done.lost.iter().map(|lost| (&lost.segment, lost.first_seq, lost.records)).collect();
    assert_eq!((lost, done.records), (vec![(&path, Some(11), 2)], 10));
    assert_eq!(values(&path), (0..10).collect::<Vec<_>>());
    assert!(verify(&path).unwrap().faults.is_empty());
    let saved = fs::read(dir.path().join(format!("j.jsonl.truncated-{at}"))).unwrap();
    assert_eq!(saved, text[at as usize..]);
    let again = repair(&path, RepairMode::Apply).unwrap();
    assert_eq!((again.actions.len(), again.lost.len()), (0, 0));
}

#[test]
fn repair_keeps_groups_after_damage() {
    // Lines, and one byte of a seal: the groups before and after it verify.
    for (line, changed) in [(2, 0), (4, 0), (5, 20)] {
        let dir = tempfile::tempdir().unwrap();
        let path = journal(dir.path(), 2);
        let at = damage(&path, line) as usize;
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 1;
        bytes[at + changed] ^= b'\t' ^ b' ';
        fs::write(&path, bytes).unwrap();
        let before = files(dir.path());
        for mode in [RepairMode::DryRun, RepairMode::Apply] {
            let report = repair(&path, mode).unwrap();
            assert_eq!((report.actions.len(), report.unrepairable.len()), (0, 1), "line {line}: {report:?}");
            assert_eq!((report.lost.len(), report.records), (0, 10), "line {line}");
            assert_eq!(files(dir.path()), before, "line {line}");
        }
        let new = dir.path().join("new.jsonl");
        let salvaged = salvage(&path, &new).unwrap();
        assert_eq!((salvaged.records, salvaged.lost[0].records), (10, 2), "line {line}: {salvaged:?}");
    }
}

#[test]
fn repair_moves_aside_next_segment_without_records() {
    let dir = tempfile::tempdir().unwrap();
    let path = journal(dir.path(), 2);
    let header = r#"// MINISTORE JOURNAL v0.1.4 {"seal":"crc32c","first":15,"prev":"00000001"}"#;
    for (next, lost) in [("what?\n".to_owned(), 0), (format!("{header}\n"), 2)] {
        fs::write(dir.path().join("j.jsonl.next"), next).unwrap();
        assert_eq!(verify(&path).unwrap().faults.len(), 1);
        let done = repair(&path, RepairMode::Apply).unwrap();
        assert_eq!(done.lost.iter().map(|lost| lost.records).sum::<u64>(), lost, "{done:?}");
        assert_eq!((verify(&path).unwrap().faults, values(&path).len()), (vec![], 12));
    }
}

#[test]
fn salvage_copies_past_damage_in_rotated_segment() {
    let dir = tempfile::tempdir().unwrap();
    let path = journal(dir.path(), 3);
    damage(&dir.path().join("j.jsonl.001"), 4);
    let done = repair(&path, RepairMode::Apply).unwrap();
    assert_eq!((done.actions.len(), done.unrepairable.len()), (0, 1));

    let new = dir.path().join("new.jsonl");
    let before = files(dir.path());
    let salvaged = salvage(&path, &new).unwrap();
    assert_eq!((salvaged.records, salvaged.groups, salvaged.faults.len()), (16, 8, 1));
    let map: Vec<_> =
        salvaged.map.iter().map(|run| (run.old_first_seq, run.new_first_seq, run.records)).collect();
    assert_eq!(map, [(Some(1), 1, 2), (Some(5), 3, 2), (Some(7), 5, 6), (Some(13), 11, 6)]);
    let lost = &salvaged.lost[0];
    assert_eq!((lost.first_seq, lost.records, lost.is_estimated), (Some(3), 2, false));
    assert!(salvaged.map.iter().all(|run| !run.is_estimated), "the next header confirms the numbers");
    assert_eq!(values(&new), [0, 1].into_iter().chain(4..18).collect::<Vec<_>>());
    assert_eq!(files(dir.path())[..before.len()], before, "the old journal is unchanged");
    assert!(
        matches!(salvage(&path, &new), Err(MiniStoreError::Io { .. })),
        "must not overwrite another journal"
    );
}

#[test]
fn plain_journal_is_numbered_and_stays_plain() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plain.jsonl");
    fs::write(dir.path().join("plain.jsonl.000001"), "// MINISTORE JOURNAL v0.1.4\n1\n2\n").unwrap();
    fs::write(&path, "// MINISTORE JOURNAL v0.1.4\n3\n{\"cut o").unwrap();
    let found = verify(&path).unwrap();
    let numbers: Vec<_> = found.segments.iter().map(|s| (s.first_seq, s.last_seq, s.state)).collect();
    assert_eq!(
        numbers,
        [(Some(1), Some(2), SegmentState::Closed), (Some(3), Some(3), SegmentState::TornTail)]
    );
    repair(&path, RepairMode::Apply).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "// MINISTORE JOURNAL v0.1.4\n3\n");
    assert_eq!(values(&path), [1, 2, 3]);
}

#[test]
fn too_low_first_seq_after_plain_segments_is_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    for (name, lines) in [("j.001", "1\n2\n"), ("j.002", "3\n4\n")] {
        fs::write(dir.path().join(name), format!("// MINISTORE JOURNAL v0.1.4\n{lines}")).unwrap();
    }
    let header = r#"// MINISTORE JOURNAL v0.1.4 {"seal":"crc32c","first":2,"prev":"00000000"}"#;
    fs::write(&path, format!("{header}\n")).unwrap();
    assert_eq!(verify(&path).unwrap().faults[0].segment, path);
    assert!(Reader::open(&path).unwrap().records::<u64>().any(|record| record.is_err()));
}

#[test]
fn rotated_segment_finished_by_repair_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = journal(dir.path(), 2);
    // As a power failure during a rotation leaves it: the old segment is not closed, and the new one is not renamed yet.
    fs::remove_file(&path).unwrap();
    let rotated = dir.path().join("j.jsonl.001");
    let bytes = fs::read(&rotated).unwrap();
    fs::write(&rotated, &bytes[..bytes.len() - 20]).unwrap();
    let done = repair(&path, RepairMode::Apply).unwrap();
    assert!(done.unrepairable.is_empty() && !done.actions.is_empty(), "{done:?}");
    assert_eq!(verify(&path).unwrap().faults, []);
    assert_eq!(values(&path), [0, 1, 2, 3]);
}

#[test]
fn broken_link_is_unrepairable_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    fs::write(dir.path().join("j.001"), "// MINISTORE JOURNAL v0.1.4\n1\n2\n").unwrap();
    let header = r#"// MINISTORE JOURNAL v0.1.4 {"seal":"crc32c","first":2,"prev":"00000000"}"#;
    fs::write(&path, format!("{header}\n")).unwrap();
    let faults = verify(&path).unwrap().faults;
    assert_eq!(faults.len(), 1);
    for mode in [RepairMode::DryRun, RepairMode::Apply, RepairMode::Apply] {
        assert_eq!(repair(&path, mode).unwrap().unrepairable, faults);
    }
    assert_eq!(verify(&path).unwrap().faults, faults);
}
