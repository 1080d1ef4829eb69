//! Recovery that is cut off itself: after every single operation, and recovered then.

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

/// A journal as a crash may have left it: files by their suffix.
struct Left {
    what: &'static str,
    files: Vec<(&'static str, Vec<u8>)>,
    options: JournalOptions,
    /// Records that recovery must find.
    records: usize,
}

fn left(what: &'static str, records: usize, files: &[(&'static str, Vec<u8>)]) -> Left {
    Left { what, files: files.to_vec(), options: JournalOptions::new(), records }
}

impl Left {
    fn cut_at_first_error(mut self) -> Self {
        self.options = self.options.recovery(RecoveryPolicy::TruncateAtFirstError);
        self
    }

    fn without_seals(mut self) -> Self {
        self.options = self.options.checksums(false);
        self
    }

    fn lay_out(&self, dir: &Path) -> PathBuf {
        for (suffix, bytes) in &self.files {
            fs::write(dir.join(format!("j{suffix}")), bytes).unwrap();
        }
        dir.join("j")
    }
}

/// Two groups of three records.
fn two_groups() -> SegmentBytes {
    SegmentBytes::new(FIRST).group(&["1", "{\"two\":2}"]).group(&["\"three\""])
}

/// A segment that follows [`two_groups`].
fn successor() -> SegmentBytes {
    SegmentBytes::new(Header::Checksummed(ChainLink { first: 4, prev: two_groups().last_seal() }))
}

fn damaged() -> Vec<u8> {
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

/// A size that is durable before the bytes are: a file system fills in zeros.
fn zeros(bytes: usize) -> Vec<u8> {
    vec![0; bytes]
}

/// All that can be found, save what is refused.
fn all_left() -> Vec<Left> {
    let torn = |segment: SegmentBytes| segment.line("{\"torn\":").padded(900);
    let cut_header = FIRST.encode()[..40].to_vec();
    vec![
        left("nothing", 0, &[]),
        left("nothing, without seals", 0, &[]).without_seals(),
        left("an empty file", 0, &[("", vec![])]),
        left("padding only", 0, &[("", padding())]),
        left("a header cut off", 0, &[("", cut_header.clone())]),
        left("a creation cut off early", 0, &[(".next", vec![])]),
        left("a creation cut off in the header", 0, &[(".next", cut_header.clone())]),
        left("a creation cut off late", 0, &[(".next", SegmentBytes::new(FIRST).ended())]),
        left("a header", 0, &[("", SegmentBytes::new(FIRST).ended())]),
        left("closed", 3, &[("", two_groups().closed())]),
        left("padded", 3, &[("", two_groups().padded(5000))]),
        left("not written ahead", 3, &[("", two_groups().ended())]),
        left("cut behind the seal", 3, &[("", two_groups().bare())]),
        left("torn", 3, &[("", torn(two_groups()))]),
        left("an LF behind the data", 3, &[("", two_groups().followed_by(b"\n   "))]),
        left("the next prepared", 3, &[("", two_groups().padded(99)), (".next", padding())]),
        left("torn, the next prepared", 3, &[("", torn(two_groups())), (".next", padding())]),
        left("a creation whose header was lost", 0, &[(".next", zeros(76))]),
        left(
            "a creation whose header was lost in part",
            0,
            &[(".next", [&cut_header[..], &zeros(36)].concat())],
        ),
        left(
            "a creation whose header lost its LF",
            0,
            &[(".next", SegmentBytes::new(FIRST).followed_by(&zeros(1)))],
        ),
        left("the next prepared, padding lost", 3, &[("", two_groups().padded(99)), (".next", zeros(4096))]),
        left(
            "the next prepared, padding lost in part",
            3,
            &[("", two_groups().padded(99)), (".next", [padding(), zeros(512), padding()].concat())],
        ),
        left("archived, padding lost", 3, &[(".001", two_groups().padded(99)), (".next", zeros(4096))]),
        left("archived, the header lost", 3, &[(".001", two_groups().closed()), (".next", zeros(76))]),
        left("archived", 3, &[(".001", two_groups().padded(99)), (".next", padding())]),
        left("archived, torn", 3, &[(".001", torn(two_groups())), (".next", padding())]),
        left("archived, no next", 3, &[(".001", two_groups().closed())]),
        left(
            "the successor begun",
            3,
            &[(".001", two_groups().padded(99)), (".next", successor().padded(700))],
        ),
        left("the successor torn", 3, &[(".001", two_groups().padded(99)), (".next", torn(successor()))]),
        left(
            "the successor with a group",
            4,
            &[(".001", two_groups().padded(99)), (".next", successor().group(&["4"]).padded(700))],
        ),
        left(
            "the successor named",
            4,
            &[(".001", two_groups().padded(99)), ("", successor().group(&["4"]).padded(700))],
        ),
        left(
            "the successor named and torn",
            4,
            &[(".001", two_groups().padded(99)), ("", torn(successor().group(&["4"])))],
        ),
        left("plain", 2, &[("", plain("1\n{\"a\":2}\n"))]),
        left("plain, without seals", 2, &[("", plain("1\n{\"a\":2}\n"))]).without_seals(),
        left("plain, header only", 0, &[("", plain(""))]),
        left("plain, cut off", 2, &[("", plain("1\n2\n{\"a\""))]),
        left("plain, cut off, without seals", 2, &[("", plain("1\n2\n{\"a\""))]).without_seals(),
        left("plain, last LF missing", 2, &[("", plain("1\n[2]"))]),
        left("plain, last line no JSON", 2, &[("", plain("1\n2\n{\"a\"\n"))]),
        left(
            "plain segments",
            5,
            &[(".000001", plain("1\n2\n")), (".000002", plain("3\n")), ("", plain("4\n5\n"))],
        ),
        left(
            "plain segments, the active missing",
            3,
            &[(".000001", plain("1\n2\n")), (".000002", plain("3\n"))],
        ),
        left("damaged", 0, &[("", damaged())]).cut_at_first_error(),
        left("damaged, the next prepared", 0, &[("", damaged()), (".next", padding())]).cut_at_first_error(),
        left("a foreign next", 3, &[("", two_groups().closed()), (".next", b"what?\n".to_vec())])
            .cut_at_first_error(),
    ]
}

fn recover_on(faults: &FaultInjector, left: &Left, path: &Path) -> Result<RecoveredJournal> {
    let disk = faults.file_system();
    recover(&*disk, &FileNames::resolve(&*disk, path).unwrap(), &left.options)
}

fn records(path: &Path) -> Vec<(u64, Value)> {
    Reader::open(path)
        .unwrap()
        .records()
        .map(|record| record.unwrap())
        .map(|record| (record.seq, record.value))
        .collect()
}

/// The segments, byte for byte.
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
    for left in all_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = left.lay_out(dir.path());
        let faults = FaultInjector::new();
        let undisturbed = recover_on(&faults, &left, &path).unwrap();
        let (expected_records, expected_segments) = (records(&path), segments(&path));
        assert_eq!(expected_records.len(), left.records, "{}", left.what);
        assert_eq!(undisturbed.report.next_seq, left.records as u64 + 1, "{}", left.what);
        for operations in 0..faults.changes() {
            let context = format!("{}, cut off after {operations}", left.what);
            let dir = tempfile::tempdir().unwrap();
            let path = left.lay_out(dir.path());
            let faults = FaultInjector::new();
            faults.fail_after(operations);
            recover_on(&faults, &left, &path).expect_err(&context);
            let recovered = recover_on(&FaultInjector::new(), &left, &path).expect(&context);
            assert_eq!(recovered.report.next_seq, undisturbed.report.next_seq, "{context}");
            assert_eq!(records(&path), expected_records, "{context}");
            assert_eq!(segments(&path), expected_segments, "{context}");
            assert_eq!(recovered.chain, undisturbed.chain, "{context}");
        }
    }
}

#[test]
fn recovering_twice_leaves_every_byte_as_it_is_the_second_time() {
    for left in all_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = left.lay_out(dir.path());
        recover_on(&FaultInjector::new(), &left, &path).unwrap();
        let before = segments(&path);
        let again = recover_on(&FaultInjector::new(), &left, &path).unwrap();
        assert_eq!(segments(&path), before, "{}", left.what);
        assert_eq!((again.report.truncated, again.report.rotation_completed), (None, false), "{}", left.what);
    }
}

/// Operations, and where they write.
type ScanCache = Vec<(Op, Option<Range<u64>>)>;

/// What is found whole may stand in the page cache only, where a sync failed or was never made.
#[test]
fn the_last_group_is_written_again_and_synced_before_it_counts() {
    for left in all_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = left.lay_out(dir.path());
        let faults = FaultInjector::new();
        recover_on(&faults, &left, &path).unwrap();
        let before = segments(&path);
        let found =
            scan_to_end(&*faults.file_system().open(&path, OpenMode::ReadWrite).unwrap()).unwrap().unwrap();
        let cache: Arc<Mutex<ScanCache>> = Arc::default();
        faults.before_each({
            let cache = Arc::clone(&cache);
            move |event| {
                let range = event.write.map(|(offset, bytes)| offset..offset + bytes.len() as u64);
                cache.lock().unwrap().push((event.op, range));
            }
        });
        recover_on(&faults, &left, &path).unwrap();
        // First whatever can be synced is synced.
        cache.lock().unwrap().retain({
            let mut written = false;
            move |(op, _)| {
                written |= *op == Op::Write;
                written
            }
        });
        let expected = [
            (Op::Write, Some(found.last_group.saturating_sub(1)..found.end.file_end)),
            (Op::SetLen, None),
            (Op::SyncFile, None),
            (Op::SyncDir, None),
        ];
        assert_eq!(
            (cache.lock().unwrap().as_slice(), segments(&path)),
            (&expected[..], before),
            "{}",
            left.what
        );
    }
}

#[test]
fn truncated_bytes_are_kept_in_side_file() {
    for left in all_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = left.lay_out(dir.path());
        let recovered = recover_on(&FaultInjector::new(), &left, &path).unwrap();
        let torn = left.files.iter().any(|(_, bytes)| bytes.windows(6).any(|text| text == b"{\"torn"));
        let kept: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_str().unwrap().contains(".truncated-"))
            .collect();
        if torn {
            let kept = fs::read(&kept[0]).unwrap();
            assert!(kept.ends_with(b"{\"torn\":") && kept.len() <= 9, "{}: {kept:?}", left.what);
        }
        if let Some(cut) = recovered.report.truncated {
            assert_eq!(kept, [cut.saved_to.unwrap()], "{}", left.what);
            assert_eq!(fs::metadata(&kept[0]).unwrap().len(), cut.bytes, "{}", left.what);
        }
    }
}

#[test]
fn what_is_refused_is_not_touched() {
    let foreign = b"what?\n".to_vec();
    let mut rotated = two_groups().closed();
    rotated[FIRST.encode().len() + 1] = b'9';
    let unlinked = SegmentBytes::new(Header::Checksummed(ChainLink { first: 4, prev: 7 })).group(&["4"]);
    for (what, files) in [
        ("no journal", vec![("", foreign.clone())]),
        ("damaged", vec![("", damaged())]),
        ("damaged, the next prepared", vec![("", damaged()), (".next", padding())]),
        ("a foreign next", vec![("", two_groups().padded(9)), (".next", foreign)]),
        ("a segment missing", vec![(".001", two_groups().closed()), ("", unlinked.padded(9))]),
        ("damage in an archived segment", vec![(".001", rotated.clone()), (".next", padding())]),
    ] {
        let left = left(what, 0, &files);
        let dir = tempfile::tempdir().unwrap();
        let path = left.lay_out(dir.path());
        let before = segments(&path);
        let faults = FaultInjector::new();
        let refused = recover_on(&faults, &left, &path).expect_err(what);
        assert!(
            matches!(refused, MiniStoreError::Corrupt { .. } | MiniStoreError::MissingInitialState),
            "{what}: {refused}"
        );
        assert_eq!((faults.changes(), segments(&path)), (0, before), "{what}");
    }
}
