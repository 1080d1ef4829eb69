//! Tests the recovery table on real files: creates a journal for every combination of states, and recovers it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::table::{POLICIES, all_states, is_refused};
use crate::{
    JournalOptions, Reader, RecoveryPolicy,
    format::{
        ChainLink, OPEN_SEQ_MAX, SegmentHeader,
        testing::{FIRST, SegmentBytes},
    },
    io::{FileSystem, os_file_system},
    journal::file_names::FileNames,
    recovery::{
        ActiveState as Active, JournalState, JournalStates, NextState as Next, RotatedState as Rotated,
        ScanCache, recover,
    },
};

/// Records in each segment that verifies.
const RECORDS: u64 = 3;

fn two_groups(header: SegmentHeader) -> SegmentBytes {
    SegmentBytes::new(header).group(&["1", "{\"two\":2}"]).group(&["\"three\""])
}

/// Returns a segment whose first group does not verify and whose second does.
fn corrupt_segment(header: SegmentHeader) -> Vec<u8> {
    let mut bytes = two_groups(header).padded(99);
    bytes[header.encode().len() + 1] = b'9';
    bytes
}

/// Returns a closed segment whose last group does not verify.
fn corrupt_end(header: SegmentHeader) -> Vec<u8> {
    let mut bytes = two_groups(header).closed();
    let at = memchr::memmem::find(&bytes, b"three").unwrap();
    bytes[at] = b'T';
    bytes
}

fn padding() -> Vec<u8> {
    vec![b' '; 4096]
}

/// Returns the link of the segment after the newest rotated one.
fn link(rotated: Rotated) -> ChainLink {
    match rotated {
        Rotated::Absent | Rotated::Corrupt => ChainLink { first_seq: 1, prev_seal: 0 },
        Rotated::Closed | Rotated::Unfinished => {
            ChainLink { first_seq: 1 + RECORDS, prev_seal: two_groups(FIRST).last_seal() }
        }
    }
}

/// Returns the files of a journal in these states, by their suffix.
fn files(states: JournalStates) -> Vec<(&'static str, Vec<u8>)> {
    let header = SegmentHeader::Checksummed(link(states.rotated));
    let foreign = || b"what?\n".to_vec();
    let rotated = match states.rotated {
        Rotated::Absent => None,
        Rotated::Closed => Some(two_groups(FIRST).closed()),
        Rotated::Unfinished => Some(two_groups(FIRST).padded(99)),
        Rotated::Corrupt => Some(corrupt_segment(FIRST)),
    };
    let next = match states.next {
        Next::Absent => None,
        Next::Empty => Some(padding()),
        Next::Valid => Some(SegmentBytes::new(header).padded(99)),
        Next::Unexpected => Some(foreign()),
        Next::Stray => Some(corrupt_segment(header)),
    };
    let active = match states.active {
        Active::Absent => None,
        Active::Empty => Some(padding()),
        Active::Clean => Some(two_groups(header).padded(99)),
        Active::Torn => Some(two_groups(header).line("{\"torn\":").padded(99)),
        Active::CorruptEnd => Some(corrupt_end(header)),
        Active::Corrupt => Some(corrupt_segment(header)),
        Active::Invalid => Some(foreign()),
    };
    let all = [(".001", rotated), (".next", next), ("", active)];
    all.into_iter().filter_map(|(suffix, bytes)| Some((suffix, bytes?))).collect()
}

/// Returns the number of records that remain after recovery.
fn remaining_records(states: JournalStates) -> u64 {
    let rotated = matches!(states.rotated, Rotated::Closed | Rotated::Unfinished);
    let active = match states.active {
        Active::Clean | Active::Torn => RECORDS,
        Active::CorruptEnd => RECORDS - 1,
        _ => 0,
    };
    RECORDS * u64::from(rotated) + active
}

fn write_files(states: JournalStates, dir: &Path) -> PathBuf {
    for (suffix, bytes) in files(states) {
        fs::write(dir.join(format!("j{suffix}")), bytes).unwrap();
    }
    dir.join("j")
}

fn content(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut content: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    content.sort();
    content
}

fn inspect(disk: &dyn FileSystem, path: &Path) -> JournalStates {
    JournalState::inspect(disk, &FileNames::resolve(disk, path).unwrap(), &mut ScanCache::default())
        .unwrap()
        .states()
}

#[test]
fn every_combination_of_states_is_recognized() {
    for states in all_states() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(inspect(&*os_file_system(), &write_files(states, dir.path())), states);
    }
}

fn check(states: JournalStates, policy: RecoveryPolicy) {
    let context = format!("{states:?}, {policy:?}");
    let dir = tempfile::tempdir().unwrap();
    let path = write_files(states, dir.path());
    let before = content(dir.path());
    let disk = os_file_system();
    let names = FileNames::resolve(&*disk, &path).unwrap();
    let outcome = recover(&*disk, &names, &JournalOptions::new().recovery(policy));
    if is_refused(states, policy) {
        outcome.expect_err(&context);
        assert_eq!(content(dir.path()), before, "{context}");
        return;
    }
    assert_eq!(outcome.expect(&context).report.next_seq, remaining_records(states) + 1, "{context}");
    let numbers: Vec<_> = Reader::open(&path)
        .unwrap()
        .records::<serde_json::Value>()
        .map(|record| record.expect(&context).seq)
        .collect();
    assert_eq!(numbers, (1..=remaining_records(states)).collect::<Vec<_>>(), "{context}");
    let after = inspect(&*disk, &path);
    assert_eq!((after.active, after.next), (Active::Clean, Next::Absent), "{context}");
    assert!(matches!(after.rotated, Rotated::Absent | Rotated::Closed), "{context}: {after:?}");
}

#[test]
fn recovery_follows_table_for_every_combination() {
    for states in all_states() {
        POLICIES.into_iter().for_each(|policy| check(states, policy));
    }
}

#[test]
fn journal_without_sequence_numbers_left_is_refused() {
    let disk = os_file_system();
    for (first_seq, is_opened) in [(OPEN_SEQ_MAX - RECORDS, true), (OPEN_SEQ_MAX, false), (1 << 62, false)] {
        let dir = tempfile::tempdir().unwrap();
        let header = SegmentHeader::Checksummed(ChainLink { first_seq, prev_seal: 0 });
        fs::write(dir.path().join("j"), two_groups(header).closed()).unwrap();
        let before = content(dir.path());
        let names = FileNames::resolve(&*disk, &dir.path().join("j")).unwrap();
        let outcome = recover(&*disk, &names, &JournalOptions::new());
        assert_eq!(outcome.is_ok(), is_opened, "{first_seq}: {outcome:?}");
        assert!(is_opened || outcome.unwrap_err().to_string().contains("no sequence numbers are left"));
        assert!(is_opened || content(dir.path()) == before, "nothing was changed");
    }
}
