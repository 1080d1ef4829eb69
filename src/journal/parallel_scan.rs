//! Scans a large segment in parts, each on a thread of its own.
//!
//! The thread of a part starts at a seal that it has searched for, which is the only state that it needs. Its result is used only if
//! the scan of the part before arrives at exactly this offset with exactly this seal: a scan from the start would then continue in
//! the same state over the same bytes. Otherwise (white space in a record looks like a seal, or a group before does not verify) the
//! scan of the part before continues to the end of the segment. So the result always equals that of
//! [`scan_from_start`](super::segment_summary::scan_from_start), damage included.

use std::{io, num::NonZero, thread::available_parallelism};

use super::segment_summary::{ResumableSummary, SummaryScan};
use crate::{
    format::scan::{IndexPoint, LineReader, ReadAt},
    format::{HeaderError, LineTrailer, SEAL_LEN, parse_trailer},
    sync::scoped,
};

/// The smallest part: a thread takes longer to start than to verify less. Also how far a seal is searched for. Small in unit tests.
const PART_BYTES: u64 = if cfg!(test) { 4 << 10 } else { 4 << 20 };

/// The maximum number of threads.
const THREADS_MAX: u64 = 8;

/// Reads a segment of this size to its end, on all processors, and also returns where a later scan can resume.
pub(crate) fn scan_in_parallel(
    source: &(impl ReadAt + Sync + ?Sized),
    bytes: u64,
) -> io::Result<Result<ResumableSummary, HeaderError>> {
    let parts = match bytes / PART_BYTES {
        // The number of processors is read from files.
        parts @ 2.. => parts.min(THREADS_MAX).min(available_parallelism().map_or(1, NonZero::get) as u64),
        _ => 1,
    };
    scan_in_parts(source, bytes, parts)
}

fn scan_in_parts(
    source: &(impl ReadAt + Sync + ?Sized),
    bytes: u64,
    parts: u64,
) -> io::Result<Result<ResumableSummary, HeaderError>> {
    let _span = tracing::debug_span!("scan").entered();
    match SummaryScan::open(source)? {
        Ok(scan) => scan_rest(source, scan, bytes, parts).map(Ok),
        Err(fault) => Ok(Err(fault)),
    }
}

/// Reads from the position of a scan to the end, in this number of parts: the first on this thread.
fn scan_rest<S: ReadAt + Sync + ?Sized>(
    source: &S,
    mut scan: SummaryScan<&S>,
    bytes: u64,
    parts: u64,
) -> io::Result<ResumableSummary> {
    let Some(start) = next_part(source, scan.position().offset(), bytes, parts) else {
        return scan.run();
    };
    let header = scan.header();
    scoped::scope(|scope| {
        let scan_next = || scan_rest(source, SummaryScan::at(source, header, start), bytes, parts - 1);
        let next = scoped::Builder::new().name("ministore-reader".into()).spawn_scoped(scope, scan_next);
        let Ok(next) = next else { return scan.run() };
        while scan.position().offset() < start.offset {
            if let Some(end) = scan.step()? {
                return Ok(scan.finish(end));
            }
        }
        if scan.position().index_point() == Some(start)
            // Where a read failed there, this scan continues and returns the error.
            && let Ok(Ok(rest)) = next.join()
            && let Some(joined) = scan.followed_by(rest)
        {
            return Ok(joined);
        }
        scan.run()
    })
}

/// Returns the first seal after the first of `parts` parts between two offsets. It may be part of a record, or damaged.
fn next_part(source: &(impl ReadAt + ?Sized), from: u64, to: u64, parts: u64) -> Option<IndexPoint> {
    if parts <= 1 {
        return None;
    }
    let split = from + to.saturating_sub(from) / parts;
    let mut lines = LineReader::with_limit(source, split, split + PART_BYTES);
    // Where a read fails, a scan from the start will fail, too.
    while let Some(line) = lines.next().ok()? {
        if let (value_len, LineTrailer::Seal(seal)) = parse_trailer(line.bytes)
            && line.has_newline
            && value_len + SEAL_LEN == line.bytes.len()
        {
            return Some(IndexPoint { offset: line.end(), seal });
        }
    }
    None
}

#[cfg(test)]
mod tests;
