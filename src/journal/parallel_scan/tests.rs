//! A scan in parts gives the result of a scan from the start, whatever the segment contains.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
};

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{next_part, scan_in_parts};
use crate::{
    format::scan::ReadAt,
    format::testing::{FIRST, FIRST_JSON, SegmentBytes},
    format::{CLOSE_MARKER, LF, PADDING, SegmentHeader, seal},
    journal::segment_summary::scan_from_start,
};

/// Returns the results of a scan from the start, and of one in parts, as text.
fn scan_both(bytes: &[u8], parts: u64) -> [String; 2] {
    let whole = scan_from_start(bytes).unwrap();
    let in_parts = scan_in_parts(bytes, bytes.len() as u64, parts).unwrap();
    [format!("{whole:?}"), format!("{in_parts:?}")]
}

/// Generates a value; some contain white space that looks like a seal, in a line or at its end.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0usize..300).prop_map(|len| format!("\"{}\"", "x".repeat(len)).into_bytes()),
        1 => any::<u32>().prop_map(|value| [b"[", &seal::encode(value)[..], b"0]"].concat()),
        1 => any::<u32>().prop_map(|value| [b"0", &seal::encode(value)[..]].concat()),
    ]
}

/// Generates groups; most lines of a plain segment have no seal.
fn segment() -> impl Strategy<Value = SegmentBytes> {
    let header = prop_oneof![4 => Just(FIRST), 2 => Just(FIRST_JSON), 1 => Just(SegmentHeader::Plain)];
    (header, vec((any::<bool>(), vec(value(), 1..4)), 0..30)).prop_map(|(header, groups)| {
        groups.into_iter().fold(SegmentBytes::new(header), |segment, (has_seal, lines)| {
            if has_seal || header != SegmentHeader::Plain {
                segment.group(&lines)
            } else {
                segment.line(&lines[0])
            }
        })
    })
}

fn ending() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(vec![]),
        Just(vec![LF]),
        Just(vec![CLOSE_MARKER, LF]),
        (0usize..9000).prop_map(|spaces| vec![PADDING; spaces]),
        (value(), 0usize..900).prop_map(|(torn, zeros)| [&[LF], &torn[..], &vec![0; zeros]].concat()),
    ]
}

/// A segment that counts the bytes of its reads.
#[derive(Default)]
struct CountingSource {
    bytes: Vec<u8>,
    read: AtomicU64,
}

impl ReadAt for CountingSource {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.bytes.as_slice().read_at(into, offset)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[test]
fn each_part_is_read_once() {
    let line = "x".repeat(100);
    let segment = (0..200).fold(SegmentBytes::new(FIRST), |segment, _| segment.group(&[&line]));
    let source = CountingSource { bytes: segment.ended(), read: AtomicU64::new(0) };
    let bytes = source.bytes.len() as u64;
    let (summary, _) = scan_in_parts(&source, bytes, 4).unwrap().unwrap();
    assert_eq!((summary.records, summary.end.data_end), (200, bytes - 1));
    let read = source.read.into_inner();
    assert!(read < bytes + bytes / 4, "{read} of {bytes}");
}

#[test]
fn whole_segment_is_read_in_parts() {
    let segment = (0..40).fold(SegmentBytes::new(FIRST), |segment, nth| segment.group(&[nth.to_string()]));
    let bytes = segment.padded(100);
    let start = next_part(&bytes[..], 0, bytes.len() as u64, 2).unwrap();
    assert!(start.offset > bytes.len() as u64 / 2);
    // A scan of the first part alone would find damage.
    let mut changed = bytes.clone();
    changed[start.offset as usize + 3] ^= 1;
    for parts in 1..9 {
        let [whole, in_parts] = scan_both(&bytes, parts);
        assert_eq!(whole, in_parts);
        let [whole, in_parts] = scan_both(&changed, parts);
        assert_eq!(whole, in_parts);
        assert!(whole.contains("is_corrupt: true"), "{whole}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn scan_in_parts_matches_scan_from_start(segment in segment(), ending in ending(), parts in 1u64..6) {
        let [whole, in_parts] = scan_both(&segment.followed_by(&ending), parts);
        prop_assert_eq!(whole, in_parts);
    }

    #[test]
    fn damaged_segment_in_parts_is_judged_the_same(
        segment in segment(), ending in ending(), parts in 2u64..6,
        damage in vec((any::<Index>(), any::<u8>(), 0usize..80), 1..4)
    ) {
        let mut bytes = segment.followed_by(&ending);
        for (at, byte, count) in damage {
            let at = at.index(bytes.len());
            let end = bytes.len().min(at + count);
            match byte % 4 {
                0 => bytes[at..end].fill(0),
                1 => bytes.truncate(at.max(1)),
                2 => bytes.extend_from_within(at..end),
                _ => bytes[at] ^= byte | 1,
            }
        }
        let [whole, in_parts] = scan_both(&bytes, parts);
        prop_assert_eq!(whole, in_parts);
    }
}
