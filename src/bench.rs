//! Not an interface: the parts that `benches/parts.rs` measures, for the feature `_bench`.

#![allow(missing_docs, clippy::must_use_candidate, reason = "for a benchmark only")]

use bytes::Bytes;
use serde::Serialize;

pub use crate::writer::bench::Layout;
use crate::{
    Result, encode,
    format::{Chain, seal},
    recovery,
};

pub fn to_line<R: Serialize>(record: &R) -> Result<Vec<u8>> {
    encode::to_line(record)
}

pub fn checked_line(json: &Bytes) -> Result<Bytes> {
    encode::checked_line(json)
}

pub fn encode_seal(value: u32) -> [u8; 33] {
    seal::encode(value)
}

pub fn decode_seal(bytes: &[u8]) -> Option<u32> {
    seal::decode(bytes)
}

/// The seal of a group's lines.
pub fn seal_of(lines: &[u8]) -> u32 {
    let mut chain = Chain::after(0);
    chain.push(lines);
    chain.seal()
}

/// Records of a segment that verify, if it is one.
pub fn scan_to_end(segment: &[u8]) -> Option<u64> {
    recovery::scan_to_end(segment).ok()?.ok().map(|scanned| scanned.records)
}
