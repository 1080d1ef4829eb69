//! The seal: the checksum trailer of a commit group, 33 bytes of white space that make the group self-delimiting, verifiable
//! and atomic.
//!
//! A seal is one TAB and 32 characters (SP = 0, TAB = 1, most significant bit first): the CRC-32C of the value of the previous
//! seal (4 bytes, little-endian) and the lines of the group with the LFs between them. The chain starts with the CRC-32C of the
//! header line.

/// Length of a seal, in bytes.
pub(crate) const SEAL_LEN: usize = 33;

const ZERO: u8 = b' ';
/// Also the first byte of a seal.
pub(crate) const ONE: u8 = b'\t';

/// Encodes the value of a seal.
pub(crate) fn encode(value: u32) -> [u8; SEAL_LEN] {
    let mut seal = [ONE; SEAL_LEN];
    for (bit, byte) in seal[1..].iter_mut().enumerate() {
        *byte = if value >> (31 - bit) & 1 == 1 { ONE } else { ZERO };
    }
    seal
}

/// Returns the value of the seal that the bytes begin with; `None` if they do not begin with one.
pub(crate) fn decode(bytes: &[u8]) -> Option<u32> {
    let (&lead, bits) = bytes.get(..SEAL_LEN)?.split_first()?;
    if lead != ONE {
        return None;
    }
    let (octets, _) = bits.as_chunks();
    octets.iter().try_fold(0, |value, octet| Some(value << 8 | decode_octet(*octet)?))
}

/// Decodes eight characters into eight bits at once.
fn decode_octet(bytes: [u8; 8]) -> Option<u32> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    /// A multiplier that moves the lowest bits of eight bytes into the uppermost byte, that of the first byte to the left.
    const GATHER: u64 = 0x8040_2010_0804_0201;
    // SP and TAB differ in their lowest bit.
    let bits = u64::from_le_bytes(bytes) & ONES;
    let expected = (ONES * u64::from(ZERO)) ^ (bits * u64::from(ZERO ^ ONE));
    let gathered = bits.wrapping_mul(GATHER) >> 56;
    (u64::from_le_bytes(bytes) == expected).then_some(gathered as u32)
}

/// The running checksum of a segment, from which the next seal is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chain {
    /// CRC-32C of the last seal (or the start of the chain) and of the lines after it.
    running: u32,
    /// Whether a line was pushed after the last seal.
    has_lines: bool,
}

impl Chain {
    /// Returns the chain at the start of a segment with this header line. White space at the end of the line is ignored.
    pub(crate) fn from_header(header: &[u8]) -> Self {
        Self::from_state(crc32c::crc32c(header.trim_ascii_end()))
    }

    /// Returns the chain right after a seal with this value.
    pub(crate) fn from_seal(seal: u32) -> Self {
        Self::from_state(seal)
    }

    fn from_state(seal: u32) -> Self {
        Self { running: crc32c::crc32c(&seal.to_le_bytes()), has_lines: false }
    }

    /// Adds one line, or several lines with the LFs between them.
    pub(crate) fn push(&mut self, lines: &[u8]) {
        if self.has_lines {
            self.running = crc32c::crc32c_append(self.running, &[super::LF]);
        }
        self.running = crc32c::crc32c_append(self.running, lines);
        self.has_lines = true;
    }

    /// Adds bytes as they are in the file, LFs included.
    pub(crate) fn push_raw(&mut self, bytes: &[u8]) {
        self.running = crc32c::crc32c_append(self.running, bytes);
        self.has_lines |= !bytes.is_empty();
    }

    /// Returns the value of the seal of the lines pushed so far.
    pub(crate) fn seal(self) -> u32 {
        self.running
    }
}
