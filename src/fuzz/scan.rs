//! One segment, read: what is given as verified is verified, and all that follows from that.

use super::{
    naive,
    script::{self, Script},
};
use crate::{
    format::scan::{
        Block, Group, LineReader, ResyncScanner, ScanItem, ScanMode, Scanner, SegmentEnd, read_header,
    },
    format::{ChainLink, Header, seal},
    journal::segment_summary::check_plain_lines,
};

/// More steps than there can be lines: a scan that takes them does not end.
const STEPS_MAX: usize = 1 << 20;

/// Raw bytes, or a segment made by the rules and spoiled.
pub fn scan(data: &[u8]) {
    let mut script = Script::new(data);
    let bytes = match script.byte() % 4 {
        0 => script.rest().to_vec(),
        1 => [b"// MINISTORE JOURNAL v0.1.4\n", script.rest()].concat(),
        _ => {
            let link = ChainLink { first: 1 + u64::from(script.byte()), prev: 0 };
            let mut bytes = script::segment(&mut script, link, false).bytes;
            script::spoil(&mut script, &mut bytes);
            bytes
        }
    };
    sweep(&bytes, 0, 1);
    let Some(reading) = read(&bytes, ScanMode::Read) else {
        assert!(read_header(bytes.as_slice()).unwrap().is_err());
        return;
    };
    let counted = read(&bytes, ScanMode::VerifyOnly).unwrap();
    assert_eq!((&counted.end, counted.records()), (&reading.end, reading.records()));
    verified_groups(&bytes, &reading);
    end(&bytes, &reading);
    continued(&bytes, &reading);
}

struct Reading {
    header: Header,
    groups: Vec<Group>,
    lines: Vec<Vec<u8>>,
    end: SegmentEnd,
}

impl Reading {
    fn records(&self) -> u64 {
        self.groups.iter().map(|group| group.records).sum()
    }
}

fn read(bytes: &[u8], collect: ScanMode) -> Option<Reading> {
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
            ScanItem::End(end) => return Some(Reading { header: scanner.header(), groups, lines, end }),
        }
    }
    panic!("the scan does not end");
}

/// Each group has the seal of its own bytes and of the seal before it, and none that verifies is left out.
fn verified_groups(bytes: &[u8], reading: &Reading) {
    assert_eq!(reading.lines.len() as u64, reading.records());
    let text = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    let runs_on = Header::parse(text) != Ok(reading.header);
    let text = if runs_on { &text[..=text.iter().position(|&byte| byte == b'}').unwrap()] } else { text };
    let mut prev = naive::crc32c(&[text]);
    let mut end = text.len();
    let mut lines = reading.lines.iter();
    for group in &reading.groups {
        let (from, to) = (group.offset as usize, group.end as usize);
        let between = &bytes[end..from];
        assert!(between.trim_ascii().is_empty(), "bytes passed over between groups: {between:?}");
        match group.seal {
            Some(seal) => {
                assert!(naive::verifies(bytes, prev, from, to), "not verified: {group:?}");
                assert_eq!(naive::seal(&bytes[to - 33..]), Some(seal));
                prev = seal;
            }
            None => assert_eq!((reading.header, reading.groups.len()), (Header::Plain, 1)),
        }
        for expected in bytes[from..to].split(|&byte| byte == b'\n') {
            assert_eq!(lines.next().map(Vec::as_slice), Some(expected.trim_ascii_end()), "{group:?}");
        }
        end = to;
    }
    assert_eq!((lines.next(), reading.end.data_end), (None, end as u64));
    if !runs_on {
        let naive: Vec<_> =
            naive::groups(bytes).into_iter().map(|group| (group.end, group.records)).collect();
        let found = reading.groups.iter().filter(|group| group.seal.is_some());
        let found: Vec<_> = found.map(|group| (group.end as usize, group.records)).collect();
        assert!(found.starts_with(&naive), "left out: {found:?} of {naive:?}");
        assert!(
            found.len() <= naive.len() + 1,
            "more than verify: {found:?} of {naive:?} in {}",
            bytes.escape_ascii()
        );
    }
}

/// What is behind the last group is nothing but an ending, or is told; and it is damage where a later group verifies.
fn end(bytes: &[u8], reading: &Reading) {
    let Reading { header, groups, end, .. } = reading;
    assert_eq!(end.file_end, bytes.len() as u64);
    assert!(end.data_end <= end.file_end);
    assert_eq!(end.last_seal, groups.iter().rev().find_map(|group| group.seal));
    let behind = &bytes[end.data_end as usize..];
    match &end.tail {
        None => {
            assert!(behind.trim_ascii().is_empty(), "a tail that is not told: {behind:?}");
            assert_eq!(end.has_newline, behind.contains(&b'\n'));
        }
        Some(tail) => {
            assert!(tail.offset >= end.data_end && tail.offset + tail.bytes <= end.file_end);
            let told = &bytes[tail.offset as usize..];
            assert!(
                told[tail.bytes as usize..].iter().all(|&byte| byte == b' '),
                "told too short: {tail:?} {}",
                bytes.escape_ascii()
            );
            let newline = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
            let line = 1 + newline(&bytes[..tail.offset as usize]);
            assert!(tail.line == line || tail.line == line + 1, "line {} and not {line}", tail.line);
            let later = naive::a_group_verifies_behind(bytes, tail.offset as usize);
            assert!(tail.damaged || !later, "cut, though a group behind it verifies");
            sweep(bytes, tail.offset, tail.line);
        }
    }
    if *header == Header::Plain && end.last_seal.is_none() {
        let (mut records, mut end) = (reading.records(), end.clone());
        check_plain_lines(bytes, &mut records, &mut end).unwrap();
        assert!(records <= reading.records() && end.data_end <= reading.end.data_end);
    }
}

/// A group written where the data ends is read, and so are those before it.
fn continued(bytes: &[u8], reading: &Reading) {
    if reading.end.tail.is_none() && reading.end.closed {
        return;
    }
    if reading.header == Header::Plain && reading.end.last_seal.is_none() {
        return;
    }
    let mut chain = reading.end.chain;
    chain.push(b"\"more\"");
    let mut longer = bytes[..reading.end.data_end as usize].to_vec();
    longer.extend_from_slice(b"\n\"more\"");
    longer.extend_from_slice(&seal::encode(chain.seal()));
    let continued = read(&longer, ScanMode::Read).unwrap();
    assert_eq!(continued.end.tail, None);
    assert_eq!(continued.lines.last().map(Vec::as_slice), Some(&b"\"more\""[..]));
    assert_eq!(continued.lines[..reading.lines.len()], reading.lines);
}

/// Whatever a sweep gives as verified has a seal before it that fits.
fn sweep(bytes: &[u8], offset: u64, line: u64) {
    let mut sweep = ResyncScanner::new(bytes, offset, line);
    let (mut block, mut next_record, mut from) = (Block::default(), line, offset);
    while let Some(resynced) = sweep.next(&mut block).unwrap() {
        assert_eq!(
            (resynced.line, resynced.offset, resynced.records),
            (next_record, from, block.len() as u64)
        );
        let lines = naive::lines(bytes, resynced.offset as usize);
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
