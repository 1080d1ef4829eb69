//! Memory does not grow with the size of a segment, a group or padding.

use std::io;

use super::*;
use crate::format::testing::FIRST;

/// Much more than one read.
const FILE_BYTES: u64 = 8 << 20;

/// A file of some bytes and generated spaces up to `len`.
struct WithPadding {
    text: Vec<u8>,
    len: u64,
}

impl ReadAt for WithPadding {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.text.as_slice().read_at(into, offset)?;
        let spaces = (into.len() - count).min((self.len - offset) as usize - count);
        into[count..count + spaces].fill(b' ');
        Ok(count + spaces)
    }
}

#[test]
fn long_padding_uses_no_memory() {
    let (segment, lines) = three_groups();
    let data_end = segment.data_end() as u64;
    let file = WithPadding { text: segment.bare(), len: 16 << 20 };
    let mut reader = LineReader::new(&file, 0);
    while reader.next().unwrap().is_some() {}
    assert_eq!(reader.position(), 16 << 20);
    assert!(reader.buffer_bytes() <= 4 * READ_BYTES, "{} bytes", reader.buffer_bytes());
    let (records, end) = count(&file);
    assert_eq!(
        (records as usize, end.data_end, end.file_end, end.tail),
        (lines.len(), data_end, 16 << 20, None)
    );
}

#[test]
fn padding_after_torn_group_uses_no_memory() {
    let (segment, lines) = three_groups();
    let text = segment.line("{\"torn\":").bare();
    let text_end = text.len() as u64;
    let file = WithPadding { text, len: 1 << 20 };
    let (records, end) = count(&file);
    let tail = end.tail.unwrap();
    assert_eq!((records as usize, tail.offset + tail.bytes, end.file_end), (lines.len(), text_end, 1 << 20));
}

#[test]
fn groups_across_read_boundaries_are_whole() {
    let lines: Vec<String> = (0..60).map(|n| format!("\"{}\"", "x".repeat(n % 23))).collect();
    for shift in 0..READ_BYTES {
        let first = format!("\"{}\"", "y".repeat(shift));
        let segment =
            SegmentBytes::new(FIRST).group(&[&first]).group(&lines).group(&["1"]).group(&lines[..7]);
        let expected: Vec<_> = [first.as_str()]
            .into_iter()
            .chain(lines.iter().map(String::as_str))
            .chain(["1"])
            .chain(lines[..7].iter().map(String::as_str))
            .map(str::as_bytes)
            .collect();
        for bytes in [segment.clone().padded(700), segment.closed()] {
            let result = read(bytes.as_slice());
            assert_eq!(result.lines, expected, "{shift}");
            assert_eq!((result.groups.len(), &result.end.tail), (4, &None), "{shift}");
            assert_eq!(count(bytes.as_slice()), (expected.len() as u64, result.end), "{shift}");
        }
    }
}

#[test]
fn records_across_read_boundaries_are_whole() {
    for len in (READ_BYTES - 120..READ_BYTES + 20).chain([3 * READ_BYTES]) {
        let line = format!("\"{}\"", "x".repeat(len));
        let segment = SegmentBytes::new(FIRST).group(&[&line]).group(&["1", &line, "2"]);
        let result = read(segment.padded(2 * READ_BYTES).as_slice());
        assert_eq!(result.lines, [line.as_bytes(), b"1", line.as_bytes(), b"2"], "{len}");
        assert_eq!(result.end.tail, None);
    }
}

#[test]
fn spaces_inside_value_are_kept() {
    for spaces in [63, 64, 65, READ_BYTES, 5 * READ_BYTES + 1] {
        let line = format!("[1,{}2]", " ".repeat(spaces));
        let result = read(SegmentBytes::new(FIRST).group(&[&line]).group(&["3"]).closed().as_slice());
        assert_eq!(result.lines, [line.as_bytes(), b"3"], "{spaces}");
    }
}

#[test]
fn large_group_is_verified_but_not_buffered() {
    let line = format!("\"{}\"", "x".repeat(1000));
    let large = vec![line.as_str(); MAX_BUFFERED_GROUP_BYTES / 1000 + 1];
    let segment = SegmentBytes::new(FIRST).group(&["1"]).group(&large).group(&["2"]);
    let closed = segment.closed();
    let result = read(closed.as_slice());
    assert_eq!(
        result.groups.iter().map(|group| group.is_too_large).collect::<Vec<_>>(),
        [false, true, false]
    );
    assert_eq!(result.lines.len(), large.len() + 2);
    assert_eq!(result.lines[large.len()], line.as_bytes());
    assert_eq!((result.end.tail, result.end.closed), (None, true));

    let mut bad = closed;
    bad[result.groups[1].offset as usize + 10_000] ^= 1;
    let result = read(bad.as_slice());
    assert_eq!(result.lines, [b"1"]);
    assert!(result.end.tail.unwrap().is_corrupt);
}

#[test]
fn large_legacy_segment_is_not_buffered() {
    let line = format!("\"{}\"\n", "x".repeat(1000));
    let count = MAX_BUFFERED_GROUP_BYTES / 1000 + 1;
    let bytes = ["// MINISTORE JOURNAL v0.1.4\n", &line.repeat(count), "{\"cut"].concat();
    let result = read(bytes.as_bytes());
    assert_eq!((result.lines.len(), result.groups.len()), (count, 1));
    assert!(result.groups[0].is_too_large);
    let tail = result.end.tail.unwrap();
    assert_eq!((tail.offset as usize, tail.bytes, tail.line), (bytes.len() - 5, 5, count as u64 + 2));
}

#[test]
fn white_space_after_any_text_uses_no_memory() {
    let segment = three_groups().0;
    for text in [segment.clone().bare(), segment.line("[").bare(), FIRST.encode(), b"x".to_vec(), Vec::new()]
    {
        let file = WithPadding { text, len: FILE_BYTES };
        let mut reader = LineReader::new(&file, 0);
        while reader.next().unwrap().is_some() {}
        assert_eq!(reader.position(), FILE_BYTES);
        assert!(reader.buffer_bytes() <= 4 * READ_BYTES, "{} bytes", reader.buffer_bytes());
    }
}

#[test]
fn foreign_file_is_rejected_after_one_read() {
    struct Zeros(std::cell::Cell<u64>);
    impl ReadAt for Zeros {
        fn read_at(&self, into: &mut [u8], _: u64) -> io::Result<usize> {
            into.fill(0);
            self.0.set(self.0.get() + into.len() as u64);
            Ok(into.len())
        }
    }
    let zeros = Zeros(Default::default());
    assert_eq!(Scanner::open(&zeros, ScanMode::VerifyOnly).unwrap().err(), Some(HeaderError::BadMagic));
    assert!(zeros.0.get() <= READ_BYTES as u64, "{} bytes read", zeros.0.get());
}
