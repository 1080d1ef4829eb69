//! `verify` sees everything that a line reader sees.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use ministore_uring::{
    JournalOptions,
    maintenance::{SegmentReport, SegmentState, VerifyReport, verify},
};

use crate::support::{TempJournal, for_each_backend};

/// A closed journal of three segments with ten records each.
fn closed_journal(options: &JournalOptions) -> (TempJournal, PathBuf) {
    let journal = TempJournal::new();
    let store = options.clone().open_blocking(journal.path()).unwrap();
    for segment in 0..3_u64 {
        if segment > 0 {
            store.blocking().rotate().unwrap();
        }
        for record in 0..10 {
            store.blocking().append(&(segment * 10 + record)).unwrap();
        }
    }
    store.blocking().close().unwrap();
    let path = journal.path().canonicalize().unwrap();
    (journal, path)
}

fn numbered(path: &Path, number: &str) -> PathBuf {
    PathBuf::from(format!("{}.{number}", path.display()))
}

/// Checks that the report has one fault, in the segment with this number, and returns the report.
fn assert_one_fault(path: &Path, number: &str, reason: &str) -> VerifyReport {
    let report = verify(path).unwrap();
    let [fault] = &report.faults[..] else { panic!("{:?}", report.faults) };
    assert_eq!(fault.segment, numbered(path, number));
    assert!(fault.reason.contains(reason), "{}", fault.reason);
    let damaged = report.segments.iter().find(|segment| segment.path == fault.segment).unwrap();
    assert_eq!(damaged.state, SegmentState::Damaged);
    report
}

/// Checks that the parts of a segment add up to the size of the file, except for what does not verify.
fn unverified_bytes(segment: &SegmentReport) -> u64 {
    let parts = segment.header_bytes + segment.record_bytes + segment.seal_bytes + segment.records;
    assert_eq!(parts, segment.data_bytes, "{segment:?}");
    segment.file_bytes - segment.data_bytes - segment.padding_bytes
}

#[test]
fn line_after_the_close_marker_is_damage() {
    for_each_backend(|options| {
        for number in ["001", "002"] {
            let (_keep, path) = closed_journal(&options);
            let mut file = OpenOptions::new().append(true).open(numbered(&path, number)).unwrap();
            file.write_all(b"{\"forged\":true}\n").unwrap();
            assert_one_fault(&path, number, "after the last commit group");
        }
    });
}

#[test]
fn removed_close_marker_is_damage() {
    for_each_backend(|options| {
        for number in ["001", "002"] {
            let (_keep, path) = closed_journal(&options);
            let bytes = fs::read(numbered(&path, number)).unwrap();
            let without_marker = [bytes.strip_suffix(b"\t\n").unwrap(), b"\n"].concat();
            fs::write(numbered(&path, number), without_marker).unwrap();
            assert_one_fault(&path, number, "close marker");
        }
    });
}

#[test]
fn open_segments_of_a_live_journal_are_sound() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        for record in 0..3_u64 {
            store.blocking().append(&record).unwrap();
            store.blocking().rotate().unwrap();
            assert_eq!(verify(journal.path()).unwrap().faults, []);
        }
        store.blocking().close().unwrap();
        assert_eq!(verify(journal.path()).unwrap().faults, []);
    });
}

#[test]
fn figures_of_a_damaged_segment_add_up() {
    for_each_backend(|options| {
        let (_keep, path) = closed_journal(&options);
        let sound = verify(&path).unwrap();
        assert!(sound.segments.iter().all(|segment| unverified_bytes(segment) == 2), "close marker and LF");
        let mut bytes = fs::read(numbered(&path, "002")).unwrap();
        // The third record.
        let position = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(2).unwrap().0 + 1;
        bytes[position] ^= 1;
        fs::write(numbered(&path, "002"), bytes).unwrap();
        let report = verify(&path).unwrap();
        let damaged = &report.segments[1];
        assert_eq!((damaged.state, damaged.records), (SegmentState::Damaged, 9));
        let lost = unverified_bytes(damaged) - 2;
        assert_eq!(damaged.record_bytes + 2, sound.segments[1].record_bytes, "one record of two digits");
        assert_eq!(lost, 2 + 33 + 1, "record, seal and LF");
        assert_eq!(report.records, 29);
    });
}

#[test]
fn file_that_is_no_journal_is_named_so() {
    let journal = TempJournal::new();
    fs::write(journal.path(), "hello\n").unwrap();
    let report = verify(journal.path()).unwrap();
    assert_eq!(report.segments[0].state, SegmentState::NotAJournal);
    assert_eq!(report.segments[0].state.to_string(), "not a journal");
    assert_eq!(report.faults.len(), 1);
}
