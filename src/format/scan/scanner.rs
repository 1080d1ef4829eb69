//! Verified commit groups out of a segment, in order, and what stands at its end.
//!
//! A group is only ever handed out whole and verified. One that outgrows [`GROUP_BYTES_HELD`] is verified in
//! passing and read a second time by whoever wants its lines, so that memory stays bounded.

use std::io;

use super::{
    Block, LineReader, ReadAt, ScanPosition,
    header_line::FirstLine,
    lines::{Line, ValueRun},
    tail::{self, GroupStart, Tail},
};
use crate::{
    format::{CLOSE_MARKER, Chain, Header, HeaderError, LF, LineTrailer, SEAL_LEN, parse_trailer},
    seeded_bugs::{Bug, seeded},
};

/// A group (or a plain segment's lines) of more bytes is not held in memory while it is verified. Few in unit
/// tests, so that they need not be large.
pub(super) const GROUP_BYTES_HELD: usize =
    if cfg!(any(test, feature = "_fuzz")) { 16 << 10 } else { 8 << 20 };

/// Whether a scan hands out the lines it verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScanMode {
    /// Into the block given to [`Scanner::next`].
    Read,
    /// It counts and verifies only.
    VerifyOnly,
}

/// A verified commit group, or the lines of a plain segment that no seal covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// Where its first line begins.
    pub(crate) offset: u64,
    /// Where it ends: behind its seal, or behind its last value where it has none.
    pub(crate) end: u64,
    /// Its first line, counted from 1 in the file.
    pub(crate) line: u64,
    /// Its lines.
    pub(crate) records: u64,
    pub(crate) seal: Option<u32>,
    /// Its lines were not collected: they are to be read again, from `offset` to `end`.
    pub(crate) is_too_large: bool,
}

/// How a segment ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentEnd {
    /// Where what is verified ends: behind the last seal (or header, or plain line), before LF, mark or padding.
    pub(crate) data_end: u64,
    /// Where the file ends, as far as it was read.
    pub(crate) file_end: u64,
    /// An LF follows the data (and the closed mark).
    pub(crate) has_newline: bool,
    /// The closed mark stands behind the data.
    pub(crate) closed: bool,
    pub(crate) tail: Option<Tail>,
    /// The seals so far, ready to be continued.
    pub(crate) chain: Chain,
    /// The last seal in the segment.
    pub(crate) last_seal: Option<u32>,
}

/// One step of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ScanItem {
    Group(Group),
    End(SegmentEnd),
}

/// Reads a segment group by group.
#[derive(Debug)]
pub(crate) struct Scanner<S> {
    lines: LineReader<S>,
    header: Header,
    collect: ScanMode,
    /// Once there is one, a plain segment's exemption is over.
    last_seal: Option<u32>,
    /// Behind the last verified group.
    group: GroupStart,
    data_end: u64,
    has_newline: bool,
    closed: bool,
    /// Where the file was already read a second time because a group failed.
    retried_at: Option<u64>,
    /// The end, when it was found together with a last group.
    pending_end: Option<SegmentEnd>,
}

/// What the lines of one group came to.
struct GroupCandidate {
    records: u64,
    is_too_large: bool,
    chain: Chain,
    /// The chain before the last line that came alone, as the last one of a file does.
    before_last: Chain,
    /// Where the last line begins.
    last_line: u64,
    /// Behind the last line's seal or value, its LF not counted.
    end: u64,
    has_newline: bool,
    verdict: GroupCheck,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GroupCheck {
    Verified {
        seal: u32,
        closed: bool,
    },
    Failed,
    /// The file ended before a seal came.
    EndOfFile,
}

impl<S: ReadAt> Scanner<S> {
    /// Reads the header. `Ok(Err(fault))` where the first line is not one.
    ///
    /// # Errors
    ///
    /// What the source says.
    pub(crate) fn open(source: S, collect: ScanMode) -> io::Result<Result<Self, HeaderError>> {
        let mut lines = LineReader::new(source, 0);
        Ok(FirstLine::read(&mut lines)?.map(|FirstLine { header, group, data_end, has_newline, closed }| {
            Self::at(
                ScanPosition { header, last_seal: None, group, data_end, has_newline, closed },
                lines,
                collect,
            )
        }))
    }

    /// Goes on from a place that an earlier scan of the same file came to.
    pub(crate) fn resume(source: S, position: ScanPosition, collect: ScanMode) -> Self {
        let lines = LineReader::new(source, position.group.offset);
        Self::at(position, lines, collect)
    }

    fn at(position: ScanPosition, lines: LineReader<S>, collect: ScanMode) -> Self {
        let ScanPosition { header, last_seal, group, data_end, has_newline, closed } = position;
        Self {
            lines,
            header,
            collect,
            last_seal,
            group,
            data_end,
            has_newline,
            closed,
            retried_at: None,
            pending_end: None,
        }
    }

    /// Behind the last group.
    pub(crate) fn position(&self) -> ScanPosition {
        let &Self { header, last_seal, group, data_end, has_newline, closed, .. } = self;
        ScanPosition { header, last_seal, group, data_end, has_newline, closed }
    }

    pub(crate) fn header(&self) -> Header {
        self.header
    }

    /// The next verified group, its lines appended to `block`; or the end.
    ///
    /// # Errors
    ///
    /// What the source says.
    pub(crate) fn next(&mut self, block: &mut Block) -> io::Result<ScanItem> {
        if let Some(end) = self.pending_end.take() {
            return Ok(ScanItem::End(end));
        }
        let held = block.len();
        let gathered = self.read_group(block)?;
        match gathered.verdict {
            GroupCheck::Verified { .. } if self.closed => {
                block.truncate(held);
                let bytes = gathered.end - self.group.offset;
                Ok(ScanItem::End(self.end(Some(self.damage(bytes, "groups follow the closed mark")))))
            }
            GroupCheck::Verified { seal, closed } => {
                self.closed = closed && gathered.has_newline;
                Ok(ScanItem::Group(self.accept(&gathered, Some(seal))))
            }
            GroupCheck::EndOfFile if gathered.records == 0 => Ok(ScanItem::End(self.end(None))),
            GroupCheck::EndOfFile if self.is_plain() => self.plain_end(gathered, block, held),
            GroupCheck::EndOfFile | GroupCheck::Failed => {
                block.truncate(held);
                self.on_unverified(block)
            }
        }
    }

    /// Whether the lines to come are valid without a seal.
    fn is_plain(&self) -> bool {
        self.header == Header::Plain && self.last_seal.is_none()
    }

    /// Reads lines up to a seal, or to the end.
    fn read_group(&mut self, block: &mut Block) -> io::Result<GroupCandidate> {
        let (held, held_bytes) = (block.len(), block.byte_len());
        let mut gathered = GroupCandidate {
            records: 0,
            is_too_large: self.collect == ScanMode::VerifyOnly,
            chain: self.group.chain,
            before_last: self.group.chain,
            last_line: self.group.offset,
            end: self.data_end,
            has_newline: self.has_newline,
            verdict: GroupCheck::EndOfFile,
        };
        while gathered.verdict == GroupCheck::EndOfFile {
            if let Some(values) = self.lines.values() {
                gathered.add_values(&values);
                if !gathered.is_too_large {
                    block.push_values(&values);
                }
            } else if let Some(line) = self.lines.next()? {
                let value = gathered.add(&line);
                if !gathered.is_too_large {
                    block.push(value, line.offset);
                }
            } else {
                break;
            }
            if !gathered.is_too_large && block.byte_len() - held_bytes > GROUP_BYTES_HELD {
                gathered.is_too_large = true;
                block.truncate(held);
            }
        }
        Ok(gathered)
    }

    /// Makes what was gathered the newest verified group.
    fn accept(&mut self, gathered: &GroupCandidate, seal: Option<u32>) -> Group {
        let group = Group {
            offset: self.group.offset,
            end: gathered.end,
            line: self.group.line,
            records: gathered.records,
            seal,
            is_too_large: gathered.is_too_large,
        };
        self.group = GroupStart {
            offset: self.lines.position(),
            line: self.group.line + gathered.records,
            chain: seal.map_or(gathered.chain, Chain::from_seal),
        };
        self.data_end = gathered.end;
        self.has_newline = gathered.has_newline;
        self.last_seal = seal.or(self.last_seal);
        group
    }

    /// The lines of a plain segment that no seal covers are valid, save an incomplete last one.
    fn plain_end(
        &mut self,
        mut gathered: GroupCandidate,
        block: &mut Block,
        held: usize,
    ) -> io::Result<ScanItem> {
        let last = tail::plain_last(self.lines.source(), gathered.last_line)?;
        if gathered.has_newline || last.complete_len == Some(last.value.len()) {
            // The white space at its end gives way to a seal, when one comes.
            gathered.chain = gathered.before_last;
            gathered.chain.push(&last.value);
            gathered.end = gathered.last_line + last.value.len() as u64;
            return Ok(ScanItem::Group(self.accept(&gathered, None)));
        }
        let limit = gathered.last_line + last.complete_len.unwrap_or(0) as u64;
        let tail = Tail {
            offset: limit,
            line: self.group.line + gathered.records - 1,
            bytes: (gathered.last_line + last.text_len).saturating_sub(limit),
            is_corrupt: false,
            reason: "the last line is incomplete",
        };
        let file_end = self.lines.position();
        block.truncate(held);
        self.finish_at(limit, tail, file_end, block)
    }

    /// A group failed, or the file ended without its seal.
    fn on_unverified(&mut self, block: &mut Block) -> io::Result<ScanItem> {
        let judged = tail::classify_tail(self.lines.source(), self.group, self.is_plain())?;
        // A file that is being written may have been read before a group was whole. What is judged damaged for a
        // later group's sake is read once more: by then it is whole, or damaged indeed.
        if judged.tail.is_corrupt && self.retried_at != Some(self.group.offset) {
            self.retried_at = Some(self.group.offset);
            self.reseek()?;
            return self.next(block);
        }
        match judged.verified_to {
            Some(limit) => self.finish_at(limit, judged.tail, judged.file_end, block),
            None => {
                let end = self.end(Some(judged.tail));
                Ok(ScanItem::End(SegmentEnd { file_end: judged.file_end, ..end }))
            }
        }
    }

    /// Goes back to where the next group begins. Where the file ended when that was read, or ended in the closed
    /// mark, it may have been continued meanwhile, and the group begins elsewhere.
    fn reseek(&mut self) -> io::Result<()> {
        let mut behind = [0; 2];
        let count = self.lines.source().read_at(&mut behind, self.data_end)?;
        if let Some((_, closed)) = [(&[LF][..], false), (&[CLOSE_MARKER, LF], true)]
            .into_iter()
            .find(|(ending, _)| behind[..count].starts_with(ending))
        {
            self.group.offset = self.data_end + 1 + u64::from(closed);
            (self.has_newline, self.closed) = (true, closed);
        }
        self.lines.rewind(self.group.offset, u64::MAX);
        Ok(())
    }

    /// Hands out what is valid up to `limit`, and keeps the end for the next call.
    fn finish_at(
        &mut self,
        limit: u64,
        tail: Tail,
        file_end: u64,
        block: &mut Block,
    ) -> io::Result<ScanItem> {
        let held = block.len();
        self.lines.rewind(self.group.offset, limit);
        let gathered = self.read_group(block)?;
        let seal = match gathered.verdict {
            GroupCheck::Verified { seal, .. } => Some(seal),
            GroupCheck::EndOfFile if self.is_plain() && gathered.records > 0 => None,
            GroupCheck::EndOfFile | GroupCheck::Failed => {
                block.truncate(held);
                return Ok(ScanItem::End(SegmentEnd { file_end, ..self.end(Some(tail)) }));
            }
        };
        let group = self.accept(&gathered, seal);
        self.closed = false;
        self.pending_end = Some(SegmentEnd { file_end, ..self.end(Some(tail)) });
        Ok(ScanItem::Group(group))
    }

    fn damage(&self, bytes: u64, reason: &'static str) -> Tail {
        Tail { offset: self.group.offset, line: self.group.line, bytes, is_corrupt: true, reason }
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

impl GroupCandidate {
    /// Counts many lines in, none of which is the last of a group or of the file.
    fn add_values(&mut self, values: &ValueRun<'_>) {
        self.chain.push(values.bytes);
        self.records += values.ends.len() as u64;
        self.last_line = values.last_offset();
        self.has_newline = true;
        self.end = values.offset + values.bytes.len() as u64;
    }

    /// Counts one line in; gives back its value.
    fn add<'a>(&mut self, line: &Line<'a>) -> &'a [u8] {
        let (value_len, ending) = parse_trailer(line.bytes);
        let value = &line.bytes[..value_len];
        let (seal, closed) = match ending {
            LineTrailer::NoSeal => (None, false),
            LineTrailer::Seal(seal) => (Some(seal), false),
            LineTrailer::ClosingSeal(seal) => (Some(seal), true),
        };
        // White space inside a group is covered by its seal; padding and seals are not.
        let text = if seal.is_none() && line.has_newline { line.bytes } else { value };
        self.before_last = self.chain;
        self.chain.push(text);
        self.records += 1;
        self.last_line = line.offset;
        self.has_newline = line.has_newline;
        self.end = line.offset + text.len() as u64;
        if let Some(seal) = seal {
            self.end += SEAL_LEN as u64;
            let verified = self.chain.seal() == seal || seeded(Bug::TornTailAsData);
            self.verdict = if verified { GroupCheck::Verified { seal, closed } } else { GroupCheck::Failed };
        }
        value
    }
}
