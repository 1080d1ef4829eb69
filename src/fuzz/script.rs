//! Bytes of a fuzzer as instructions: segments made by the rules, and the many ways to spoil them.

use crate::format::{CLOSE_MARKER, Chain, ChainLink, Header, LF, PADDING, seal};

/// Reads instructions; where the bytes are used up everything is 0.
#[derive(Debug)]
pub(super) struct Script<'a> {
    bytes: &'a [u8],
}

impl<'a> Script<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// A number below `limit`, or 0.
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

/// A segment that is being made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) bytes: Vec<u8>,
    pub(super) records: u64,
    /// Of the last group; 0 for none.
    pub(super) last_seal: u32,
}

/// A segment as the engine (or the original) leaves it, or nearly so.
pub(super) fn segment(script: &mut Script<'_>, link: ChainLink, closed: bool) -> Made {
    let header = match script.byte() % 8 {
        0 => Header::Plain,
        1 => Header::Sealed(ChainLink { first: script.number().max(1), prev: link.prev }),
        _ => Header::Sealed(link),
    };
    let mut bytes = header.encode();
    let mut chain = Chain::from_header(&bytes);
    let (mut records, mut last_seal) = (0, 0);
    for _ in 0..script.byte() % 6 {
        let kind = script.byte();
        for _ in 0..1 + kind % 3 {
            let line = value(script);
            bytes.push(LF);
            bytes.extend_from_slice(&line);
            chain.push(&line);
            records += 1;
        }
        if kind & 0x70 != 0 {
            last_seal = chain.seal();
            chain = Chain::from_seal(last_seal);
            bytes.extend_from_slice(&seal::encode(last_seal));
        }
    }
    let ending = script.byte();
    match if closed && ending < 200 { 2 } else { ending % 6 } {
        0 => {}
        1 => bytes.push(LF),
        2 | 3 => bytes.extend_from_slice(&[CLOSE_MARKER, LF]),
        4 => bytes.resize(bytes.len() + script.below(9000), PADDING),
        _ => bytes.resize(bytes.len() + script.below(9000), 0),
    }
    Made { bytes, records, last_seal }
}

/// What may stand on a line: most often JSON.
fn value(script: &mut Script<'_>) -> Vec<u8> {
    let kind = script.byte();
    match kind % 12 {
        0 => script.number().to_string().into_bytes(),
        1 => b"{\"a\":1}".to_vec(),
        2 => format!("[\"{}\"]", "x".repeat(script.below(6000))).into_bytes(),
        3 => format!("[{}0]", " ".repeat(script.below(1200))).into_bytes(),
        4 => [&b"[0,"[..], &seal::encode(script.number() as u32), b"1]"].concat(),
        5 => [vec![b'['; 200], vec![b']'; 200]].concat(),
        6 => Vec::new(),
        7 => {
            let count = script.below(40);
            script.take(count).iter().copied().filter(|&byte| byte != LF).collect()
        }
        8 => b"\"\xff\"\r".to_vec(),
        _ => format!("\"r{kind}\"").into_bytes(),
    }
}

/// Spoils bytes in up to three ways, or leaves them as they are.
pub(super) fn spoil(script: &mut Script<'_>, bytes: &mut Vec<u8>) {
    for _ in 0..script.byte() % 4 {
        let (kind, at) = (script.byte(), script.below(bytes.len() + 1));
        let range = at..(at + 1 + script.below(700)).min(bytes.len()).max(at);
        match kind % 13 {
            0 => flip(bytes, at, script.byte()),
            1 => set(bytes, at, b"\n\t \0}\r\"1"[script.below(8)]),
            2 => drop(bytes.drain(range)),
            3 => drop(bytes.splice(at..at, script.take(usize::from(kind) / 13).to_vec())),
            4 => {
                let copy = bytes[range].to_vec();
                let to = script.below(bytes.len() + 1);
                drop(bytes.splice(to..to, copy));
            }
            5 => bytes[range].fill(0),
            6 => bytes[range].fill(PADDING),
            7 => bytes.truncate(at),
            8 => sector(bytes, at, if kind & 0x80 == 0 { 0 } else { PADDING }),
            9 => swap_lines(bytes, at),
            10 => *bytes = as_an_editor_saves(bytes, kind / 13),
            11 => bytes.resize(bytes.len() + script.below(3000), b" \0\tx"[usize::from(kind) / 13 % 4]),
            _ => drop(bytes.splice(at..at, seal::encode(script.number() as u32))),
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

/// A sector that was not written.
fn sector(bytes: &mut [u8], at: usize, fill: u8) {
    let start = at / 512 * 512;
    let end = (start + 512).min(bytes.len());
    bytes[start.min(end)..end].fill(fill);
}

/// The line at `at` goes behind the next one.
fn swap_lines(bytes: &mut Vec<u8>, at: usize) {
    let mut lines: Vec<Vec<u8>> = bytes.split(|&byte| byte == LF).map(<[u8]>::to_vec).collect();
    let index = bytes[..at].iter().filter(|&&byte| byte == LF).count();
    if index + 1 < lines.len() {
        lines.swap(index, index + 1);
    }
    *bytes = lines.join(&LF);
}

fn as_an_editor_saves(bytes: &[u8], kind: u8) -> Vec<u8> {
    let lines = bytes.split(|&byte| byte == LF);
    match kind % 5 {
        0 => lines.collect::<Vec<_>>().join(&b"\r\n"[..]),
        1 => lines.map(<[u8]>::trim_ascii_end).collect::<Vec<_>>().join(&LF),
        2 => bytes.iter().map(|&byte| if byte == b'\t' { b' ' } else { byte }).collect(),
        3 => [b"\xef\xbb\xbf", bytes].concat(),
        _ => [bytes, b"\n"].concat(),
    }
}
