//! Verified commit groups out of a segment, in order, and what stands at its end.
//!
//! A group is only ever handed out whole and verified. One that outgrows [`GROUP_BYTES_HELD`] is verified in
//! passing and read a second time by whoever wants its lines, so that memory stays bounded.

use std::io;

use super::{
    Block, LineReader, Place, ReadAt,
    first_line::FirstLine,
    lines::{Line, Values},
    tail::{self, Start, Tail},
};
use crate::{
    format::{CLOSED_MARK, Chain, Ending, Header, HeaderFault, LF, SEAL_LEN, ending},
    planted::{Bug, planted},
};

/// A group (or a plain segment's lines) of more bytes is not held in memory while it is verified. Few in unit
/// tests, so that they need not be large.
pub(super) const GROUP_BYTES_HELD: usize =
    if cfg!(any(test, feature = "_fuzz")) { 16 << 10 } else { 8 << 20 };

/// Whether a scan hands out the lines it verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Collect {
    /// Into the block given to [`Scanner::next`].
    Lines,
    /// It counts and verifies only.
    Nothing,
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
    pub(crate) on_disk: bool,
}

/// How a segment ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    /// Where what is verified ends: behind the last seal (or header, or plain line), before LF, mark or padding.
    pub(crate) data_end: u64,
    /// Where the file ends, as far as it was read.
    pub(crate) file_end: u64,
    /// An LF follows the data (and the closed mark).
    pub(crate) terminated: bool,
    /// The closed mark stands behind the data.
    pub(crate) marked: bool,
    pub(crate) tail: Option<Tail>,
    /// The seals so far, ready to be continued.
    pub(crate) chain: Chain,
    /// The last seal in the segment.
    pub(crate) last_seal: Option<u32>,
}

/// One step of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Group(Group),
    End(End),
}

/// Reads a segment group by group.
#[derive(Debug)]
pub(crate) struct Scanner<S> {
    lines: LineReader<S>,
    header: Header,
    collect: Collect,
    /// Once there is one, a plain segment's exemption is over.
    last_seal: Option<u32>,
    /// Behind the last verified group.
    group: Start,
    data_end: u64,
    terminated: bool,
    marked: bool,
    /// Where the file was already read a second time because a group failed.
    retried_at: Option<u64>,
    /// The end, when it was found together with a last group.
    pending_end: Option<End>,
}

/// What the lines of one group came to.
struct Gathered {
    records: u64,
    on_disk: bool,
    chain: Chain,
    /// The chain before the last line that came alone, as the last one of a file does.
    before_last: Chain,
    /// Where the last line begins.
    last_line: u64,
    /// Behind the last line's seal or value, its LF not counted.
    end: u64,
    terminated: bool,
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Verified {
        seal: u32,
        marked: bool,
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
    pub(crate) fn open(source: S, collect: Collect) -> io::Result<Result<Self, HeaderFault>> {
        let mut lines = LineReader::new(source, 0);
        Ok(FirstLine::read(&mut lines)?.map(|FirstLine { header, group, data_end, terminated, marked }| {
            Self::at(Place { header, last_seal: None, group, data_end, terminated, marked }, lines, collect)
        }))
    }

    /// Goes on from a place that an earlier scan of the same file came to.
    pub(crate) fn resume(source: S, place: Place, collect: Collect) -> Self {
        let lines = LineReader::new(source, place.group.offset);
        Self::at(place, lines, collect)
    }

    fn at(place: Place, lines: LineReader<S>, collect: Collect) -> Self {
        let Place { header, last_seal, group, data_end, terminated, marked } = place;
        Self {
            lines,
            header,
            collect,
            last_seal,
            group,
            data_end,
            terminated,
            marked,
            retried_at: None,
            pending_end: None,
        }
    }

    /// Behind the last group.
    pub(crate) fn place(&self) -> Place {
        let &Self { header, last_seal, group, data_end, terminated, marked, .. } = self;
        Place { header, last_seal, group, data_end, terminated, marked }
    }

    pub(crate) fn header(&self) -> Header {
        self.header
    }

    /// The next verified group, its lines appended to `block`; or the end.
    ///
    /// # Errors
    ///
    /// What the source says.
    pub(crate) fn next(&mut self, block: &mut Block) -> io::Result<Step> {
        if let Some(end) = self.pending_end.take() {
            return Ok(Step::End(end));
        }
        let held = block.len();
        let gathered = self.gather(block)?;
        match gathered.verdict {
            Verdict::Verified { .. } if self.marked => {
                block.truncate(held);
                let bytes = gathered.end - self.group.offset;
                Ok(Step::End(self.end(Some(self.damage(bytes, "groups follow the closed mark")))))
            }
            Verdict::Verified { seal, marked } => {
                self.marked = marked && gathered.terminated;
                Ok(Step::Group(self.accept(&gathered, Some(seal))))
            }
            Verdict::EndOfFile if gathered.records == 0 => Ok(Step::End(self.end(None))),
            Verdict::EndOfFile if self.is_plain() => self.plain_end(gathered, block, held),
            Verdict::EndOfFile | Verdict::Failed => {
                block.truncate(held);
                self.unverified(block)
            }
        }
    }

    /// Whether the lines to come are valid without a seal.
    fn is_plain(&self) -> bool {
        self.header == Header::Plain && self.last_seal.is_none()
    }

    /// Reads lines up to a seal, or to the end.
    fn gather(&mut self, block: &mut Block) -> io::Result<Gathered> {
        let (held, held_bytes) = (block.len(), block.byte_len());
        let mut gathered = Gathered {
            records: 0,
            on_disk: self.collect == Collect::Nothing,
            chain: self.group.chain,
            before_last: self.group.chain,
            last_line: self.group.offset,
            end: self.data_end,
            terminated: self.terminated,
            verdict: Verdict::EndOfFile,
        };
        while gathered.verdict == Verdict::EndOfFile {
            if let Some(values) = self.lines.values() {
                gathered.add_values(&values);
                if !gathered.on_disk {
                    block.push_values(&values);
                }
            } else if let Some(line) = self.lines.next()? {
                let value = gathered.add(&line);
                if !gathered.on_disk {
                    block.push(value, line.offset);
                }
            } else {
                break;
            }
            if !gathered.on_disk && block.byte_len() - held_bytes > GROUP_BYTES_HELD {
                gathered.on_disk = true;
                block.truncate(held);
            }
        }
        Ok(gathered)
    }

    /// Makes what was gathered the newest verified group.
    fn accept(&mut self, gathered: &Gathered, seal: Option<u32>) -> Group {
        let group = Group {
            offset: self.group.offset,
            end: gathered.end,
            line: self.group.line,
            records: gathered.records,
            seal,
            on_disk: gathered.on_disk,
        };
        self.group = Start {
            offset: self.lines.position(),
            line: self.group.line + gathered.records,
            chain: seal.map_or(gathered.chain, Chain::after),
        };
        self.data_end = gathered.end;
        self.terminated = gathered.terminated;
        self.last_seal = seal.or(self.last_seal);
        group
    }

    /// The lines of a plain segment that no seal covers are valid, save an incomplete last one.
    fn plain_end(&mut self, mut gathered: Gathered, block: &mut Block, held: usize) -> io::Result<Step> {
        let last = tail::plain_last(self.lines.source(), gathered.last_line)?;
        if gathered.terminated || last.complete_len == Some(last.value.len()) {
            // The white space at its end gives way to a seal, when one comes.
            gathered.chain = gathered.before_last;
            gathered.chain.push(&last.value);
            gathered.end = gathered.last_line + last.value.len() as u64;
            return Ok(Step::Group(self.accept(&gathered, None)));
        }
        let limit = gathered.last_line + last.complete_len.unwrap_or(0) as u64;
        let tail = Tail {
            offset: limit,
            line: self.group.line + gathered.records - 1,
            bytes: (gathered.last_line + last.text_len).saturating_sub(limit),
            damaged: false,
            reason: "the last line is incomplete",
        };
        let file_end = self.lines.position();
        block.truncate(held);
        self.finish_at(limit, tail, file_end, block)
    }

    /// A group failed, or the file ended without its seal.
    fn unverified(&mut self, block: &mut Block) -> io::Result<Step> {
        let judged = tail::judge(self.lines.source(), self.group, self.is_plain())?;
        // A file that is being written may have been read before a group was whole. What is judged damaged for a
        // later group's sake is read once more: by then it is whole, or damaged indeed.
        if judged.tail.damaged && self.retried_at != Some(self.group.offset) {
            self.retried_at = Some(self.group.offset);
            self.find_place_again()?;
            return self.next(block);
        }
        match judged.verified_to {
            Some(limit) => self.finish_at(limit, judged.tail, judged.file_end, block),
            None => {
                let end = self.end(Some(judged.tail));
                Ok(Step::End(End { file_end: judged.file_end, ..end }))
            }
        }
    }

    /// Goes back to where the next group begins. Where the file ended when that was read, or ended in the closed
    /// mark, it may have been continued meanwhile, and the group begins elsewhere.
    fn find_place_again(&mut self) -> io::Result<()> {
        let mut behind = [0; 2];
        let count = self.lines.source().read_at(&mut behind, self.data_end)?;
        if let Some((_, marked)) = [(&[LF][..], false), (&[CLOSED_MARK, LF], true)]
            .into_iter()
            .find(|(ending, _)| behind[..count].starts_with(ending))
        {
            self.group.offset = self.data_end + 1 + u64::from(marked);
            (self.terminated, self.marked) = (true, marked);
        }
        self.lines.rewind(self.group.offset, u64::MAX);
        Ok(())
    }

    /// Hands out what is valid up to `limit`, and keeps the end for the next call.
    fn finish_at(&mut self, limit: u64, tail: Tail, file_end: u64, block: &mut Block) -> io::Result<Step> {
        let held = block.len();
        self.lines.rewind(self.group.offset, limit);
        let gathered = self.gather(block)?;
        let seal = match gathered.verdict {
            Verdict::Verified { seal, .. } => Some(seal),
            Verdict::EndOfFile if self.is_plain() && gathered.records > 0 => None,
            Verdict::EndOfFile | Verdict::Failed => {
                block.truncate(held);
                return Ok(Step::End(End { file_end, ..self.end(Some(tail)) }));
            }
        };
        let group = self.accept(&gathered, seal);
        self.marked = false;
        self.pending_end = Some(End { file_end, ..self.end(Some(tail)) });
        Ok(Step::Group(group))
    }

    fn damage(&self, bytes: u64, reason: &'static str) -> Tail {
        Tail { offset: self.group.offset, line: self.group.line, bytes, damaged: true, reason }
    }

    fn end(&self, tail: Option<Tail>) -> End {
        End {
            data_end: self.data_end,
            file_end: self.lines.position(),
            terminated: self.terminated,
            marked: self.marked && tail.is_none(),
            tail,
            chain: self.group.chain,
            last_seal: self.last_seal,
        }
    }
}

impl Gathered {
    /// Counts many lines in, none of which is the last of a group or of the file.
    fn add_values(&mut self, values: &Values<'_>) {
        self.chain.push(values.bytes);
        self.records += values.ends.len() as u64;
        self.last_line = values.last_offset();
        self.terminated = true;
        self.end = values.offset + values.bytes.len() as u64;
    }

    /// Counts one line in; gives back its value.
    fn add<'a>(&mut self, line: &Line<'a>) -> &'a [u8] {
        let (value_len, ending) = ending(line.bytes);
        let value = &line.bytes[..value_len];
        let (seal, marked) = match ending {
            Ending::Unsealed => (None, false),
            Ending::Sealed(seal) => (Some(seal), false),
            Ending::Closed(seal) => (Some(seal), true),
        };
        // White space inside a group is covered by its seal; padding and seals are not.
        let text = if seal.is_none() && line.terminated { line.bytes } else { value };
        self.before_last = self.chain;
        self.chain.push(text);
        self.records += 1;
        self.last_line = line.offset;
        self.terminated = line.terminated;
        self.end = line.offset + text.len() as u64;
        if let Some(seal) = seal {
            self.end += SEAL_LEN as u64;
            let verified = self.chain.seal() == seal || planted(Bug::TornTailAsData);
            self.verdict = if verified { Verdict::Verified { seal, marked } } else { Verdict::Failed };
        }
        value
    }
}
