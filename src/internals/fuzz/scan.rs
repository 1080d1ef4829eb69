//! Scans of one segment: everything that a scan returns as verified is verified.

use super::{
    generator::{self, Generator},
    reference,
};
use crate::{
    format::scan::{
        Block, LineReader, ResyncScanner, ScanItem, ScanMode, Scanner, SegmentEnd, VerifiedGroup, read_header,
    },
    format::{ChainLink, SegmentHeader, header, seal},
    journal::segment_summary::check_plain_lines,
};

/// More steps than a segment can have lines: a scan that makes them does not end.
const STEPS_MAX: usize = 1 << 20;

/// Scans raw bytes, or a generated segment with damage.
pub fn scan(data: &[u8]) {
    let mut generator = Generator::new(data);
    let bytes = match generator.byte() % 5 {
        0 => generator.rest().to_vec(),
        1 => [b"// MINISTORE JOURNAL v0.1.4\n", generator.rest()].concat(),
        2 => [&br#"{"$ministore":{"journal":"0.2.0","#[..], generator.rest()].concat(),
        _ => {
            let link = ChainLink { first_seq: 1 + u64::from(generator.byte()), prev_seal: 0 };
            let mut bytes = generator::segment(&mut generator, link, false).bytes;
            generator::damage(&mut generator, &mut bytes);
            bytes
        }
    };
    check_resync(&bytes, 0, 1);
    let Some(scanned) = read(&bytes, ScanMode::Read) else {
        assert!(read_header(bytes.as_slice()).unwrap().is_err());
        return;
    };
    let counted = read(&bytes, ScanMode::VerifyOnly).unwrap();
    assert_eq!((&counted.end, counted.records()), (&scanned.end, scanned.records()));
    check_groups(&bytes, &scanned);
    check_end(&bytes, &scanned);
    check_continuation(&bytes, &scanned);
}

/// The items of a complete scan.
struct ScannedSegment {
    header: SegmentHeader,
    groups: Vec<VerifiedGroup>,
    lines: Vec<Vec<u8>>,
    end: SegmentEnd,
}

impl ScannedSegment {
    fn records(&self) -> u64 {
        self.groups.iter().map(|group| group.records).sum()
    }
}

fn read(bytes: &[u8], collect: ScanMode) -> Option<ScannedSegment> {
    let mut scanner = Scanner::open(bytes, collect).unwrap().ok()?;
    let (mut groups, mut lines) = (Vec::new(), Vec::new());
    for _ in 0..STEPS_MAX {
        let mut block = Block::default();
        match scanner.next(&mut block).unwrap() {
            ScanItem::Group(group) if group.is_too_large => {
                let mut reader = LineReader::with_limit(bytes, group.offset, group.end);
                while let Some(line) = reader.next().unwrap() {
                    lines.push(line.bytes.trim_ascii_end().to_vec());
                }
                groups.push(group);
            }
            ScanItem::Group(group) => {
                lines.extend((0..block.len()).map(|at| block.value(block.span(at).unwrap()).to_vec()));
                groups.push(group);
            }
            ScanItem::End(end) => {
                return Some(ScannedSegment { header: scanner.header(), groups, lines, end });
            }
        }
    }
    panic!("the scan does not end");
}

/// Checks that the seal of each group covers its bytes and the seal before it, and that no group that verifies is
/// missing.
fn check_groups(bytes: &[u8], scanned: &ScannedSegment) {
    assert_eq!(scanned.lines.len() as u64, scanned.records());
    let text = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    let runs_on = SegmentHeader::parse(text) != Ok(scanned.header);
    let text = if runs_on { &text[..header::object_end(text).unwrap()] } else { text };
    let mut prev = reference::crc32c(&[text]);
    let mut end = text.len();
    let mut lines = scanned.lines.iter();
    for group in &scanned.groups {
        let (from, to) = (group.offset as usize, group.end as usize);
        let between = &bytes[end..from];
        assert!(between.trim_ascii().is_empty(), "bytes skipped between groups: {between:?}");
        match group.seal {
            Some(seal) => {
                assert!(reference::verifies(bytes, prev, from, to), "not verified: {group:?}");
                assert_eq!(reference::seal(&bytes[to - 33..]), Some(seal));
                prev = seal;
            }
            None => assert_eq!((scanned.header, scanned.groups.len()), (SegmentHeader::Plain, 1)),
        }
        for expected in bytes[from..to].split(|&byte| byte == b'\n') {
            assert_eq!(lines.next().map(Vec::as_slice), Some(expected.trim_ascii_end()), "{group:?}");
        }
        end = to;
    }
    assert_eq!((lines.next(), scanned.end.data_end), (None, end as u64));
    if !runs_on {
        let expected: Vec<_> =
            reference::groups(bytes).into_iter().map(|group| (group.end, group.records)).collect();
        let found = scanned.groups.iter().filter(|group| group.seal.is_some());
        let found: Vec<_> = found.map(|group| (group.end as usize, group.records)).collect();
        assert!(found.starts_with(&expected), "missing: {found:?} of {expected:?}");
        assert!(
            found.len() <= expected.len() + 1,
            "more than verify: {found:?} of {expected:?} in {}",
            bytes.escape_ascii()
        );
    }
}

/// Checks that the bytes after the last group are an end marker or a reported tail, and that the tail is damage if a
/// later group verifies.
fn check_end(bytes: &[u8], scanned: &ScannedSegment) {
    let ScannedSegment { header, groups, end, .. } = scanned;
    assert_eq!(end.file_end, bytes.len() as u64);
    assert!(end.data_end <= end.file_end);
    assert_eq!(end.last_seal, groups.iter().rev().find_map(|group| group.seal));
    let rest = &bytes[end.data_end as usize..];
    match &end.tail {
        None => {
            assert!(rest.trim_ascii().is_empty(), "an unreported tail: {rest:?}");
            assert_eq!(end.has_newline, rest.contains(&b'\n'));
        }
        Some(tail) => {
            assert!(tail.offset >= end.data_end && tail.offset + tail.bytes <= end.file_end);
            let reported = &bytes[tail.offset as usize..];
            assert!(
                reported[tail.bytes as usize..].iter().all(|&byte| byte == b' '),
                "the reported tail is too short: {tail:?} {}",
                bytes.escape_ascii()
            );
            let newline = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
            let line = 1 + newline(&bytes[..tail.offset as usize]);
            assert!(tail.line == line || tail.line == line + 1, "line {} and not {line}", tail.line);
            let later = reference::has_later_group(bytes, tail.offset as usize);
            assert!(tail.is_corrupt || !later, "truncated, though a group after it verifies");
            check_resync(bytes, tail.offset, tail.line);
        }
    }
    if *header == SegmentHeader::Plain && end.last_seal.is_none() {
        let (mut records, mut end) = (scanned.records(), end.clone());
        check_plain_lines(bytes, &mut records, &mut end).unwrap();
        assert!(records <= scanned.records() && end.data_end <= scanned.end.data_end);
    }
}

/// Checks that a group written at the data end is read, and so are those before it.
fn check_continuation(bytes: &[u8], scanned: &ScannedSegment) {
    if scanned.end.tail.is_none() && scanned.end.closed {
        return;
    }
    if scanned.header == SegmentHeader::Plain && scanned.end.last_seal.is_none() {
        return;
    }
    let mut chain = scanned.end.chain;
    chain.push(b"\"more\"");
    let mut longer = bytes[..scanned.end.data_end as usize].to_vec();
    longer.extend_from_slice(b"\n\"more\"");
    longer.extend_from_slice(&seal::encode(chain.seal()));
    let continued = read(&longer, ScanMode::Read).unwrap();
    assert_eq!(continued.end.tail, None);
    assert_eq!(continued.lines.last().map(Vec::as_slice), Some(&b"\"more\""[..]));
    assert_eq!(continued.lines[..scanned.lines.len()], scanned.lines);
}

/// Checks that everything a resync scan returns as verified follows a matching seal.
fn check_resync(bytes: &[u8], offset: u64, line: u64) {
    let mut scanner = ResyncScanner::new(bytes, offset, line, None);
    let (mut block, mut next_record, mut from) = (Block::default(), line, offset);
    while let Some(resynced) = scanner.next(&mut block).unwrap() {
        assert_eq!(
            (resynced.line, resynced.offset, resynced.records),
            (next_record, from, block.len() as u64)
        );
        let lines = reference::lines(bytes, resynced.offset as usize);
        for (index, (at, line)) in lines.iter().take(block.len()).enumerate() {
            let span = block.span(index).unwrap();
            assert_eq!(span.offset, *at as u64);
            assert!(line.starts_with(block.value(span)));
        }
        let (at, last) = lines[block.len() - 1];
        from = (at + last.len() + 1).min(bytes.len()) as u64;
        next_record += resynced.records;
        block.clear();
    }
    assert_eq!(from, bytes.len() as u64);
}
