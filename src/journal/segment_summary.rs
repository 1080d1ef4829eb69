//! Reads a segment to its end and verifies it, without keeping its lines.

use std::io;

use serde::de::IgnoredAny;

use crate::{
    format::scan::{Block, LineReader, ReadAt, ScanItem, ScanMode, ScanPosition, Scanner, SegmentEnd, Tail},
    format::{Header, HeaderError},
};

/// The result of reading a segment to its end.
#[derive(Debug)]
pub(crate) struct SegmentSummary {
    pub(crate) header: Header,
    /// The number of records that verify.
    pub(crate) records: u64,
    /// The offset of the last group that verifies, or 0 if there is none. In a segment without checksums the lines that
    /// no seal covers count as one group.
    pub(crate) last_group: u64,
    pub(crate) end: SegmentEnd,
}

impl SegmentSummary {
    /// Returns whether its lines need seals: the header says so, or a segment without checksums was continued with a
    /// seal.
    pub(crate) fn is_checksummed(&self) -> bool {
        self.header != Header::Plain || self.end.last_seal.is_some()
    }
}

/// Reads a segment to its end.
pub(crate) fn scan_to_end(
    source: &(impl ReadAt + ?Sized),
) -> io::Result<Result<SegmentSummary, HeaderError>> {
    Ok(scan_from_start(source)?.map(|(summary, _)| summary))
}

/// Reads a segment to its end, and also returns where a later scan can resume.
pub(crate) fn scan_from_start(
    source: &(impl ReadAt + ?Sized),
) -> io::Result<Result<(SegmentSummary, Option<Checkpoint>), HeaderError>> {
    match Scanner::open(source, ScanMode::VerifyOnly)? {
        Ok(scanner) => resume_scan(scanner, 0, 0).map(Ok),
        Err(fault) => Ok(Err(fault)),
    }
}

/// A position before the last two groups of a scanned segment, from which a later scan of the same file resumes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checkpoint {
    position: ScanPosition,
    /// The number of records before it.
    records: u64,
    /// The offset of the last group before it.
    last_group: u64,
    /// The end of the verified data.
    data_end: u64,
}

impl Checkpoint {
    /// Resumes the scan. Returns `None` if less verifies than before.
    pub(crate) fn scan(
        &self,
        source: &(impl ReadAt + ?Sized),
    ) -> io::Result<Option<(SegmentSummary, Option<Self>)>> {
        let scanner = Scanner::resume(source, self.position, ScanMode::VerifyOnly);
        let (summary, checkpoint) = resume_scan(scanner, self.records, self.last_group)?;
        Ok((summary.end.data_end >= self.data_end).then_some((summary, checkpoint)))
    }
}

/// Reads from the position of a scanner to the end. `records` is the number of records before that position.
fn resume_scan<S: ReadAt>(
    mut scanner: Scanner<S>,
    mut records: u64,
    mut last_group: u64,
) -> io::Result<(SegmentSummary, Option<Checkpoint>)> {
    let _span = tracing::debug_span!("scan").entered();
    let mut block = Block::default();
    // The positions before the last group, and before the second to last.
    let (mut last, mut checkpoint) = (None, None);
    loop {
        let here = Checkpoint { position: scanner.position(), records, last_group, data_end: 0 };
        match scanner.next(&mut block)? {
            ScanItem::Group(group) => {
                records += group.records;
                last_group = group.offset;
                checkpoint = last.replace(here);
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

/// Checks that each line without a seal is JSON, which is all that can be checked of it. The first line that is not
/// JSON ends the data. As with groups, it is damage if a good line follows, and a torn tail otherwise.
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
            Some(fault) => {
                fault.is_corrupt |= good;
                fault.has_verified_data |= good;
            }
            None if good => good_end = line.offset + line.bytes.trim_ascii_end().len() as u64,
            None => {
                *records = number - 2;
                fault = Some(Tail {
                    offset: good_end,
                    line: number,
                    bytes: text_end - good_end,
                    is_corrupt: false,
                    has_verified_data: false,
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
