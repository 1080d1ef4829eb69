//! Plain segments, as `ministore` 0.1.7 writes them, and their upgrade.

use super::*;
use crate::format::{SegmentHeader, seal};

const HEADER: &str = "// MINISTORE JOURNAL v0.1.4\n";

fn plain(text: &str) -> Vec<u8> {
    [HEADER, text].concat().into_bytes()
}

#[test]
fn legacy_lines_are_valid_without_seal() {
    let result = read(plain("{\"a\":1}\n2\n\"three\"\n").as_slice());
    assert_eq!(result.lines, [&b"{\"a\":1}"[..], b"2", b"\"three\""]);
    assert_eq!((result.groups.len(), result.groups[0].seal), (1, None));
    let SegmentEnd { has_newline, closed, tail, last_seal, .. } = result.end;
    assert_eq!((has_newline, closed, tail, last_seal), (true, false, None, None));
}

#[test]
fn complete_last_value_without_lf_is_kept() {
    for last in ["{\"a\":1}", "[1]", "\"s\"", "true", "{\"a\":1}  ", "{\"a\":1}\r"] {
        let bytes = plain(&["1\n", last].concat());
        let result = read(bytes.as_slice());
        assert_eq!(result.lines.last().unwrap(), last.trim_ascii_end().as_bytes(), "{last:?}");
        assert_eq!((result.lines.len(), result.end.tail), (2, None), "{last:?}");
        assert_eq!(result.end.data_end as usize, HEADER.len() + 2 + last.trim_ascii_end().len());
    }
}

#[test]
fn incomplete_last_line_is_a_torn_tail() {
    // A number may have been truncated between two digits.
    for last in ["{\"a\":", "\"s", "tru", "12", "-", "1.5"] {
        let result = read(plain(&["{\"a\":1}\n2\n", last].concat()).as_slice());
        assert_eq!(result.lines, [&b"{\"a\":1}"[..], b"2"], "{last:?}");
        let tail = result.end.tail.unwrap();
        let offset = (HEADER.len() + 10) as u64;
        assert_eq!(
            (tail.offset, tail.line, tail.bytes, tail.is_corrupt),
            (offset, 4, last.len() as u64, false),
            "{last:?}"
        );
    }
}

#[test]
fn incomplete_only_line_leaves_no_records() {
    let result = read(plain("{\"a\"").as_slice());
    assert_eq!((result.lines.len(), result.end.data_end as usize), (0, HEADER.len() - 1));
    let tail = result.end.tail.unwrap();
    assert_eq!((tail.offset as usize, tail.line, tail.bytes), (HEADER.len(), 2, 4));
}

#[test]
fn carriage_return_is_not_part_of_a_value() {
    let bytes = [HEADER.trim_end(), "\r\n{\"a\":1}\r\n{\"b\":2}\r\n"].concat().into_bytes();
    let result = read(bytes.as_slice());
    assert_eq!(result.lines, [b"{\"a\":1}", b"{\"b\":2}"]);
    let result = read(with_seal(&bytes, &result.end).as_slice());
    assert_eq!((result.lines.len(), result.groups.len(), result.end.tail), (2, 1, None));
}

#[test]
fn first_seal_covers_all_lines_after_header() {
    for text in ["1\n2\n", "{\"a\":1}", "[1]\n[2]\n[3]"] {
        let bytes = plain(text);
        let before = read(bytes.as_slice());
        let upgraded = with_seal(&bytes, &before.end);
        let result = read(upgraded.as_slice());
        assert_eq!(result.lines, before.lines, "{text:?}");
        assert!(result.groups[0].seal.is_some());
        for at in HEADER.len()..result.end.data_end as usize {
            let mut bad = upgraded.clone();
            bad[at] ^= 1;
            let result = read(bad.as_slice());
            let is_corrupt = result.end.tail.is_some_and(|tail| tail.is_corrupt);
            // Without a valid seal the segment is plain again: its lines are unchanged, or not JSON.
            let is_json = |line: &Vec<u8>| serde_json::from_slice::<serde_json::Value>(line).is_ok();
            let values: Vec<_> = result.lines.into_iter().filter(is_json).collect();
            let is_plain_prefix = result.end.last_seal.is_none() && before.lines.starts_with(&values);
            assert!(is_corrupt || is_plain_prefix, "{text:?}, byte {at}: {values:?}");
        }
    }
}

#[test]
fn changed_legacy_lines_with_seal_are_corrupt() {
    let segment =
        SegmentBytes::new(SegmentHeader::Plain).line("{\"a\":1}").line("{\"a\":2}").group(&["{\"a\":3}"]);
    for whole in
        [segment.clone().padded(100), segment.clone().ended(), segment.clone().group(&["4"]).padded(9)]
    {
        assert_eq!(read(whole.as_slice()).groups[0].records, 3);
        let mut bad = whole;
        bad[HEADER.len() + 5] = b'9';
        let result = read(bad.as_slice());
        assert_eq!(result.lines.len(), 0);
        let tail = result.end.tail.unwrap();
        assert_eq!((tail.offset as usize, tail.line, tail.is_corrupt), (HEADER.len(), 2, true));
    }
}

#[test]
fn lines_after_first_seal_need_a_seal() {
    let segment = SegmentBytes::new(SegmentHeader::Plain).group(&["1", "2"]);
    let data_end = segment.data_end() as u64;
    let result = read(segment.line("3").ended().as_slice());
    assert_eq!(result.lines, [b"1", b"2"]);
    let tail = result.end.tail.unwrap();
    assert_eq!((tail.offset, tail.line, tail.is_corrupt), (data_end + 1, 4, false));
}

#[test]
fn truncated_upgrade_seal_keeps_legacy_lines() {
    for last in ["{\"a\":1}", "12"] {
        let bytes = plain(&["0\n", last, "\n"].concat());
        let whole = with_seal(&bytes, &read(bytes.as_slice()).end);
        // The seal starts where the LF was.
        for len in bytes.len()..whole.len() {
            let result = read(&whole[..len]);
            assert_eq!(result.lines, [b"0", last.as_bytes()], "{last}, truncated at {len}");
            assert!(result.end.tail.is_none_or(|tail| !tail.is_corrupt), "{last}, truncated at {len}");
            let mut zeroed = whole[..len].to_vec();
            zeroed.resize(whole.len(), 0);
            assert_eq!(read(zeroed.as_slice()).lines, [b"0", last.as_bytes()], "{last}, zeros from {len}");
        }
    }
}

/// Adds a seal as recovery does, over the white space after the last value.
fn with_seal(bytes: &[u8], end: &SegmentEnd) -> Vec<u8> {
    let mut upgraded = bytes[..end.data_end as usize].to_vec();
    upgraded.extend_from_slice(&seal::encode(end.chain.seal()));
    upgraded.push(b'\n');
    upgraded
}
