//! Segments as `ministore` 0.1.7 writes them, and what becomes of them here.

use super::*;
use crate::format::{Header, seal};

const HEADER: &str = "// MINISTORE JOURNAL v0.1.4\n";

fn plain(text: &str) -> Vec<u8> {
    [HEADER, text].concat().into_bytes()
}

#[test]
fn legacy_lines_are_valid_without_seal() {
    let reading = read(plain("{\"a\":1}\n2\n\"three\"\n").as_slice());
    assert_eq!(reading.lines, [&b"{\"a\":1}"[..], b"2", b"\"three\""]);
    assert_eq!((reading.groups.len(), reading.groups[0].seal), (1, None));
    let SegmentEnd { has_newline, closed, tail, last_seal, .. } = reading.end;
    assert_eq!((has_newline, closed, tail, last_seal), (true, false, None, None));
}

#[test]
fn a_whole_value_without_its_lf_is_kept() {
    for last in ["{\"a\":1}", "[1]", "\"s\"", "true", "{\"a\":1}  ", "{\"a\":1}\r"] {
        let bytes = plain(&["1\n", last].concat());
        let reading = read(bytes.as_slice());
        assert_eq!(reading.lines.last().unwrap(), last.trim_ascii_end().as_bytes(), "{last:?}");
        assert_eq!((reading.lines.len(), reading.end.tail), (2, None), "{last:?}");
        assert_eq!(reading.end.data_end as usize, HEADER.len() + 2 + last.trim_ascii_end().len());
    }
}

#[test]
fn an_incomplete_last_line_is_a_tail_with_its_place() {
    // A number may have been cut off between two digits.
    for last in ["{\"a\":", "\"s", "tru", "12", "-", "1.5"] {
        let reading = read(plain(&["{\"a\":1}\n2\n", last].concat()).as_slice());
        assert_eq!(reading.lines, [&b"{\"a\":1}"[..], b"2"], "{last:?}");
        let tail = reading.end.tail.unwrap();
        let offset = (HEADER.len() + 10) as u64;
        assert_eq!(
            (tail.offset, tail.line, tail.bytes, tail.damaged),
            (offset, 4, last.len() as u64, false),
            "{last:?}"
        );
    }
}

#[test]
fn an_incomplete_only_line_leaves_no_records() {
    let reading = read(plain("{\"a\"").as_slice());
    assert_eq!((reading.lines.len(), reading.end.data_end as usize), (0, HEADER.len() - 1));
    let tail = reading.end.tail.unwrap();
    assert_eq!((tail.offset as usize, tail.line, tail.bytes), (HEADER.len(), 2, 4));
}

#[test]
fn a_carriage_return_belongs_to_no_value_and_does_not_break_a_seal_over_it() {
    let bytes = [HEADER.trim_end(), "\r\n{\"a\":1}\r\n{\"b\":2}\r\n"].concat().into_bytes();
    let reading = read(bytes.as_slice());
    assert_eq!(reading.lines, [b"{\"a\":1}", b"{\"b\":2}"]);
    let reading = read(sealed_over(&bytes, &reading.end).as_slice());
    assert_eq!((reading.lines.len(), reading.groups.len(), reading.end.tail), (2, 1, None));
}

#[test]
fn the_first_seal_covers_every_line_since_the_header() {
    for text in ["1\n2\n", "{\"a\":1}", "[1]\n[2]\n[3]"] {
        let bytes = plain(text);
        let before = read(bytes.as_slice());
        let sealed = sealed_over(&bytes, &before.end);
        let reading = read(sealed.as_slice());
        assert_eq!(reading.lines, before.lines, "{text:?}");
        assert!(reading.groups[0].seal.is_some());
        for at in HEADER.len()..reading.end.data_end as usize {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            let reading = read(bad.as_slice());
            let damaged = reading.end.tail.is_some_and(|tail| tail.damaged);
            // A seal that is no seal any more leaves a plain segment, whose lines are as they were, or no JSON.
            let is_json = |line: &Vec<u8>| serde_json::from_slice::<serde_json::Value>(line).is_ok();
            let given: Vec<_> = reading.lines.into_iter().filter(is_json).collect();
            let unsealed = reading.end.last_seal.is_none() && before.lines.starts_with(&given);
            assert!(damaged || unsealed, "{text:?}, byte {at}: {given:?}");
        }
    }
}

#[test]
fn changed_legacy_lines_under_seal_are_damage() {
    let segment = SegmentBytes::new(Header::Plain).line("{\"a\":1}").line("{\"a\":2}").group(&["{\"a\":3}"]);
    for whole in
        [segment.clone().padded(100), segment.clone().ended(), segment.clone().group(&["4"]).padded(9)]
    {
        assert_eq!(read(whole.as_slice()).groups[0].records, 3);
        let mut bad = whole;
        bad[HEADER.len() + 5] = b'9';
        let reading = read(bad.as_slice());
        assert_eq!(reading.lines.len(), 0);
        let tail = reading.end.tail.unwrap();
        assert_eq!((tail.offset as usize, tail.line, tail.damaged), (HEADER.len(), 2, true));
    }
}

#[test]
fn lines_after_first_seal_need_a_seal() {
    let segment = SegmentBytes::new(Header::Plain).group(&["1", "2"]);
    let data_end = segment.data_end() as u64;
    let reading = read(segment.line("3").ended().as_slice());
    assert_eq!(reading.lines, [b"1", b"2"]);
    let tail = reading.end.tail.unwrap();
    assert_eq!((tail.offset, tail.line, tail.damaged), (data_end + 1, 4, false));
}

#[test]
fn truncated_upgrade_seal_keeps_legacy_lines() {
    for last in ["{\"a\":1}", "12"] {
        let bytes = plain(&["0\n", last, "\n"].concat());
        let whole = sealed_over(&bytes, &read(bytes.as_slice()).end);
        // From the first byte of the seal on: before that, the LF is still there.
        for len in bytes.len()..whole.len() {
            let reading = read(&whole[..len]);
            assert_eq!(reading.lines, [b"0", last.as_bytes()], "{last}, cut at {len}");
            assert!(reading.end.tail.is_none_or(|tail| !tail.damaged), "{last}, cut at {len}");
            let mut zeroed = whole[..len].to_vec();
            zeroed.resize(whole.len(), 0);
            assert_eq!(read(zeroed.as_slice()).lines, [b"0", last.as_bytes()], "{last}, zeros from {len}");
        }
    }
}

/// As recovery seals plain lines: over the white space behind the last value.
fn sealed_over(bytes: &[u8], end: &SegmentEnd) -> Vec<u8> {
    let mut sealed = bytes[..end.data_end as usize].to_vec();
    sealed.extend_from_slice(&seal::encode(end.chain.seal()));
    sealed.push(b'\n');
    sealed
}
