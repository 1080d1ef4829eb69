//! The parts of the crate that `benches/parts.rs` measures. No interface for users.

#![allow(missing_docs, clippy::must_use_candidate, reason = "for a benchmark only")]

use std::{hint::black_box, path::Path, time::Instant};

use bytes::Bytes;
use serde::Serialize;

use crate::{
    BackendKind, JournalOptions, Result, Stats,
    format::encode,
    format::{Chain, DataEnd, GroupLayout, encode_group, seal},
    io::{BLOCK_BYTES, CommitBuffer},
    stats::{Counters, Gauges, GroupSample},
};

pub fn to_line<R: Serialize>(record: &R) -> Result<Vec<u8>> {
    encode::to_line(record)
}

pub fn validate_line(json: &Bytes) -> Result<Bytes> {
    encode::validate_line(json)
}

pub fn encode_seal(value: u32) -> [u8; 33] {
    seal::encode(value)
}

pub fn decode_seal(bytes: &[u8]) -> Option<u32> {
    seal::decode(bytes)
}

/// Returns the seal of a group's lines.
pub fn seal_of(lines: &[u8]) -> u32 {
    let mut chain = Chain::from_seal(0);
    chain.push(lines);
    chain.seal()
}

/// Returns the number of records that verify; `None` if the bytes are not a segment.
pub fn scan_to_end(segment: &[u8]) -> Option<u64> {
    crate::journal::segment_summary::scan_to_end(segment).ok()?.ok().map(|scanned| scanned.records)
}

/// Encodes groups as they are written with direct I/O.
#[derive(Debug)]
pub struct GroupEncoder {
    buffer: CommitBuffer,
    start: DataEnd,
}

impl Default for GroupEncoder {
    fn default() -> Self {
        let (buffer, start) = (CommitBuffer::with_capacity(256 << 10), DataEnd::after_header(b""));
        Self { buffer, start }
    }
}

impl GroupEncoder {
    /// Encodes a group, and returns its length.
    pub fn group(&mut self, lines: &[&[u8]]) -> usize {
        let layout = GroupLayout { checksummed: true, padded_to: Some(BLOCK_BYTES) };
        self.buffer.clear();
        encode_group(&mut self.buffer, self.start, layout, lines.iter().copied());
        self.buffer.bytes().len()
    }
}

/// The counters of a store.
#[derive(Debug)]
pub struct StatsCounters(Counters);

impl StatsCounters {
    pub fn new() -> Result<Self> {
        Counters::new(Path::new("j"), &JournalOptions::new()).map(Self)
    }

    /// Counts a group as the writer does: two clock reads (at the first append of the group and at its end) and the
    /// counters. The writer needs the clock reads for other reasons, too.
    pub fn group(&self, records: u64, json_bytes: u64) {
        let opened = black_box(Instant::now());
        let end = black_box(Instant::now());
        let took = end - opened;
        self.0.record_group(&GroupSample { records, json_bytes, queue_wait: took, encode: took, sync: took });
        self.0.record_notify(took);
    }

    pub fn read(&self) -> Stats {
        let backend = BackendKind::Blocking;
        self.0.snapshot(Gauges { backend, durable_seq: 0, queue_bytes: 0, poisoned: false })
    }
}
