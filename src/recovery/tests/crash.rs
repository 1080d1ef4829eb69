//! Recovery interrupted after every single operation, and then recovered.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use serde_json::Value;

use crate::{
    JournalOptions, MiniStoreError, Reader, RecoveryPolicy, Result,
    format::{
        ChainLink, Header,
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

/// A journal as a crash can leave it: files by their suffix.
struct CrashState {
    what: &'static str,
    files: Vec<(&'static str, Vec<u8>)>,
    options: JournalOptions,
    /// The number of records that recovery must find.
    records: usize,
}

fn crash_state(what: &'static str, records: usize, files: &[(&'static str, Vec<u8>)]) -> CrashState {
    CrashState { what, files: files.to_vec(), options: JournalOptions::new(), records }
}

impl CrashState {
    fn truncate_at_first_error(mut self) -> Self {
        self.options = self.options.recovery(RecoveryPolicy::TruncateAtFirstError);
        self
    }

    fn without_checksums(mut self) -> Self {
        self.options = self.options.checksums(false);
        self
    }

    fn write_files(&self, dir: &Path) -> PathBuf {
        for (suffix, bytes) in &self.files {
            fs::write(dir.join(format!("j{suffix}")), bytes).unwrap();
        }
        dir.join("j")
    }
}

/// A segment of two groups with three records.
fn two_groups() -> SegmentBytes {
    SegmentBytes::new(FIRST).group(&["1", "{\"two\":2}"]).group(&["\"three\""])
}

/// A segment that follows [`two_groups`].
fn successor() -> SegmentBytes {
    SegmentBytes::new(Header::Checksummed(ChainLink { first: 4, prev: two_groups().last_seal() }))
}

fn corrupt_segment() -> Vec<u8> {
    let mut bytes = two_groups().padded(1000);
    let at = FIRST.encode().len() + 1;
    bytes[at] = b'9';
    bytes
}

const PLAIN: &str = "// MINISTORE JOURNAL v0.1.4\n";

fn plain(lines: &str) -> Vec<u8> {
    [PLAIN, lines].concat().into_bytes()
}

fn padding() -> Vec<u8> {
    vec![b' '; 4096]
}

/// The bytes of a file whose size is durable before its data: the file system shows zeros.
fn zeros(bytes: usize) -> Vec<u8> {
    vec![0; bytes]
}

/// Returns all crash states that recovery accepts.
fn all_crash_states() -> Vec<CrashState> {
    let torn = |segment: SegmentBytes| segment.line("{\"torn\":").padded(900);
    let partial_header = FIRST.encode()[..40].to_vec();
    vec![
        crash_state("nothing", 0, &[]),
        crash_state("nothing, without checksums", 0, &[]).without_checksums(),
        crash_state("an empty file", 0, &[("", vec![])]),
        crash_state("padding only", 0, &[("", padding())]),
        crash_state("a partial header", 0, &[("", partial_header.clone())]),
        crash_state("a creation interrupted early", 0, &[(".next", vec![])]),
        crash_state("a creation interrupted in the header", 0, &[(".next", partial_header.clone())]),
        crash_state("a creation interrupted late", 0, &[(".next", SegmentBytes::new(FIRST).ended())]),
        crash_state("a header", 0, &[("", SegmentBytes::new(FIRST).ended())]),
        crash_state("closed", 3, &[("", two_groups().closed())]),
        crash_state("padded", 3, &[("", two_groups().padded(5000))]),
        crash_state("not preallocated", 3, &[("", two_groups().ended())]),
        crash_state("truncated after the seal", 3, &[("", two_groups().bare())]),
        crash_state("torn", 3, &[("", torn(two_groups()))]),
        crash_state("an LF after the data", 3, &[("", two_groups().followed_by(b"\n   "))]),
        crash_state("the next prepared", 3, &[("", two_groups().padded(99)), (".next", padding())]),
        crash_state("torn, the next prepared", 3, &[("", torn(two_groups())), (".next", padding())]),
        crash_state("a creation whose header was lost", 0, &[(".next", zeros(76))]),
        crash_state(
            "a creation whose header was lost in part",
            0,
            &[(".next", [&partial_header[..], &zeros(36)].concat())],
        ),
        crash_state(
            "a creation whose header lost its LF",
            0,
            &[(".next", SegmentBytes::new(FIRST).followed_by(&zeros(1)))],
        ),
        crash_state(
            "the next prepared, padding lost",
            3,
            &[("", two_groups().padded(99)), (".next", zeros(4096))],
        ),
        crash_state(
            "the next prepared, padding lost in part",
            3,
            &[("", two_groups().padded(99)), (".next", [padding(), zeros(512), padding()].concat())],
        ),
        crash_state("rotated, padding lost", 3, &[(".001", two_groups().padded(99)), (".next", zeros(4096))]),
        crash_state("rotated, the header lost", 3, &[(".001", two_groups().closed()), (".next", zeros(76))]),
        crash_state("rotated", 3, &[(".001", two_groups().padded(99)), (".next", padding())]),
        crash_state("rotated, torn", 3, &[(".001", torn(two_groups())), (".next", padding())]),
        crash_state("rotated, no next", 3, &[(".001", two_groups().closed())]),
        crash_state(
            "the successor started",
            3,
            &[(".001", two_groups().padded(99)), (".next", successor().padded(700))],
        ),
        crash_state(
            "the successor torn",
            3,
            &[(".001", two_groups().padded(99)), (".next", torn(successor()))],
        ),
        crash_state(
            "the successor with a group",
            4,
            &[(".001", two_groups().padded(99)), (".next", successor().group(&["4"]).padded(700))],
        ),
        crash_state(
            "the successor renamed",
            4,
            &[(".001", two_groups().padded(99)), ("", successor().group(&["4"]).padded(700))],
        ),
        crash_state(
            "the successor renamed and torn",
            4,
            &[(".001", two_groups().padded(99)), ("", torn(successor().group(&["4"])))],
        ),
        crash_state("plain", 2, &[("", plain("1\n{\"a\":2}\n"))]),
        crash_state("plain, without checksums", 2, &[("", plain("1\n{\"a\":2}\n"))]).without_checksums(),
        crash_state("plain, header only", 0, &[("", plain(""))]),
        crash_state("plain, incomplete last line", 2, &[("", plain("1\n2\n{\"a\""))]),
        crash_state("plain, incomplete last line, without checksums", 2, &[("", plain("1\n2\n{\"a\""))])
            .without_checksums(),
        crash_state("plain, last LF missing", 2, &[("", plain("1\n[2]"))]),
        crash_state("plain, last line not JSON", 2, &[("", plain("1\n2\n{\"a\"\n"))]),
        crash_state(
            "plain segments",
            5,
            &[(".000001", plain("1\n2\n")), (".000002", plain("3\n")), ("", plain("4\n5\n"))],
        ),
        crash_state(
            "plain segments, the active missing",
            3,
            &[(".000001", plain("1\n2\n")), (".000002", plain("3\n"))],
        ),
        crash_state("corrupt", 0, &[("", corrupt_segment())]).truncate_at_first_error(),
        crash_state("corrupt, the next prepared", 0, &[("", corrupt_segment()), (".next", padding())])
            .truncate_at_first_error(),
        crash_state("a foreign next", 3, &[("", two_groups().closed()), (".next", b"what?\n".to_vec())])
            .truncate_at_first_error(),
    ]
}

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
            assert_eq!(recovered.chain, undisturbed.chain, "{context}");
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
        let expected = [
            (Op::Write, Some(found.last_group.saturating_sub(1)..found.end.file_end)),
            (Op::SetLen, None),
            (Op::SyncFile, None),
            (Op::SyncDir, None),
        ];
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
    let unlinked = SegmentBytes::new(Header::Checksummed(ChainLink { first: 4, prev: 7 })).group(&["4"]);
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
