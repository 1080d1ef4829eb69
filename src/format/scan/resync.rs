//! Continues a scan after corruption: finds the commit groups that verify against the seal before them. That seal is the *stored*
//! one, or the one that *was* stored, computed from the lines, where only its own bytes are changed.

use std::io;

use super::{
    Block, LineReader, ReadAt,
    lines::Line,
    stored_seal::{MAX_CHANGED_SEAL_BYTES, count_changed, stored_seals, verifies},
};
use crate::format::{Chain, SEAL_LEN, seal};

/// Lines up to and including one that ends in a seal, or up to the end of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResyncedGroup {
    /// The offset of its first line.
    pub(crate) offset: u64,
    /// The number of its first line, counted from 1 in the file.
    pub(crate) line: u64,
    pub(crate) records: u64,
    pub(crate) verified: bool,
}

/// Reads a corrupt segment from the first group that does not verify.
#[derive(Debug)]
pub(crate) struct ResyncScanner<S> {
    lines: LineReader<S>,
    line: u64,
    /// The chain at the stored seal before the next group, after the first such seal.
    stored: Option<Chain>,
    /// The chain at the seal that the lines before the next group require, if they are what was written.
    computed: Option<Chain>,
}

impl<S: ReadAt> ResyncScanner<S> {
    /// Returns a scanner that starts at `offset`; `chain` is the chain there, if it is known.
    pub(crate) fn new(source: S, offset: u64, line: u64, chain: Option<Chain>) -> Self {
        Self { lines: LineReader::new(source, offset), line, stored: None, computed: chain }
    }

    /// Returns the next candidate and appends its lines to `block`; `None` at the end of the file.
    pub(crate) fn next(&mut self, block: &mut Block) -> io::Result<Option<ResyncedGroup>> {
        let mut resynced =
            ResyncedGroup { offset: self.lines.position(), line: self.line, records: 0, verified: false };
        let mut chains = [self.stored, self.computed];
        while let Some(line) = self.lines.next()? {
            let is_next = |seal| chains.iter().flatten().any(|chain| verifies(*chain, &line, seal));
            let verified = stored_seals(&line).find(|&seal| is_next(seal));
            let stored = verified.or_else(|| stored_seals(&line).next());
            let changed = if stored.is_none() { changed_seal(chains[1], &line) } else { None };
            let value_len = stored.map(|(at, _)| at).or(changed);
            let value = &line.bytes[..value_len.unwrap_or(line.bytes.len())];
            block.push(value.trim_ascii_end(), line.offset);
            resynced.records += 1;
            self.line += 1;
            // Outside a group every byte of a line counts; the last line of a group ends before its seal.
            chains.iter_mut().flatten().for_each(|chain| chain.push(value));
            if value_len.is_some() {
                resynced.verified = verified.is_some();
                self.stored = stored.map(|(_, seal)| Chain::from_seal(seal));
                self.computed = chains[1].map(|chain| Chain::from_seal(chain.seal()));
                return Ok(Some(resynced));
            }
        }
        Ok((resynced.records > 0).then_some(resynced))
    }
}

/// Returns where the seal of a line begins, if a few bytes of it are changed so that it does not parse.
fn changed_seal(chain: Option<Chain>, line: &Line<'_>) -> Option<usize> {
    let at = line.bytes.len().checked_sub(SEAL_LEN).filter(|_| line.has_newline)?;
    let (value, stored) = line.bytes.split_at(at);
    let mut chain = chain?;
    chain.push(value);
    (count_changed(stored, &seal::encode(chain.seal())) <= MAX_CHANGED_SEAL_BYTES).then_some(at)
}
