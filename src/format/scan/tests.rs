//! Segments in memory, read back: whole, cut, damaged, torn, large, and while they are being written.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod damage;
mod endings;
mod large;
mod live;
mod plain;
mod properties;
mod torn;

use super::{
    Block, LineReader, ReadAt, ResyncScanner, ScanItem, ScanMode, Scanner, SegmentEnd,
    scanner::{GROUP_BYTES_HELD, Group},
};
use crate::format::{HeaderError, testing::SegmentBytes};

/// Everything that a scan gives.
#[derive(Debug)]
struct Reading {
    /// Values, in order.
    lines: Vec<Vec<u8>>,
    groups: Vec<Group>,
    end: SegmentEnd,
}

fn read(source: &(impl ReadAt + ?Sized)) -> Reading {
    try_read(source).expect("it has a header")
}

fn try_read(source: &(impl ReadAt + ?Sized)) -> Result<Reading, HeaderError> {
    Ok(read_on(Scanner::open(source, ScanMode::Read).unwrap()?, source))
}

fn read_on<S: ReadAt>(mut scanner: Scanner<S>, source: &(impl ReadAt + ?Sized)) -> Reading {
    let (mut lines, mut groups) = (Vec::new(), Vec::new());
    loop {
        let mut block = Block::default();
        match scanner.next(&mut block).unwrap() {
            ScanItem::Group(group) => {
                let held = lines.len();
                if group.is_too_large {
                    assert_eq!((block.len(), block.byte_len()), (0, 0), "its lines are to be read again");
                    lines.extend(lines_between(source, group.offset, group.end));
                } else {
                    lines.extend((0..block.len()).map(|at| block.value(block.span(at).unwrap()).to_vec()));
                }
                assert_eq!((lines.len() - held) as u64, group.records);
                groups.push(group);
            }
            ScanItem::End(end) => return Reading { lines, groups, end },
        }
    }
}

fn lines_between(source: &(impl ReadAt + ?Sized), from: u64, to: u64) -> Vec<Vec<u8>> {
    let mut reader = LineReader::with_limit(source, from, to);
    let mut lines = Vec::new();
    while let Some(line) = reader.next().unwrap() {
        lines.push(line.bytes.trim_ascii_end().to_vec());
    }
    lines
}

/// What a scan that collects nothing says: records, and the end.
fn count(source: &(impl ReadAt + ?Sized)) -> (u64, SegmentEnd) {
    let mut scanner = Scanner::open(source, ScanMode::VerifyOnly).unwrap().expect("it has a header");
    let (mut block, mut records) = (Block::default(), 0);
    loop {
        match scanner.next(&mut block).unwrap() {
            ScanItem::Group(group) => records += group.records,
            ScanItem::End(end) => return (records, end),
        }
    }
}

/// Three groups of one, two and one lines.
fn three_groups() -> (SegmentBytes, [&'static str; 4]) {
    let lines = [r#"{"a":1}"#, r#"{"b":[2]}"#, "3", r#""four""#];
    let segment = SegmentBytes::new(crate::format::testing::FIRST);
    let segment = segment.group(&lines[..1]).group(&lines[1..3]).group(&lines[3..]);
    (segment, lines)
}

/// Where each of [`three_groups`] begins.
fn group_starts() -> [usize; 3] {
    let (segment, _) = three_groups();
    let groups = read(segment.closed().as_slice()).groups;
    [groups[0].offset, groups[1].offset, groups[2].offset].map(|at| at as usize)
}

/// Whether these are the lines of the first groups of [`three_groups`], each whole.
fn is_prefix_of_whole_groups(lines: &[Vec<u8>]) -> bool {
    let (_, all) = three_groups();
    [0, 1, 3, 4].contains(&lines.len())
        && lines.iter().zip(all).all(|(line, expected)| line == expected.as_bytes())
}
