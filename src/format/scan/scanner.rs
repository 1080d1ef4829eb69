//! Reads the verified commit groups of a segment in order, and its end.
//!
//! Every returned group is whole and verified. The lines of a group larger than [`buffered_group_bytes`](crate::options::ReadLimits) are verified but not
//! returned; a caller that needs them reads them a second time, so that memory stays bounded.

use std::io;

use super::{
    Block, LineReader, ReadAt, ScanPosition,
    group::{GroupCandidate, GroupCheck, VerifiedGroup},
    header_line::FirstLine,
    tail::{self, NextGroupStart, Tail},
};
use crate::format::{CLOSE_MARKER, Chain, HeaderError, LF, SegmentHeader};

/// Whether a scan returns the lines that it verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScanMode {
    /// The lines are appended to the block passed to [`Scanner::next`].
    Read,
    /// The lines are only verified and counted.
    VerifyOnly,
}

/// The end of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentEnd {
    /// The end of the verified data: after the last seal (or header, or plain line), before the LF, close marker or padding.
    pub(crate) data_end: u64,
    /// The end of the file, as far as it was read.
    pub(crate) file_end: u64,
    /// An LF follows the data (and the close marker).
    pub(crate) has_newline: bool,
    /// The close marker follows the data.
    pub(crate) closed: bool,
    pub(crate) tail: Option<Tail>,
    /// The chain at the end of the data.
    pub(crate) chain: Chain,
    /// The last seal in the segment.
    pub(crate) last_seal: Option<u32>,
}

/// One item of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ScanItem {
    Group(VerifiedGroup),
    End(SegmentEnd),
}

/// Reads a segment group by group.
#[derive(Debug)]
pub(crate) struct Scanner<S> {
    lines: LineReader<S>,
    header: SegmentHeader,
    mode: ScanMode,
    /// From the first seal on, a plain segment needs seals too.
    last_seal: Option<u32>,
    /// The position after the last verified group.
    group: NextGroupStart,
    data_end: u64,
    has_newline: bool,
    closed: bool,
    /// The offset of the last group that was read a second time because it did not verify.
    retried_at: Option<u64>,
    /// The end, if it was found together with the last group.
    pending_end: Option<SegmentEnd>,
}

impl<S: ReadAt> Scanner<S> {
    /// Reads the header. Returns `Ok(Err(_))` if the first line is not a header.
    ///
    /// # Errors
    ///
    /// The error of a failed read.
    pub(crate) fn open(source: S, mode: ScanMode) -> io::Result<Result<Self, HeaderError>> {
        let mut lines = LineReader::new(source, 0);
        Ok(FirstLine::read(&mut lines)?.map(|FirstLine { header, group, data_end, has_newline, closed }| {
            Self::at(
                ScanPosition { header, last_seal: None, group, data_end, has_newline, closed },
                lines,
                mode,
            )
        }))
    }

    /// Resumes at a position of an earlier scan of the same file.
    pub(crate) fn resume(source: S, position: ScanPosition, mode: ScanMode) -> Self {
        let lines = LineReader::new(source, position.group.offset);
        Self::at(position, lines, mode)
    }

    fn at(position: ScanPosition, lines: LineReader<S>, mode: ScanMode) -> Self {
        let ScanPosition { header, last_seal, group, data_end, has_newline, closed } = position;
        Self {
            lines,
            header,
            mode,
            last_seal,
            group,
            data_end,
            has_newline,
            closed,
            retried_at: None,
            pending_end: None,
        }
    }

    /// Returns the position after the last group.
    pub(crate) fn position(&self) -> ScanPosition {
        let &Self { header, last_seal, group, data_end, has_newline, closed, .. } = self;
        ScanPosition { header, last_seal, group, data_end, has_newline, closed }
    }

    pub(crate) fn header(&self) -> SegmentHeader {
        self.header
    }

    /// Returns the next verified group and appends its lines to `block`; or returns the end.
    ///
    /// # Errors
    ///
    /// The error of a failed read.
    pub(crate) fn next(&mut self, block: &mut Block) -> io::Result<ScanItem> {
        if let Some(end) = self.pending_end.take() {
            return Ok(ScanItem::End(end));
        }
        let lines_before = block.len();
        let candidate = self.read_group(block)?;
        match candidate.check {
            GroupCheck::Verified { .. } if self.closed => {
                block.truncate(lines_before);
                let bytes = candidate.end - self.group.offset;
                Ok(ScanItem::End(self.end(Some(self.corrupt_tail(bytes, "groups follow the closed mark")))))
            }
            GroupCheck::Verified { seal, closed } => {
                self.closed = closed && candidate.has_newline;
                Ok(ScanItem::Group(self.accept(&candidate, Some(seal))))
            }
            GroupCheck::EndOfFile if candidate.records == 0 => Ok(ScanItem::End(self.end(None))),
            GroupCheck::EndOfFile if self.is_plain() => self.plain_end(candidate, block, lines_before),
            GroupCheck::EndOfFile | GroupCheck::Failed => {
                block.truncate(lines_before);
                self.on_unverified(block)
            }
        }
    }

    /// Returns whether the next lines are valid without a seal.
    fn is_plain(&self) -> bool {
        self.header == SegmentHeader::Plain && self.last_seal.is_none()
    }

    /// Reads lines up to a seal, or to the end of the file.
    fn read_group(&mut self, block: &mut Block) -> io::Result<GroupCandidate> {
        let (lines_before, bytes_before) = (block.len(), block.byte_len());
        let is_too_large = self.mode == ScanMode::VerifyOnly;
        let mut candidate = GroupCandidate::new(&self.group, self.data_end, self.has_newline, is_too_large);
        while candidate.check == GroupCheck::EndOfFile {
            if let Some(values) = self.lines.values() {
                candidate.add_values(&values);
                if !candidate.is_too_large {
                    block.push_values(&values);
                }
            } else if let Some(line) = self.lines.next()? {
                let value = candidate.add(&line);
                if !candidate.is_too_large {
                    block.push(value, line.offset);
                }
            } else {
                break;
            }
            if !candidate.is_too_large
                && block.byte_len() - bytes_before > self.lines.limits.buffered_group_bytes
            {
                candidate.is_too_large = true;
                block.truncate(lines_before);
            }
        }
        Ok(candidate)
    }

    /// Makes the candidate the last verified group.
    fn accept(&mut self, candidate: &GroupCandidate, seal: Option<u32>) -> VerifiedGroup {
        let group = VerifiedGroup {
            offset: self.group.offset,
            end: candidate.end,
            line: self.group.line,
            records: candidate.records,
            seal,
            is_too_large: candidate.is_too_large,
        };
        self.group = NextGroupStart {
            offset: self.lines.position(),
            line: self.group.line + candidate.records,
            chain: seal.map_or(candidate.chain, Chain::from_seal),
        };
        self.data_end = candidate.end;
        self.has_newline = candidate.has_newline;
        self.last_seal = seal.or(self.last_seal);
        group
    }

    /// Accepts the lines of a plain segment that no seal covers, except for an incomplete last one.
    fn plain_end(
        &mut self,
        mut candidate: GroupCandidate,
        block: &mut Block,
        lines_before: usize,
    ) -> io::Result<ScanItem> {
        let last = tail::read_last_plain_line(self.lines.source(), candidate.last_line)?;
        if candidate.has_newline || last.complete_len == Some(last.value.len()) {
            // A seal would overwrite the white space at the end of the last line.
            candidate.chain = candidate.before_last;
            candidate.chain.push(&last.value);
            candidate.end = candidate.last_line + last.value.len() as u64;
            return Ok(ScanItem::Group(self.accept(&candidate, None)));
        }
        let limit = candidate.last_line + last.complete_len.unwrap_or(0) as u64;
        let tail = Tail {
            offset: limit,
            line: self.group.line + candidate.records - 1,
            bytes: (candidate.last_line + last.text_len).saturating_sub(limit),
            is_corrupt: false,
            has_verified_data: false,
            reason: "the last line is incomplete",
        };
        let file_end = self.lines.position();
        block.truncate(lines_before);
        self.finish_at(limit, tail, file_end, block)
    }

    /// Classifies the rest of the file after a group did not verify, or the file ended before its seal.
    fn on_unverified(&mut self, block: &mut Block) -> io::Result<ScanItem> {
        let analysis = tail::classify_tail(self.lines.source(), self.group, self.is_plain())?;
        // The writer may have completed a group after this scan read it, and written later ones. So an apparently corrupt group is
        // read once more: if it does not verify then, it is corrupt.
        if analysis.tail.is_corrupt && self.retried_at != Some(self.group.offset) {
            self.retried_at = Some(self.group.offset);
            self.reseek()?;
            return self.next(block);
        }
        match analysis.verified_to {
            Some(limit) => self.finish_at(limit, analysis.tail, analysis.file_end, block),
            None => {
                let end = self.end(Some(analysis.tail));
                Ok(ScanItem::End(SegmentEnd { file_end: analysis.file_end, ..end }))
            }
        }
    }

    /// Seeks back to the start of the next group. If the file ended there when it was read, or ended in the close marker, the writer
    /// may have continued it since, and the group starts at another offset.
    fn reseek(&mut self) -> io::Result<()> {
        let mut after = [0; 2];
        let count = self.lines.source().read_at(&mut after, self.data_end)?;
        if let Some((_, closed)) = [(&[LF][..], false), (&[CLOSE_MARKER, LF], true)]
            .into_iter()
            .find(|(ending, _)| after[..count].starts_with(ending))
        {
            self.group.offset = self.data_end + 1 + u64::from(closed);
            (self.has_newline, self.closed) = (true, closed);
        }
        self.lines.rewind(self.group.offset, u64::MAX);
        Ok(())
    }

    /// Returns the lines that are valid up to `limit` as a group, and keeps the end for the next call.
    fn finish_at(
        &mut self,
        limit: u64,
        tail: Tail,
        file_end: u64,
        block: &mut Block,
    ) -> io::Result<ScanItem> {
        let lines_before = block.len();
        self.lines.rewind(self.group.offset, limit);
        let candidate = self.read_group(block)?;
        let seal = match candidate.check {
            GroupCheck::Verified { seal, .. } => Some(seal),
            GroupCheck::EndOfFile if self.is_plain() && candidate.records > 0 => None,
            GroupCheck::EndOfFile | GroupCheck::Failed => {
                block.truncate(lines_before);
                return Ok(ScanItem::End(SegmentEnd { file_end, ..self.end(Some(tail)) }));
            }
        };
        let group = self.accept(&candidate, seal);
        self.closed = false;
        self.pending_end = Some(SegmentEnd { file_end, ..self.end(Some(tail)) });
        Ok(ScanItem::Group(group))
    }

    fn corrupt_tail(&self, bytes: u64, reason: &'static str) -> Tail {
        // The bytes are a group that verifies.
        let NextGroupStart { offset, line, .. } = self.group;
        Tail { offset, line, bytes, is_corrupt: true, has_verified_data: true, reason }
    }

    fn end(&self, tail: Option<Tail>) -> SegmentEnd {
        SegmentEnd {
            data_end: self.data_end,
            file_end: self.lines.position(),
            has_newline: self.has_newline,
            closed: self.closed && tail.is_none(),
            tail,
            chain: self.group.chain,
            last_seal: self.last_seal,
        }
    }
}
