//! Scans segments in memory: whole, truncated, corrupt, torn, large, and while they are written.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod damage;
mod endings;
mod large;
mod live;
mod plain;
mod properties;
mod torn;

use super::{
    Block, LineReader, ReadAt, ResyncScanner, ScanItem, ScanMode, Scanner, SegmentEnd, VerifiedGroup,
};
use crate::{
    format::{HeaderError, SegmentHeader, testing::SegmentBytes},
    options::ReadLimits,
};

const READ_BYTES: usize = ReadLimits::SMALL.read_bytes;
const MAX_BUFFERED_GROUP_BYTES: usize = ReadLimits::SMALL.buffered_group_bytes;

/// The complete result of a scan.
#[derive(Debug)]
struct ScanResult {
    /// The values, in order.
    lines: Vec<Vec<u8>>,
    groups: Vec<VerifiedGroup>,
    end: SegmentEnd,
}

fn read(source: &(impl ReadAt + ?Sized)) -> ScanResult {
    try_read(source).expect("it has a header")
}

fn try_read(source: &(impl ReadAt + ?Sized)) -> Result<ScanResult, HeaderError> {
    Ok(read_rest(Scanner::open(source, ScanMode::Read).unwrap()?, source))
}

fn read_rest<S: ReadAt>(mut scanner: Scanner<S>, source: &(impl ReadAt + ?Sized)) -> ScanResult {
    let (mut lines, mut groups) = (Vec::new(), Vec::new());
    loop {
        let mut block = Block::default();
        match scanner.next(&mut block).unwrap() {
            ScanItem::Group(group) => {
                let lines_before = lines.len();
                if group.is_too_large {
                    assert_eq!(
                        (block.len(), block.byte_len()),
                        (0, 0),
                        "the lines of a too large group must not be returned"
                    );
                    lines.extend(lines_between(source, group.offset, group.end));
                } else {
                    lines.extend((0..block.len()).map(|at| block.value(block.span(at).unwrap()).to_vec()));
                }
                assert_eq!((lines.len() - lines_before) as u64, group.records);
                groups.push(group);
            }
            ScanItem::End(end) => return ScanResult { lines, groups, end },
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

/// Scans without returning lines; returns the number of records, and the end.
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

/// A segment with three groups of one, two and one lines, and the lines.
fn three_groups() -> (SegmentBytes, [&'static str; 4]) {
    three_groups_after(crate::format::testing::FIRST)
}

fn three_groups_after(header: SegmentHeader) -> (SegmentBytes, [&'static str; 4]) {
    let lines = [r#"{"a":1}"#, r#"{"b":[2]}"#, "3", r#""four""#];
    let segment = SegmentBytes::new(header);
    let segment = segment.group(&lines[..1]).group(&lines[1..3]).group(&lines[3..]);
    (segment, lines)
}

/// Returns the offset of each of [`three_groups`].
fn group_starts() -> [usize; 3] {
    let (segment, _) = three_groups();
    let groups = read(segment.closed().as_slice()).groups;
    [groups[0].offset, groups[1].offset, groups[2].offset].map(|at| at as usize)
}

/// Returns whether these are the lines of the first groups of [`three_groups`], each group whole.
fn is_prefix_of_whole_groups(lines: &[Vec<u8>]) -> bool {
    let (_, all) = three_groups();
    [0, 1, 3, 4].contains(&lines.len())
        && lines.iter().zip(all).all(|(line, expected)| line == expected.as_bytes())
}
