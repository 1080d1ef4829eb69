//! A fuzzer's bytes as instructions: valid segments, and many ways to damage them.

use crate::format::{
    CLOSE_MARKER, ChainLink, DataEnd, GroupLayout, LF, PADDING, SegmentHeader, encode_group, seal,
};

/// Reads instructions. After the last byte every number is 0.
#[derive(Debug)]
pub(super) struct Generator<'a> {
    bytes: &'a [u8],
}

impl<'a> Generator<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// Returns a number below `limit`, or 0.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        let number = usize::from(self.byte()) << 8 | usize::from(self.byte());
        number.checked_rem(limit).unwrap_or(0)
    }

    pub(super) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(count.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }

    pub(super) fn number(&mut self) -> u64 {
        let mut number = [0; 8];
        let taken = self.take(8);
        number[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(number)
    }
}

#[derive(Debug)]
pub(super) struct GeneratedSegment {
    pub(super) bytes: Vec<u8>,
    pub(super) records: u64,
    /// The seal of the last group; 0 for none.
    pub(super) last_seal: u32,
}

/// Generates a segment as the engine or `ministore` 0.1.7 writes it, or nearly so.
pub(super) fn segment(generator: &mut Generator<'_>, link: ChainLink, closed: bool) -> GeneratedSegment {
    let header = match generator.byte() % 8 {
        0 => SegmentHeader::Plain,
        1 => SegmentHeader::Checksummed(ChainLink {
            first_seq: generator.number().max(1),
            prev_seal: link.prev_seal,
        }),
        2..5 => SegmentHeader::Json(link),
        _ => SegmentHeader::Checksummed(link),
    };
    let mut bytes = header.encode();
    let mut end = DataEnd::after_header(&bytes);
    let mut records = 0;
    for _ in 0..generator.byte() % 6 {
        let kind = generator.byte();
        let lines: Vec<Vec<u8>> = (0..1 + kind % 3).map(|_| value(generator)).collect();
        records += lines.len() as u64;
        let layout = GroupLayout { checksummed: kind & 0x70 != 0, padded_to: None };
        end = encode_group(&mut bytes, end, layout, lines.iter().map(Vec::as_slice)).data_end;
        bytes.truncate(end.offset as usize);
    }
    let last_seal = end.last_seal.unwrap_or(0);
    let ending = generator.byte();
    match if closed && ending < 200 { 2 } else { ending % 6 } {
        0 => {}
        1 => bytes.push(LF),
        2 | 3 => bytes.extend_from_slice(&[CLOSE_MARKER, LF]),
        4 => bytes.resize(bytes.len() + generator.below(9000), PADDING),
        _ => bytes.resize(bytes.len() + generator.below(9000), 0),
    }
    GeneratedSegment { bytes, records, last_seal }
}

/// Generates the value of a line: in most cases JSON.
fn value(generator: &mut Generator<'_>) -> Vec<u8> {
    let kind = generator.byte();
    match kind % 12 {
        0 => generator.number().to_string().into_bytes(),
        1 => b"{\"a\":1}".to_vec(),
        2 => format!("[\"{}\"]", "x".repeat(generator.below(6000))).into_bytes(),
        3 => format!("[{}0]", " ".repeat(generator.below(1200))).into_bytes(),
        4 => [&b"[0,"[..], &seal::encode(generator.number() as u32), b"1]"].concat(),
        5 => [vec![b'['; 200], vec![b']'; 200]].concat(),
        6 => Vec::new(),
        7 => {
            let count = generator.below(40);
            generator.take(count).iter().copied().filter(|&byte| byte != LF).collect()
        }
        8 => b"\"\xff\"\r".to_vec(),
        _ => format!("\"r{kind}\"").into_bytes(),
    }
}

/// Damages bytes in up to three ways, or not at all.
pub(super) fn damage(generator: &mut Generator<'_>, bytes: &mut Vec<u8>) {
    for _ in 0..generator.byte() % 4 {
        let (kind, at) = (generator.byte(), generator.below(bytes.len() + 1));
        let range = at..(at + 1 + generator.below(700)).min(bytes.len()).max(at);
        match kind % 13 {
            0 => flip(bytes, at, generator.byte()),
            1 => set(bytes, at, b"\n\t \0}\r\"1"[generator.below(8)]),
            2 => drop(bytes.drain(range)),
            3 => drop(bytes.splice(at..at, generator.take(usize::from(kind) / 13).to_vec())),
            4 => {
                let copy = bytes[range].to_vec();
                let to = generator.below(bytes.len() + 1);
                drop(bytes.splice(to..to, copy));
            }
            5 => bytes[range].fill(0),
            6 => bytes[range].fill(PADDING),
            7 => bytes.truncate(at),
            8 => fill_sector(bytes, at, if kind & 0x80 == 0 { 0 } else { PADDING }),
            9 => swap_lines(bytes, at),
            10 => *bytes = rewrite_as_an_editor(bytes, kind / 13),
            11 => bytes.resize(bytes.len() + generator.below(3000), b" \0\tx"[usize::from(kind) / 13 % 4]),
            _ => drop(bytes.splice(at..at, seal::encode(generator.number() as u32))),
        }
    }
}

fn flip(bytes: &mut [u8], at: usize, bits: u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= bits.max(1);
    }
}

fn set(bytes: &mut [u8], at: usize, to: u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = to;
    }
}

/// Overwrites a sector, as if it had not been written.
fn fill_sector(bytes: &mut [u8], at: usize, fill: u8) {
    let start = at / 512 * 512;
    let end = (start + 512).min(bytes.len());
    bytes[start.min(end)..end].fill(fill);
}

fn swap_lines(bytes: &mut Vec<u8>, at: usize) {
    let mut lines: Vec<Vec<u8>> = bytes.split(|&byte| byte == LF).map(<[u8]>::to_vec).collect();
    let index = bytes[..at].iter().filter(|&&byte| byte == LF).count();
    if index + 1 < lines.len() {
        lines.swap(index, index + 1);
    }
    *bytes = lines.join(&LF);
}

/// Rewrites the bytes as a text editor may save them.
fn rewrite_as_an_editor(bytes: &[u8], kind: u8) -> Vec<u8> {
    let lines = bytes.split(|&byte| byte == LF);
    match kind % 5 {
        0 => lines.collect::<Vec<_>>().join(&b"\r\n"[..]),
        1 => lines.map(<[u8]>::trim_ascii_end).collect::<Vec<_>>().join(&LF),
        2 => bytes.iter().map(|&byte| if byte == b'\t' { b' ' } else { byte }).collect(),
        3 => [b"\xef\xbb\xbf", bytes].concat(),
        _ => [bytes, b"\n"].concat(),
    }
}
