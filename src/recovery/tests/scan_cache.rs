//! Repeated scans of a segment during one recovery: where they start, and that they agree with a full scan.

use std::{io, path::Path, sync::Mutex};

use crate::{
    format::scan::ReadAt,
    format::testing::{FIRST, SegmentBytes},
    io::FileHandle,
    journal::file_names::FileNames,
    journal::segment_summary::{SegmentSummary, scan_to_end},
    recovery::{ScanCache, decide::Step},
};

/// A file that records the lowest offset of its reads.
#[derive(Debug, Default)]
struct RecordingFile {
    bytes: Vec<u8>,
    lowest: Mutex<Option<u64>>,
}

impl ReadAt for RecordingFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut lowest = self.lowest.lock().unwrap();
        *lowest = Some(lowest.map_or(offset, |lowest| lowest.min(offset)));
        self.bytes.as_slice().read_at(into, offset)
    }
}

impl FileHandle for RecordingFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

impl RecordingFile {
    fn take_lowest(&self) -> Option<u64> {
        self.lowest.lock().unwrap().take()
    }

    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    /// Scans the file; returns the summary, and the lowest offset that was read.
    fn scan(&self, cache: &mut ScanCache) -> (SegmentSummary, u64) {
        let summary = cache.scan(name(), self).unwrap().unwrap();
        (summary, self.take_lowest().unwrap())
    }
}

fn name() -> &'static Path {
    Path::new("/journal/j")
}

fn groups(count: usize) -> SegmentBytes {
    (0..count).fold(SegmentBytes::new(FIRST), |segment, nth| {
        segment.group(&[format!("{{\"nth\":{nth}}}"), "\"more\"".into()])
    })
}

/// Returns the summary as text, for comparison.
fn describe(summary: &SegmentSummary) -> String {
    format!("{summary:?}")
}

#[test]
fn repeated_scan_starts_before_last_two_groups() {
    let file = RecordingFile::new(groups(9).padded(5000));
    let mut cache = ScanCache::default();
    let (first, start) = file.scan(&mut cache);
    assert_eq!((first.records, start), (18, 0));
    for _ in 0..3 {
        let (again, start) = file.scan(&mut cache);
        assert_eq!(describe(&again), describe(&first));
        assert_eq!(start, groups(7).data_end() as u64 + 1, "after the LF before the last two groups");
    }
}

#[test]
fn repeated_scan_detects_lost_unsynced_bytes() {
    let whole = groups(5).padded(1200);
    let (durable, data_end) = (groups(4).data_end(), groups(5).data_end());
    let lost = |from: usize, to: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[from..to].fill(byte);
        bytes
    };
    let mut variants = vec![whole.clone()];
    // The LF before the last group was written with it.
    for at in durable..data_end {
        variants.extend([lost(at, data_end, b' '), lost(durable, at + 1, b' ')]);
        variants.extend([lost(at, data_end, 0), lost(at, whole.len(), 0), lost(at, at + 1, b'?')]);
        variants.push(whole[..at].to_vec());
    }
    variants.extend([lost(data_end, whole.len(), 0), lost(data_end + 700, whole.len(), 0)]);
    variants.push(groups(4).closed());
    variants.push(groups(6).ended());
    for bytes in variants {
        let mut cache = ScanCache::default();
        RecordingFile::new(whole.clone()).scan(&mut cache);
        let expected = scan_to_end(bytes.as_slice()).unwrap().unwrap();
        for _ in 0..2 {
            let (found, _) = RecordingFile::new(bytes.clone()).scan(&mut cache);
            assert_eq!(describe(&found), describe(&expected), "{}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn repeated_scan_of_less_data_reads_from_start() {
    let mut cache = ScanCache::default();
    RecordingFile::new(groups(5).padded(99)).scan(&mut cache);
    let (found, start) = RecordingFile::new(groups(4).padded(400)).scan(&mut cache);
    assert_eq!((found.records, start), (8, 0));
}

#[test]
fn scan_of_replaced_file_reads_from_start() {
    let dir = tempfile::tempdir().unwrap();
    let names = FileNames::resolve(&*crate::io::os_file_system(), &dir.path().join("j")).unwrap();
    for (step, path, is_invalidated) in [
        (Step::PromoteNext, names.active(), true),
        (Step::CreateActive, names.active(), true),
        (Step::WriteHeader, names.active(), true),
        (Step::PromoteNext, names.next(), true),
        (Step::RemoveNext, names.next(), true),
        (Step::QuarantineNext, names.next(), true),
        (Step::RemoveNext, names.active(), false),
        (Step::TruncateActive, names.active(), false),
        (Step::CloseRotated, names.rotated(1), false),
    ] {
        let file = RecordingFile::new(groups(5).padded(99));
        let mut cache = ScanCache::default();
        for _ in 0..2 {
            cache.scan(&path, &file).unwrap().unwrap();
        }
        cache.invalidate(step, &names);
        file.take_lowest();
        cache.scan(&path, &file).unwrap().unwrap();
        assert_eq!(file.take_lowest() == Some(0), is_invalidated, "{step:?}, {}", path.display());
    }
}
