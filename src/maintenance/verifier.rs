//! Verifies the segments of a journal one after the other, and checks the links between them.

use std::{io, path::Path, sync::Arc};

use super::{
    Corruption,
    report::{SegmentReport, SegmentState, VerifyReport},
};
use crate::{
    format::scan::{Block, ResyncScanner, ScanItem, ScanMode, Scanner, Tail},
    format::{Chain, HeaderError, SEAL_LEN, SegmentHeader},
    io::FileHandle,
    journal::{older_copy::older_copy_reason, segment_summary::check_plain_lines},
};

/// The state of a verification: the report so far, and the expected start of the next segment.
#[derive(Debug, Default)]
pub(super) struct Verifier {
    pub(super) report: VerifyReport,
    expected: Option<ExpectedStart>,
    /// The end of the newest rotated segment so far, if it does not verify or has no close marker. It is a fault if a later
    /// segment shows that the segment was closed: the next rotation and the close of the journal wait for that.
    unclosed: Option<Corruption>,
}

/// The expected start of the next segment.
#[derive(Debug)]
struct ExpectedStart {
    /// Unknown after corruption, and after plain segments until a header has a sequence number.
    next_seq: Option<u64>,
    last_seal: Option<u32>,
    /// The torn tail of the segment before it.
    torn: Option<Corruption>,
}

impl Verifier {
    /// Verifies a segment; the caller passes them in order, the active one last.
    pub(super) fn segment(
        &mut self,
        path: &Path,
        file: &Arc<dyn FileHandle>,
        active: bool,
    ) -> io::Result<()> {
        let file_bytes = file.len()?;
        if active && file_bytes == 0 {
            return Ok(());
        }
        let mut segment = SegmentReport::of_file(path, file_bytes);
        let unclosed = self.unclosed.take();
        match Scanner::open(Arc::clone(file), ScanMode::VerifyOnly)? {
            Ok(scanner) => self.scan(&mut segment, scanner, file, active)?,
            Err(error) => {
                if error == HeaderError::BadMagic {
                    segment.state = SegmentState::NotAJournal;
                }
                self.report.faults.push(Corruption::of_file(path, error.to_string()));
                self.expected = Some(ExpectedStart { next_seq: None, last_seal: None, torn: None });
            }
        }
        let is_known = |fault: &Corruption| {
            self.report
                .faults
                .iter()
                .any(|known| known.segment == fault.segment && known.offset == fault.offset)
        };
        let is_complete = !active || segment.state == SegmentState::Closed;
        let unclosed = unclosed.filter(|fault| is_complete && !is_known(fault));
        self.add_faults_of_previous(unclosed);
        self.report.records += segment.records;
        self.report.groups += segment.groups;
        self.report.segments.push(segment);
        Ok(())
    }

    /// Reports a file with the active name that is an older copy of a rotated segment. Its records are not counted again.
    pub(super) fn older_copy(
        &mut self,
        path: &Path,
        file: &Arc<dyn FileHandle>,
        original: &Path,
    ) -> io::Result<()> {
        let mut segment = SegmentReport::of_file(path, file.len()?);
        segment.state = SegmentState::OlderCopy;
        self.report.segments.push(segment);
        self.report.faults.push(Corruption::of_file(path, older_copy_reason(original)));
        Ok(())
    }

    /// Verifies the prepared segment, which has content although there is an active one.
    pub(super) fn stray_next(&mut self, path: &Path, file: &Arc<dyn FileHandle>) -> io::Result<()> {
        self.segment(path, file, true)?;
        if !self.report.faults.iter().any(|fault| fault.segment == path) {
            let reason = "it holds records that do not continue the journal";
            self.report.faults.push(Corruption::of_file(path, reason));
        }
        Ok(())
    }

    fn scan(
        &mut self,
        segment: &mut SegmentReport,
        mut scanner: Scanner<Arc<dyn FileHandle>>,
        file: &Arc<dyn FileHandle>,
        active: bool,
    ) -> io::Result<()> {
        let header = scanner.header();
        segment.header_bytes = scanner.position().data_end();
        segment.checksummed = header != SegmentHeader::Plain;
        let first = self.check_link(&segment.path, header);
        let mut block = Block::default();
        let mut end = loop {
            match scanner.next(&mut block)? {
                ScanItem::Group(group) => {
                    segment.records += group.records;
                    segment.groups += u64::from(group.seal.is_some());
                }
                ScanItem::End(end) => break end,
            }
        };
        if header == SegmentHeader::Plain && end.last_seal.is_none() {
            check_plain_lines(file, &mut segment.records, &mut end)?;
        }
        segment.data_bytes = end.data_end;
        segment.seal_bytes = segment.groups * SEAL_LEN as u64;
        let around_records = segment.header_bytes + segment.seal_bytes + segment.records;
        segment.record_bytes = segment.data_bytes.saturating_sub(around_records);
        let next_seq = first.map(|first| first + segment.records);
        if segment.records > 0 {
            segment.first_seq = first;
            segment.last_seq = next_seq.map(|next| next - 1);
        }
        segment.state = match &end.tail {
            Some(tail) if tail.is_corrupt => SegmentState::Damaged,
            Some(_) => SegmentState::TornTail,
            None if end.closed || (end.last_seal.is_none() && !segment.checksummed && end.has_newline) => {
                SegmentState::Closed
            }
            None => SegmentState::Open,
        };
        let fault = end.tail.as_ref().map(|tail| Corruption::new(&segment.path, tail, next_seq));
        if let (Some(tail), Some(fault)) = (end.tail.as_ref().filter(|tail| tail.is_corrupt), &fault) {
            self.report.faults.push(fault.clone());
            self.resync(segment, file, tail, end.chain)?;
        } else if fault.is_none() {
            segment.padding_bytes = end.file_end.saturating_sub(end.data_end + u64::from(end.has_newline));
            segment.padding_bytes -= u64::from(end.closed);
        }
        if !active && segment.checksummed && segment.state != SegmentState::Closed {
            self.unclosed = Some(match &fault {
                Some(torn) => Corruption {
                    reason: "the bytes after the last commit group of a rotated segment do not verify".into(),
                    ..torn.clone()
                },
                None => Corruption {
                    segment: segment.path.clone(),
                    offset: end.data_end,
                    line: 1 + segment.records,
                    seq: segment.last_seq,
                    reason: "the close marker of a rotated segment is missing".into(),
                },
            });
        }
        let is_damaged = segment.state == SegmentState::Damaged;
        self.expected = Some(ExpectedStart {
            next_seq: next_seq.filter(|_| !is_damaged),
            last_seal: end.last_seal.filter(|_| !is_damaged),
            torn: fault.filter(|_| !is_damaged),
        });
        Ok(())
    }

    /// Counts the groups after corruption that verify; each further gap between them is a fault of its own.
    fn resync(
        &mut self,
        segment: &mut SegmentReport,
        file: &Arc<dyn FileHandle>,
        tail: &Tail,
        chain: Chain,
    ) -> io::Result<()> {
        let mut scanner = ResyncScanner::new(Arc::clone(file), tail.offset, tail.line, Some(chain));
        let mut block = Block::default();
        let mut in_fault = true;
        while let Some(group) = scanner.next(&mut block)? {
            if group.verified {
                segment.records += group.records;
                segment.groups += 1;
                segment.record_bytes += block.byte_len() as u64;
                segment.seal_bytes += SEAL_LEN as u64;
                segment.data_bytes += block.byte_len() as u64 + SEAL_LEN as u64 + group.records;
            } else if !in_fault {
                self.report.faults.push(Corruption {
                    segment: segment.path.clone(),
                    offset: group.offset,
                    line: group.line,
                    seq: None,
                    reason: tail.reason.into(),
                });
            }
            block.clear();
            in_fault = !group.verified;
        }
        Ok(())
    }

    /// Checks the link of a segment to the one before it; returns the sequence number of its first record, if it is known.
    fn check_link(&mut self, path: &Path, header: SegmentHeader) -> Option<u64> {
        let expected = self.expected.take();
        let Some(link) = header.link() else {
            let expected = expected?;
            self.add_faults_of_previous(expected.torn);
            return expected.next_seq;
        };
        if let Some(ExpectedStart { next_seq, last_seal, torn }) = expected {
            let lowest_first = 1 + self.unnumbered_records();
            let is_first_expected =
                next_seq.map_or(link.first_seq >= lowest_first, |next| next == link.first_seq);
            let is_seal_expected = next_seq.is_none() || link.prev_seal == last_seal.unwrap_or(0);
            if !is_first_expected || !is_seal_expected {
                self.add_faults_of_previous(torn);
                let next = next_seq.unwrap_or(lowest_first);
                self.report.faults.push(Corruption::of_file(
                    path,
                    format!(
                        "it does not continue the segment before it: it begins with record {}, and {next} was to come",
                        link.first_seq
                    ),
                ));
            } else if next_seq.is_none() {
                self.number_plain(link.first_seq);
            }
        }
        Some(link.first_seq)
    }

    fn add_faults_of_previous(&mut self, faults: impl IntoIterator<Item = Corruption>) {
        for fault in faults {
            if let Some(previous) = self.report.segments.last_mut() {
                previous.state = SegmentState::Damaged;
            }
            self.report.faults.push(fault);
        }
    }

    /// Returns the number of records in the plain segments whose sequence numbers are still unknown.
    fn unnumbered_records(&self) -> u64 {
        let plain = self
            .report
            .segments
            .iter()
            .rev()
            .take_while(|segment| !segment.checksummed && segment.first_seq.is_none());
        plain.map(|segment| segment.records).sum()
    }

    /// Numbers the plain segments at the end of the report backwards; `next` is the sequence number after them.
    fn number_plain(&mut self, mut next: u64) {
        for segment in self.report.segments.iter_mut().rev() {
            if segment.checksummed || segment.first_seq.is_some() || segment.records == 0 {
                break;
            }
            segment.last_seq = Some(next.saturating_sub(1));
            next = next.saturating_sub(segment.records);
            segment.first_seq = Some(next);
        }
    }

    /// Returns the report after the last segment.
    pub(super) fn finish(mut self) -> VerifyReport {
        self.report.torn_tail = self.expected.take().and_then(|expected| expected.torn);
        if self.report.segments.iter().all(|segment| !segment.checksummed) {
            let records: u64 = self.report.segments.iter().map(|segment| segment.records).sum();
            self.number_plain(1 + records);
        }
        self.report
    }
}
