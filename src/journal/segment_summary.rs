//! Reads a segment to its end and verifies it, without keeping its lines.

use std::io;

use serde::de::IgnoredAny;

use crate::{
    format::scan::{
        Block, IndexPoint, LineReader, ReadAt, ScanItem, ScanMode, ScanPosition, Scanner, SegmentEnd, Tail,
    },
    format::{HeaderError, SegmentHeader},
};

/// The result of reading a segment to its end.
#[derive(Debug)]
pub(crate) struct SegmentSummary {
    pub(crate) header: SegmentHeader,
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
        self.header != SegmentHeader::Plain || self.end.last_seal.is_some()
    }
}

/// Reads a segment to its end.
pub(crate) fn scan_to_end(
    source: &(impl ReadAt + ?Sized),
) -> io::Result<Result<SegmentSummary, HeaderError>> {
    Ok(scan_from_start(source)?.map(|(summary, _)| summary))
}

/// A summary, and the position at which a later scan can resume.
pub(crate) type ResumableSummary = (SegmentSummary, Option<Checkpoint>);

/// Reads a segment to its end, and also returns where a later scan can resume.
pub(crate) fn scan_from_start(
    source: &(impl ReadAt + ?Sized),
) -> io::Result<Result<ResumableSummary, HeaderError>> {
    let _span = tracing::debug_span!("scan").entered();
    match SummaryScan::open(source)? {
        Ok(scan) => scan.run().map(Ok),
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
    pub(crate) fn scan(&self, source: &(impl ReadAt + ?Sized)) -> io::Result<Option<ResumableSummary>> {
        let _span = tracing::debug_span!("scan").entered();
        let scanner = Scanner::resume(source, self.position, ScanMode::VerifyOnly);
        let (summary, checkpoint) = SummaryScan::new(scanner, self.records, self.last_group).run()?;
        Ok((summary.end.data_end >= self.data_end).then_some((summary, checkpoint)))
    }
}

/// A scan of a segment that is summarized.
#[derive(Debug)]
pub(super) struct SummaryScan<S> {
    scanner: Scanner<S>,
    /// The number of records before its position.
    records: u64,
    /// The offset of the last group before its position.
    last_group: u64,
    /// The position before the last group.
    last: Option<Checkpoint>,
    /// The position before the second to last group.
    checkpoint: Option<Checkpoint>,
    block: Block,
}

impl<S: ReadAt> SummaryScan<S> {
    /// Starts a scan with the first group. Returns `Ok(Err(_))` if the first line is not a header.
    pub(super) fn open(source: S) -> io::Result<Result<Self, HeaderError>> {
        Ok(Scanner::open(source, ScanMode::VerifyOnly)?.map(|scanner| Self::new(scanner, 0, 0)))
    }

    /// Starts a scan at a position whose line number, and the records before it, are counted from 0.
    pub(super) fn at(source: S, header: SegmentHeader, start: IndexPoint) -> Self {
        let position = ScanPosition::at(header, 0, start);
        Self::new(Scanner::resume(source, position, ScanMode::VerifyOnly), 0, 0)
    }

    fn new(scanner: Scanner<S>, records: u64, last_group: u64) -> Self {
        Self { scanner, records, last_group, last: None, checkpoint: None, block: Block::default() }
    }

    pub(super) fn header(&self) -> SegmentHeader {
        self.scanner.header()
    }

    pub(super) fn position(&self) -> ScanPosition {
        self.scanner.position()
    }

    /// Verifies the next group. Returns `None` after it, and the end where no group is left.
    pub(super) fn step(&mut self) -> io::Result<Option<SegmentEnd>> {
        let Self { records, last_group, .. } = *self;
        let here = Checkpoint { position: self.scanner.position(), records, last_group, data_end: 0 };
        match self.scanner.next(&mut self.block)? {
            ScanItem::Group(group) => {
                self.records += group.records;
                self.last_group = group.offset;
                self.checkpoint = self.last.replace(here);
                Ok(None)
            }
            ScanItem::End(end) => Ok(Some(end)),
        }
    }

    /// Reads to the end.
    pub(super) fn run(mut self) -> io::Result<ResumableSummary> {
        loop {
            if let Some(end) = self.step()? {
                return Ok(self.finish(end));
            }
        }
    }

    /// Returns the result after the end was found.
    pub(super) fn finish(self, end: SegmentEnd) -> ResumableSummary {
        let Self { scanner, records, last_group, checkpoint, .. } = self;
        let checkpoint = checkpoint.map(|found| Checkpoint { data_end: end.data_end, ..found });
        (SegmentSummary { header: scanner.header(), records, last_group, end }, checkpoint)
    }

    /// Returns the result of this scan, given that of a scan [from here](Self::at) to the end; `None` if that one found too few
    /// groups to resume after the first.
    pub(super) fn followed_by(
        &self,
        (mut summary, checkpoint): ResumableSummary,
    ) -> Option<ResumableSummary> {
        let here = self.position();
        let mut checkpoint = checkpoint.filter(|found| found.position.offset() > here.offset())?;
        checkpoint.records += self.records;
        checkpoint.position = checkpoint.position.with_lines_before(here.line());
        summary.records += self.records;
        if let Some(tail) = &mut summary.end.tail {
            tail.line += here.line();
        }
        Some((summary, Some(checkpoint)))
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
