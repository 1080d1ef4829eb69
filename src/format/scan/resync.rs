//! Continues a scan after corruption: finds the commit groups that verify against the *stored* seal before them.

use std::io;

use super::{
    Block, LineReader, ReadAt,
    tail::{stored_seals, verifies},
};
use crate::format::Chain;

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
    chain: Option<Chain>,
}

impl<S: ReadAt> ResyncScanner<S> {
    pub(crate) fn new(source: S, offset: u64, line: u64) -> Self {
        Self { lines: LineReader::new(source, offset), line, chain: None }
    }

    /// Returns the next candidate and appends its lines to `block`; `None` at the end of the file.
    pub(crate) fn next(&mut self, block: &mut Block) -> io::Result<Option<ResyncedGroup>> {
        let mut resynced =
            ResyncedGroup { offset: self.lines.position(), line: self.line, records: 0, verified: false };
        let mut chain = self.chain;
        while let Some(line) = self.lines.next()? {
            let verified =
                stored_seals(&line).find(|&seal| chain.is_some_and(|chain| verifies(chain, &line, seal)));
            let seal = verified.or_else(|| stored_seals(&line).next());
            let value_len = seal.map_or(line.bytes.len(), |(value_len, _)| value_len);
            block.push(line.bytes[..value_len].trim_ascii_end(), line.offset);
            resynced.records += 1;
            self.line += 1;
            if let Some((_, seal)) = seal {
                resynced.verified = verified.is_some();
                self.chain = Some(Chain::from_seal(seal));
                return Ok(Some(resynced));
            }
            if let Some(chain) = &mut chain {
                chain.push(line.bytes);
            }
        }
        Ok((resynced.records > 0).then_some(resynced))
    }
}
