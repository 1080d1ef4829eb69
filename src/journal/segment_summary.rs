//! A segment read to its end, its lines not kept.

use std::io;

use serde::de::IgnoredAny;

use crate::{
    format::scan::{Block, LineReader, ReadAt, ScanItem, ScanMode, ScanPosition, Scanner, SegmentEnd, Tail},
    format::{Header, HeaderError},
};

/// A segment, read to its end.
#[derive(Debug)]
pub(crate) struct SegmentSummary {
    pub(crate) header: Header,
    /// Records that verify.
    pub(crate) records: u64,
    /// Where the last group that verifies begins (a plain segment's lines, where no seal covers them); 0 where there
    /// is none.
    pub(crate) last_group: u64,
    pub(crate) end: SegmentEnd,
}

impl SegmentSummary {
    /// Its lines need seals: its header says so, or a plain segment was continued with one.
    pub(crate) fn is_sealed(&self) -> bool {
        self.header != Header::Plain || self.end.last_seal.is_some()
    }
}

/// Reads a segment to its end, collecting nothing.
pub(crate) fn scan_to_end(
    source: &(impl ReadAt + ?Sized),
) -> io::Result<Result<SegmentSummary, HeaderError>> {
    Ok(scan_from_start(source)?.map(|(summary, _)| summary))
}

/// The same; also where a later look can be taken up.
pub(crate) fn scan_from_start(
    source: &(impl ReadAt + ?Sized),
) -> io::Result<Result<(SegmentSummary, Option<Checkpoint>), HeaderError>> {
    match Scanner::open(source, ScanMode::VerifyOnly)? {
        Ok(scanner) => resume_scan(scanner, 0, 0).map(Ok),
        Err(fault) => Ok(Err(fault)),
    }
}

/// How far a segment was verified, for a later look at the same file to go on from: before its last two groups.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checkpoint {
    position: ScanPosition,
    /// Records before it.
    records: u64,
    /// Where the last group before it begins.
    last_group: u64,
    /// What was verified ended here.
    data_end: u64,
}

impl Checkpoint {
    /// Reads on to the end. `None` where less verifies than did.
    pub(crate) fn scan(
        &self,
        source: &(impl ReadAt + ?Sized),
    ) -> io::Result<Option<(SegmentSummary, Option<Self>)>> {
        let scanner = Scanner::resume(source, self.position, ScanMode::VerifyOnly);
        let (summary, checkpoint) = resume_scan(scanner, self.records, self.last_group)?;
        Ok((summary.end.data_end >= self.data_end).then_some((summary, checkpoint)))
    }
}

/// Reads on from where a scanner is, `records` behind the start.
fn resume_scan<S: ReadAt>(
    mut scanner: Scanner<S>,
    mut records: u64,
    mut last_group: u64,
) -> io::Result<(SegmentSummary, Option<Checkpoint>)> {
    let _span = tracing::debug_span!("scan").entered();
    let mut block = Block::default();
    // Before the last group, and before the one before it.
    let (mut behind, mut checkpoint) = (None, None);
    loop {
        let here = Checkpoint { position: scanner.position(), records, last_group, data_end: 0 };
        match scanner.next(&mut block)? {
            ScanItem::Group(group) => {
                records += group.records;
                last_group = group.offset;
                checkpoint = behind.replace(here);
            }
            ScanItem::End(end) => {
                let checkpoint = checkpoint.map(|found| Checkpoint { data_end: end.data_end, ..found });
                return Ok((
                    SegmentSummary { header: scanner.header(), records, last_group, end },
                    checkpoint,
                ));
            }
        }
    }
}

/// Lines without a seal can only be checked for being JSON. From the first that is not, the same rule holds as
/// for groups: if a good line follows, it is damage. Shortens the segment to the lines before it.
pub(crate) fn check_plain_lines(
    source: &(impl ReadAt + ?Sized),
    records: &mut u64,
    end: &mut SegmentEnd,
) -> io::Result<()> {
    let text_end = end.tail.as_ref().map_or(end.data_end, |tail| tail.offset + tail.bytes);
    let mut lines = LineReader::with_limit(source, 0, end.data_end);
    let mut number = 0;
    let mut fault: Option<Tail> = None;
    let mut good_end = 0;
    while let Some(line) = lines.next()? {
        number += 1;
        let good = number == 1 || serde_json::from_slice::<IgnoredAny>(line.bytes).is_ok();
        match &mut fault {
            Some(fault) => fault.damaged |= good,
            None if good => good_end = line.offset + line.bytes.trim_ascii_end().len() as u64,
            None => {
                *records = number - 2;
                fault = Some(Tail {
                    offset: good_end,
                    line: number,
                    bytes: text_end - good_end,
                    damaged: false,
                    reason: "a line is not JSON",
                });
            }
        }
    }
    if fault.is_some() {
        end.data_end = good_end;
        end.tail = fault;
    }
    Ok(())
}
