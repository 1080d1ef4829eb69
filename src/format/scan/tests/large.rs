//! Memory does not grow with a segment, a group, or padding.

use std::io;

use super::{super::lines::READ_BYTES, *};
use crate::format::testing::FIRST;

/// Far more than is read at a time.
const MUCH: u64 = 8 << 20;

/// Some bytes, then spaces that stand nowhere.
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
fn a_long_run_of_padding_costs_no_memory() {
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
fn groups_are_read_wherever_a_read_ends() {
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
            let reading = read(bytes.as_slice());
            assert_eq!(reading.lines, expected, "{shift}");
            assert_eq!((reading.groups.len(), &reading.end.tail), (4, &None), "{shift}");
            assert_eq!(count(bytes.as_slice()), (expected.len() as u64, reading.end), "{shift}");
        }
    }
}

#[test]
fn records_across_read_boundaries_are_whole() {
    for len in (READ_BYTES - 120..READ_BYTES + 20).chain([3 * READ_BYTES]) {
        let line = format!("\"{}\"", "x".repeat(len));
        let segment = SegmentBytes::new(FIRST).group(&[&line]).group(&["1", &line, "2"]);
        let reading = read(segment.padded(2 * READ_BYTES).as_slice());
        assert_eq!(reading.lines, [line.as_bytes(), b"1", line.as_bytes(), b"2"], "{len}");
        assert_eq!(reading.end.tail, None);
    }
}

#[test]
fn spaces_inside_a_value_are_kept_however_many() {
    for spaces in [63, 64, 65, READ_BYTES, 5 * READ_BYTES + 1] {
        let line = format!("[1,{}2]", " ".repeat(spaces));
        let reading = read(SegmentBytes::new(FIRST).group(&[&line]).group(&["3"]).closed().as_slice());
        assert_eq!(reading.lines, [line.as_bytes(), b"3"], "{spaces}");
    }
}

#[test]
fn a_group_larger_than_memory_allows_is_verified_and_left_on_disk() {
    let line = format!("\"{}\"", "x".repeat(1000));
    let large = vec![line.as_str(); GROUP_BYTES_HELD / 1000 + 1];
    let segment = SegmentBytes::new(FIRST).group(&["1"]).group(&large).group(&["2"]);
    let closed = segment.closed();
    let reading = read(closed.as_slice());
    assert_eq!(
        reading.groups.iter().map(|group| group.is_too_large).collect::<Vec<_>>(),
        [false, true, false]
    );
    assert_eq!(reading.lines.len(), large.len() + 2);
    assert_eq!(reading.lines[large.len()], line.as_bytes());
    assert_eq!((reading.end.tail, reading.end.closed), (None, true));

    let mut bad = closed;
    bad[reading.groups[1].offset as usize + 10_000] ^= 1;
    let reading = read(bad.as_slice());
    assert_eq!(reading.lines, [b"1"]);
    assert!(reading.end.tail.unwrap().damaged);
}

#[test]
fn large_legacy_records_stay_on_disk() {
    let line = format!("\"{}\"\n", "x".repeat(1000));
    let count = GROUP_BYTES_HELD / 1000 + 1;
    let bytes = ["// MINISTORE JOURNAL v0.1.4\n", &line.repeat(count), "{\"cut"].concat();
    let reading = read(bytes.as_bytes());
    assert_eq!((reading.lines.len(), reading.groups.len()), (count, 1));
    assert!(reading.groups[0].is_too_large);
    let tail = reading.end.tail.unwrap();
    assert_eq!((tail.offset as usize, tail.bytes, tail.line), (bytes.len() - 5, 5, count as u64 + 2));
}

#[test]
fn much_white_space_costs_no_memory_whatever_it_follows() {
    let segment = three_groups().0;
    for text in [segment.clone().bare(), segment.line("[").bare(), FIRST.encode(), b"x".to_vec(), Vec::new()]
    {
        let file = WithPadding { text, len: MUCH };
        let mut reader = LineReader::new(&file, 0);
        while reader.next().unwrap().is_some() {}
        assert_eq!(reader.position(), MUCH);
        assert!(reader.buffer_bytes() <= 4 * READ_BYTES, "{} bytes", reader.buffer_bytes());
    }
}

#[test]
fn what_is_no_journal_is_not_searched_for_the_end_of_its_first_line() {
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
