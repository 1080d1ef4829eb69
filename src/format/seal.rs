//! Seals: 33 bytes of white space that make a commit group self-delimiting, verifiable and atomic.
//!
//! A seal is one TAB, then 32 characters, SP = 0 and TAB = 1, most significant bit first: the CRC-32C of the
//! previous seal's value (4 bytes, little-endian) and the group's lines with the LFs between them. The chain
//! starts with the CRC-32C of the header line.

use crate::planted::{Bug, planted};

/// Bytes of a seal on disk.
pub(crate) const SEAL_LEN: usize = 33;

const ZERO: u8 = b' ';
/// Also what a seal begins with.
pub(crate) const ONE: u8 = b'\t';

/// A seal's value as it stands on disk.
pub(crate) fn encode(value: u32) -> [u8; SEAL_LEN] {
    let mut seal = [ONE; SEAL_LEN];
    for (bit, byte) in seal[1..].iter_mut().enumerate() {
        *byte = if value >> (31 - bit) & 1 == 1 { ONE } else { ZERO };
    }
    seal
}

/// The value of a seal, or `None` where the bytes do not begin with one.
pub(crate) fn decode(bytes: &[u8]) -> Option<u32> {
    let (&lead, bits) = bytes.get(..SEAL_LEN)?.split_first()?;
    if lead != ONE {
        return None;
    }
    let (eights, _) = bits.as_chunks();
    eights.iter().try_fold(0, |value, eight| Some(value << 8 | decode_eight(*eight)?))
}

/// Eight of its bits at once.
fn decode_eight(bytes: [u8; 8]) -> Option<u32> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    /// Moves the lowest bits of eight bytes, the first byte's to the left, into the uppermost byte.
    const GATHER: u64 = 0x8040_2010_0804_0201;
    // The two differ in their lowest bit, among others.
    let bits = u64::from_le_bytes(bytes) & EACH;
    let expected = (EACH * u64::from(ZERO)) ^ (bits * u64::from(ZERO ^ ONE));
    let gathered = bits.wrapping_mul(GATHER) >> 56;
    (u64::from_le_bytes(bytes) == expected).then_some(gathered as u32)
}

/// The running state of a segment's seals: what the next seal will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chain {
    /// CRC-32C of the last seal (or the start of the chain) and of the lines since.
    running: u32,
    /// Whether there are lines since.
    open: bool,
}

impl Chain {
    /// The chain of a segment with this header line (without white space at its end).
    pub(crate) fn from_header(header: &[u8]) -> Self {
        let of_header = crc32c::crc32c(header.trim_ascii_end());
        Self::from_state(if planted(Bug::ChainWithoutHeader) { 0 } else { of_header })
    }

    /// The chain right after a seal of this value.
    pub(crate) fn from_seal(seal: u32) -> Self {
        Self::from_state(if planted(Bug::SealWithoutChain) { 0 } else { seal })
    }

    fn from_state(seal: u32) -> Self {
        Self { running: crc32c::crc32c(&seal.to_le_bytes()), open: false }
    }

    /// Adds one line, or several with the LFs between them.
    pub(crate) fn push(&mut self, lines: &[u8]) {
        if self.open {
            self.running = crc32c::crc32c_append(self.running, &[super::LF]);
        }
        self.running = crc32c::crc32c_append(self.running, lines);
        self.open = true;
    }

    /// Adds bytes as they stand in the file, LFs included.
    pub(crate) fn push_raw(&mut self, bytes: &[u8]) {
        self.running = crc32c::crc32c_append(self.running, bytes);
        self.open |= !bytes.is_empty();
    }

    /// The seal of the lines pushed so far.
    pub(crate) fn seal(self) -> u32 {
        self.running
    }
}
