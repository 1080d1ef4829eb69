//! Encoding a group as the bytes that are written to the segment.

use crate::{
    format::{Chain, LF, PADDING, seal},
    io::CommitBuffer,
    seeded_bugs::{Bug, seeded},
};

/// A group as it is encoded in the buffer.
#[derive(Debug, Clone, Copy)]
pub(in crate::commit::writer) struct EncodedGroup {
    /// The offset after its seal, or after its last plain line.
    pub(super) data_end: u64,
    /// The offset after all bytes that are written with it.
    pub(in crate::commit::writer) end: u64,
    pub(super) chain: Chain,
    pub(super) last_seal: Option<u32>,
}

/// The state of the segment before a group: where the buffer starts, and what the group's seal continues.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupStart {
    pub(super) base: u64,
    pub(super) chain: Chain,
    pub(super) last_seal: Option<u32>,
}

/// The parameters by which all groups of a segment are encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupEncoding {
    pub(super) checksummed: bool,
    pub(super) preallocate: bool,
    /// The encoded bytes end at a multiple of this, if the segment is preallocated.
    pub(super) block: u64,
}

impl GroupEncoding {
    /// Appends `LF lines seal` to `buffer`, then padding up to the end of the block, or an LF if the segment is not
    /// preallocated.
    pub(super) fn encode_group<'a>(
        self,
        buffer: &mut CommitBuffer,
        start: GroupStart,
        lines: impl Iterator<Item = &'a [u8]>,
    ) -> EncodedGroup {
        let GroupStart { base, mut chain, mut last_seal } = start;
        let mut lines_start = buffer.len() + 1;
        for line in lines {
            buffer.extend(&[LF]);
            buffer.extend(line);
            if seeded(Bug::SplitBatch)
                && self.checksummed
                && let Some(first_len) = line.iter().position(|byte| *byte == LF)
            {
                buffer.truncate(buffer.len() - line.len() + first_len);
                chain.push(&buffer.bytes()[lines_start..]);
                let value = chain.seal();
                chain = Chain::from_seal(value);
                buffer.extend(&seal::encode(value));
                lines_start = buffer.len() + 1;
                buffer.extend(&line[first_len..]);
            }
        }
        if buffer.len() >= lines_start {
            chain.push(&buffer.bytes()[lines_start..]);
            if self.checksummed {
                let value = chain.seal();
                buffer.extend(&seal::encode(value));
                chain = Chain::from_seal(value);
                last_seal = Some(value);
            }
        }
        let data_end = base + buffer.len() as u64;
        if self.preallocate {
            pad_to_multiple(buffer, base, self.block);
        } else {
            buffer.extend(&[LF]);
        }
        EncodedGroup { data_end, end: base + buffer.len() as u64, chain, last_seal }
    }
}

/// Pads the buffer, which starts at offset `base`, up to an offset that is a multiple of `align`. Then the padding
/// after the data is whole in every block that is written. Returns the number of bytes added.
pub(super) fn pad_to_multiple(buffer: &mut CommitBuffer, base: u64, align: u64) -> u64 {
    let data_end = base + buffer.len() as u64;
    let end = data_end.next_multiple_of(align);
    buffer.fill_to((end - base) as usize, PADDING);
    end - data_end
}
