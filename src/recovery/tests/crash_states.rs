//! The journals that a crash can leave.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Header, JournalOptions, RecoveryPolicy,
    format::{
        ChainLink, SegmentHeader,
        testing::{FIRST, SegmentBytes},
    },
};

/// A journal as a crash can leave it: files by their suffix.
pub(super) struct CrashState {
    pub(super) what: &'static str,
    pub(super) files: Vec<(&'static str, Vec<u8>)>,
    pub(super) options: JournalOptions,
    /// The number of records that recovery must find.
    pub(super) records: usize,
}

pub(super) fn crash_state(
    what: &'static str,
    records: usize,
    files: &[(&'static str, Vec<u8>)],
) -> CrashState {
    CrashState { what, files: files.to_vec(), options: JournalOptions::new(), records }
}

impl CrashState {
    fn truncate_at_first_error(mut self) -> Self {
        self.options = self.options.recovery(RecoveryPolicy::TruncateAtFirstError);
        self
    }

    fn with_header(mut self, header: Header) -> Self {
        let checksums = self.options.checksums;
        self.options = self.options.header(if checksums { header } else { Header::Comment });
        self
    }

    fn without_checksums(mut self) -> Self {
        self.options = self.options.checksums(false);
        self
    }

    pub(super) fn write_files(&self, dir: &Path) -> PathBuf {
        for (suffix, bytes) in &self.files {
            fs::write(dir.join(format!("j{suffix}")), bytes).unwrap();
        }
        dir.join("j")
    }
}

/// A segment of two groups with three records.
pub(super) fn two_groups() -> SegmentBytes {
    two_groups_after(FIRST)
}

fn two_groups_after(header: SegmentHeader) -> SegmentBytes {
    SegmentBytes::new(header).group(&["1", "{\"two\":2}"]).group(&["\"three\""])
}

pub(super) fn corrupt_segment() -> Vec<u8> {
    corrupt_segment_after(FIRST)
}

fn corrupt_segment_after(header: SegmentHeader) -> Vec<u8> {
    let mut bytes = two_groups_after(header).padded(1000);
    let at = header.encode().len() + 1;
    bytes[at] = b'9';
    bytes
}

const PLAIN: &str = "// MINISTORE JOURNAL v0.1.4\n";

fn plain(lines: &str) -> Vec<u8> {
    [PLAIN, lines].concat().into_bytes()
}

pub(super) fn padding() -> Vec<u8> {
    vec![b' '; 4096]
}

/// The bytes of a file whose size is durable before its data: the file system shows zeros.
fn zeros(bytes: usize) -> Vec<u8> {
    vec![0; bytes]
}

/// Returns all crash states that recovery accepts.
pub(super) fn all_crash_states() -> Vec<CrashState> {
    let mut states = plain_states();
    for header in [Header::Comment, Header::Json] {
        states.extend(states_with(header, header));
    }
    // The option was changed before the last rotation.
    states.extend(states_with(Header::Json, Header::Comment));
    states
}

/// Returns the states of a journal whose first segment and whose later ones have these headers.
fn states_with(header: Header, later: Header) -> Vec<CrashState> {
    let first = SegmentHeader::of(header, ChainLink { first_seq: 1, prev_seal: 0 });
    let two_groups = || two_groups_after(first);
    let link = ChainLink { first_seq: 4, prev_seal: two_groups().last_seal() };
    let successor = || SegmentBytes::new(SegmentHeader::of(later, link));
    let corrupt_segment = || corrupt_segment_after(first);
    let torn = |segment: SegmentBytes| segment.line("{\"torn\":").padded(900);
    let partial_header = first.encode()[..40].to_vec();
    let states = vec![
        crash_state("nothing", 0, &[]),
        crash_state("nothing, without checksums", 0, &[]).without_checksums(),
        crash_state("an empty file", 0, &[("", vec![])]),
        crash_state("padding only", 0, &[("", padding())]),
        crash_state("a partial header", 0, &[("", partial_header.clone())]),
        crash_state("a creation interrupted early", 0, &[(".next", vec![])]),
        crash_state("a creation interrupted in the header", 0, &[(".next", partial_header.clone())]),
        crash_state("a creation interrupted late", 0, &[(".next", SegmentBytes::new(first).ended())]),
        crash_state("a header", 0, &[("", SegmentBytes::new(first).ended())]),
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
            &[(".next", SegmentBytes::new(first).followed_by(&zeros(1)))],
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
        crash_state("corrupt", 0, &[("", corrupt_segment())]).truncate_at_first_error(),
        crash_state("corrupt, the next prepared", 0, &[("", corrupt_segment()), (".next", padding())])
            .truncate_at_first_error(),
        crash_state("a foreign next", 3, &[("", two_groups().closed()), (".next", b"what?\n".to_vec())])
            .truncate_at_first_error(),
        crash_state("lines of 0.1.7", 3, &[("", two_groups().followed_by(b"\t\n{\"old\":1}\n"))]),
    ];
    states.into_iter().map(|state| state.with_header(later)).collect()
}

/// Returns the states of a journal that `ministore` 0.1.7 wrote.
fn plain_states() -> Vec<CrashState> {
    vec![
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
    ]
}
