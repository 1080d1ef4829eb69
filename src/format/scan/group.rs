//! Commit groups: collects the lines up to a seal, and verifies the seal.

use super::{block::ValueRun, lines::Line, tail::NextGroupStart};
use crate::format::{Chain, LineTrailer, SEAL_LEN, parse_trailer};

/// A verified commit group, or the lines of a plain segment that no seal covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VerifiedGroup {
    /// The offset of its first line.
    pub(crate) offset: u64,
    /// The offset after its seal, or after its last value if it has no seal.
    pub(crate) end: u64,
    /// The number of its first line, counted from 1 in the file.
    pub(crate) line: u64,
    /// The number of its lines.
    pub(crate) records: u64,
    pub(crate) seal: Option<u32>,
    /// The lines were not returned: the caller reads them again, from `offset` to `end`.
    pub(crate) is_too_large: bool,
}

/// The lines up to a seal, or to the end of the file.
pub(super) struct GroupCandidate {
    pub(super) records: u64,
    pub(super) is_too_large: bool,
    pub(super) chain: Chain,
    /// The chain before the last line added by [`add`](Self::add), as the last line of a file always is.
    pub(super) before_last: Chain,
    /// The offset of the last line.
    pub(super) last_line: u64,
    /// The offset after the seal or value of the last line, before its LF.
    pub(super) end: u64,
    pub(super) has_newline: bool,
    pub(super) check: GroupCheck,
}

/// The result of checking the seal of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupCheck {
    Verified {
        seal: u32,
        closed: bool,
    },
    Failed,
    /// The file ends before a seal.
    EndOfFile,
}

impl GroupCandidate {
    /// Returns a candidate without lines, after the group that ends at `data_end`.
    pub(super) fn new(start: &NextGroupStart, data_end: u64, has_newline: bool, is_too_large: bool) -> Self {
        Self {
            records: 0,
            is_too_large,
            chain: start.chain,
            before_last: start.chain,
            last_line: start.offset,
            end: data_end,
            has_newline,
            check: GroupCheck::EndOfFile,
        }
    }

    /// Adds a run of lines, none of which is the last of a group or of the file.
    pub(super) fn add_values(&mut self, values: &ValueRun<'_>) {
        self.chain.push(values.bytes);
        self.records += values.ends.len() as u64;
        self.last_line = values.last_offset();
        self.has_newline = true;
        self.end = values.offset + values.bytes.len() as u64;
    }

    /// Adds one line; returns its value.
    pub(super) fn add<'a>(&mut self, line: &Line<'a>) -> &'a [u8] {
        let (value_len, trailer) = parse_trailer(line.bytes);
        let value = &line.bytes[..value_len];
        let (seal, closed) = match trailer {
            LineTrailer::NoSeal => (None, false),
            LineTrailer::Seal(seal) => (Some(seal), false),
            LineTrailer::ClosingSeal(seal) => (Some(seal), true),
        };
        // The seal covers white space at the end of a line inside the group, not padding or seals.
        let covered = if seal.is_none() && line.has_newline { line.bytes } else { value };
        self.before_last = self.chain;
        self.chain.push(covered);
        self.records += 1;
        self.last_line = line.offset;
        self.has_newline = line.has_newline;
        self.end = line.offset + covered.len() as u64;
        if let Some(seal) = seal {
            self.end += SEAL_LEN as u64;
            let verified = self.chain.seal() == seal;
            self.check = if verified { GroupCheck::Verified { seal, closed } } else { GroupCheck::Failed };
        }
        value
    }
}
