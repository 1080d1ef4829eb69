//! Recovery interrupted after every single operation, and then recovered.

use std::{
    fs,
    ops::Range,
    path::Path,
    sync::{Arc, Mutex},
};

use rustix::io::Errno;
use serde_json::Value;

use super::crash_states::{CrashState, all_crash_states, corrupt_segment, crash_state, padding, two_groups};
use crate::{
    MiniStoreError, Reader, Result,
    format::{
        ChainLink, SegmentHeader,
        testing::{FIRST, SegmentBytes},
    },
    io::{
        OpenMode,
        fault::{FaultInjector, Op},
    },
    journal::file_names::FileNames,
    journal::segment_summary::scan_to_end,
    recovery::{RecoveredJournal, recover},
};

fn recover_on(faults: &FaultInjector, state: &CrashState, path: &Path) -> Result<RecoveredJournal> {
    let disk = faults.file_system();
    recover(&*disk, &FileNames::resolve(&*disk, path).unwrap(), &state.options)
}

fn records(path: &Path) -> Vec<(u64, Value)> {
    Reader::open(path)
        .unwrap()
        .records()
        .map(|record| record.unwrap())
        .map(|record| (record.seq, record.value))
        .collect()
}

/// Returns the names and the bytes of all files except for saved tails.
fn segments(path: &Path) -> Vec<(String, String)> {
    let dir = path.parent().unwrap();
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.contains(".truncated-"))
        .map(|name| (String::from_utf8(fs::read(dir.join(&name)).unwrap()).unwrap(), name))
        .map(|(bytes, name)| (name, bytes))
        .collect();
    files.sort();
    files
}

#[test]
fn interrupted_recovery_reaches_the_same_state() {
    for state in all_crash_states() {
        let dir = tempfile::tempdir().unwrap();
        let path = state.write_files(dir.path());
        let faults = FaultInjector::new();
        let undisturbed = recover_on(&faults, &state, &path).unwrap();
        let (expected_records, expected_segments) = (records(&path), segments(&path));
        assert_eq!(expected_records.len(), state.records, "{}", state.what);
        assert_eq!(undisturbed.report.next_seq, state.records as u64 + 1, "{}", state.what);
        for operations in 0..faults.changes() {
            let context = format!("{}, interrupted after {operations} operations", state.what);
            let dir = tempfile::tempdir().unwrap();
            let path = state.write_files(dir.path());
            let faults = FaultInjector::new();
            faults.fail_after(operations);
            recover_on(&faults, &state, &path).expect_err(&context);
            let recovered = recover_on(&FaultInjector::new(), &state, &path).expect(&context);
            assert_eq!(recovered.report.next_seq, undisturbed.report.next_seq, "{context}");
            assert_eq!(records(&path), expected_records, "{context}");
            assert_eq!(segments(&path), expected_segments, "{context}");
            assert_eq!(recovered.data_end, undisturbed.data_end, "{context}");
        }
    }
}

#[test]
fn second_recovery_changes_nothing() {
    for state in all_crash_states() {
        let dir = tempfile::tempdir().unwrap();
        let path = state.write_files(dir.path());
        recover_on(&FaultInjector::new(), &state, &path).unwrap();
        let before = segments(&path);
        let again = recover_on(&FaultInjector::new(), &state, &path).unwrap();
        assert_eq!(segments(&path), before, "{}", state.what);
        assert_eq!(
            (again.report.truncated, again.report.rotation_completed),
            (None, false),
            "{}",
            state.what
        );
    }
}

/// Operations, and the ranges that they write.
type OperationLog = Vec<(Op, Option<Range<u64>>)>;

/// A complete last group may be only in the page log, if its sync failed or was never made.
#[test]
fn last_group_is_rewritten_and_synced() {
    for state in all_crash_states() {
        let dir = tempfile::tempdir().unwrap();
        let path = state.write_files(dir.path());
        let faults = FaultInjector::new();
        recover_on(&faults, &state, &path).unwrap();
        let before = segments(&path);
        let found =
            scan_to_end(&*faults.file_system().open(&path, OpenMode::ReadWrite).unwrap()).unwrap().unwrap();
        let log: Arc<Mutex<OperationLog>> = Arc::default();
        faults.before_each({
            let log = Arc::clone(&log);
            move |event| {
                let range = event.write.map(|(offset, bytes)| offset..offset + bytes.len() as u64);
                log.lock().unwrap().push((event.op, range));
            }
        });
        recover_on(&faults, &state, &path).unwrap();
        // Skips the first sync of all files.
        log.lock().unwrap().retain({
            let mut any_write = false;
            move |(op, _)| {
                any_write |= *op == Op::Write;
                any_write
            }
        });
        let mut expected = Vec::new();
        // The close marker of the newest rotated segment, unless the journal was closed.
        if let Some((_, rotated)) = before.iter().rfind(|(name, _)| name != "j")
            && rotated.ends_with("\t\n")
            && !found.end.closed
        {
            let end = rotated.len() as u64;
            expected.extend([(Op::Write, Some(end - 2..end)), (Op::SyncFile, None)]);
        }
        expected.extend([
            (Op::Write, Some(found.last_group.saturating_sub(1)..found.end.file_end)),
            (Op::SetLen, None),
            (Op::SyncFile, None),
            (Op::SyncDir, None),
        ]);
        assert_eq!(
            (log.lock().unwrap().as_slice(), segments(&path)),
            (&expected[..], before),
            "{}",
            state.what
        );
    }
}

#[test]
fn truncated_bytes_are_saved_to_side_file() {
    for state in all_crash_states() {
        let dir = tempfile::tempdir().unwrap();
        let path = state.write_files(dir.path());
        let recovered = recover_on(&FaultInjector::new(), &state, &path).unwrap();
        let torn = state.files.iter().any(|(_, bytes)| bytes.windows(6).any(|text| text == b"{\"torn"));
        let saved: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_str().unwrap().contains(".truncated-"))
            .collect();
        if torn {
            let saved = fs::read(&saved[0]).unwrap();
            assert!(saved.ends_with(b"{\"torn\":") && saved.len() <= 9, "{}: {saved:?}", state.what);
        }
        if let Some(truncated) = recovered.report.truncated {
            assert_eq!(saved, [truncated.saved_to.unwrap()], "{}", state.what);
            assert_eq!(fs::metadata(&saved[0]).unwrap().len(), truncated.bytes, "{}", state.what);
        }
    }
}

#[test]
fn failed_recovery_changes_nothing() {
    let foreign = b"what?\n".to_vec();
    let mut rotated = two_groups().closed();
    rotated[FIRST.encode().len() + 1] = b'9';
    let unlinked =
        SegmentBytes::new(SegmentHeader::Checksummed(ChainLink { first_seq: 4, prev_seal: 7 })).group(&["4"]);
    for (what, files) in [
        ("no journal", vec![("", foreign.clone())]),
        ("corrupt", vec![("", corrupt_segment())]),
        ("corrupt, the next prepared", vec![("", corrupt_segment()), (".next", padding())]),
        ("a foreign next", vec![("", two_groups().padded(9)), (".next", foreign)]),
        ("a segment missing", vec![(".001", two_groups().closed()), ("", unlinked.padded(9))]),
        ("corruption in a rotated segment", vec![(".001", rotated.clone()), (".next", padding())]),
    ] {
        let state = crash_state(what, 0, &files);
        let dir = tempfile::tempdir().unwrap();
        let path = state.write_files(dir.path());
        let before = segments(&path);
        let faults = FaultInjector::new();
        let error = recover_on(&faults, &state, &path).expect_err(what);
        assert!(
            matches!(error, MiniStoreError::Corrupt { .. } | MiniStoreError::MissingInitialState),
            "{what}: {error}"
        );
        assert_eq!((faults.changes(), segments(&path)), (0, before), "{what}");
    }
}

#[test]
fn failed_recovery_leaves_no_second_copy_of_the_tail() {
    let torn = two_groups().line("{\"torn\":").padded(900);
    let state = crash_state("torn", 3, &[("", torn)]);
    // The copy cannot be written, cannot be synced, and the segment cannot be truncated.
    for (op, errno, copies) in [
        (Op::Write, Errno::NOSPC, 0),
        (Op::Write, Errno::DQUOT, 0),
        (Op::SyncFile, Errno::IO, 0),
        (Op::SetLen, Errno::NOSPC, 1),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = state.write_files(dir.path());
        let before = segments(&path);
        let saved = || fs::read_dir(dir.path()).unwrap().count() - before.len();
        for _ in 0..3 {
            let faults = FaultInjector::new();
            // The first sync is that of the segment.
            faults.fail(op, 1 + u64::from(op == Op::SyncFile), errno);
            let error = recover_on(&faults, &state, &path).expect_err("it must fail");
            let is_full = matches!(error, MiniStoreError::StorageFull { .. });
            assert_eq!(is_full, errno != Errno::IO, "{op:?}: {error:?}");
            assert_eq!((saved(), segments(&path)), (copies, before.clone()), "{op:?}");
        }
        recover_on(&FaultInjector::new(), &state, &path).unwrap();
        assert_eq!(saved(), 1, "{op:?}");
    }
}
