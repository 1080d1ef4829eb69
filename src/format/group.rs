//! Encoding a commit group: `LF lines seal`, then padding or an LF.

use super::{Chain, LF, PADDING, SEAL_LEN, seal};

/// The end of the data of a segment, where the next group is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DataEnd {
    /// The offset after the last seal, or after the last plain line.
    pub(crate) offset: u64,
    /// The checksum that the next seal continues.
    pub(crate) chain: Chain,
    /// The value of the last seal of the segment.
    pub(crate) last_seal: Option<u32>,
}

impl DataEnd {
    /// Returns the end of the data of a segment that has only this header line.
    pub(crate) fn after_header(header: &[u8]) -> Self {
        Self { offset: header.len() as u64, chain: Chain::from_header(header), last_seal: None }
    }

    /// Returns the end of the data after a seal of the lines up to here.
    pub(crate) fn after_seal(self) -> Self {
        let value = self.chain.seal();
        Self { offset: self.offset + SEAL_LEN as u64, chain: Chain::from_seal(value), last_seal: Some(value) }
    }
}

/// How the groups of a segment are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupLayout {
    /// Whether a group ends in a seal.
    pub(crate) checksummed: bool,
    /// If set, padding follows up to a multiple of this offset; otherwise one LF.
    pub(crate) padded_to: Option<u64>,
}

/// The bytes in which a group is encoded.
pub(crate) trait GroupBuffer {
    fn bytes(&self) -> &[u8];
    fn extend(&mut self, bytes: &[u8]);
    /// Appends `byte` until there are `len` bytes.
    fn fill_to(&mut self, len: usize, byte: u8);
}

/// A group as it is encoded in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EncodedGroup {
    /// The end of the data, once the group is written.
    pub(crate) data_end: DataEnd,
    /// The offset after all bytes that are written with the group.
    pub(crate) end: u64,
}

/// Encodes a group after the bytes in `buffer`, which end at `start`. Each of `pieces` is one line, or several lines with
/// the LFs between them. Without pieces, nothing but the padding or the LF is added.
pub(crate) fn encode_group<'a>(
    buffer: &mut impl GroupBuffer,
    start: DataEnd,
    layout: GroupLayout,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> EncodedGroup {
    let base = start.offset - buffer.bytes().len() as u64;
    let lines_start = buffer.bytes().len() + 1;
    let DataEnd { mut chain, mut last_seal, .. } = start;
    for piece in pieces {
        buffer.extend(&[LF]);
        buffer.extend(piece);
    }
    if buffer.bytes().len() >= lines_start {
        chain.push(&buffer.bytes()[lines_start..]);
        if layout.checksummed {
            let value = chain.seal();
            buffer.extend(&seal::encode(value));
            (chain, last_seal) = (Chain::from_seal(value), Some(value));
        }
    }
    let offset = base + buffer.bytes().len() as u64;
    match layout.padded_to {
        Some(align) => drop(pad_to_multiple(buffer, base, align)),
        None => buffer.extend(&[LF]),
    }
    let data_end = DataEnd { offset, chain, last_seal };
    EncodedGroup { data_end, end: base + buffer.bytes().len() as u64 }
}

/// Pads a buffer that starts at offset `base` up to an offset that is a multiple of `align`. Returns the number of bytes
/// added.
pub(crate) fn pad_to_multiple(buffer: &mut impl GroupBuffer, base: u64, align: u64) -> u64 {
    let data_end = base + buffer.bytes().len() as u64;
    let end = data_end.next_multiple_of(align);
    buffer.fill_to((end - base) as usize, PADDING);
    end - data_end
}

impl GroupBuffer for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn fill_to(&mut self, len: usize, byte: u8) {
        self.resize(len, byte);
    }
}
