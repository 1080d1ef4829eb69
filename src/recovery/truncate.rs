//! Truncates the tail of a segment, and saves a copy of it.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::TruncatedTail;
use crate::{
    MiniStoreError, Result,
    format::LF,
    format::scan::Tail,
    io::{FileHandle, FileSystem, OpenMode},
    journal::ownership::conflicting_file,
    journal::{close_segment::write_ending, file_names::FileNames, segment_summary::SegmentSummary},
};

/// Bytes copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// Truncates the tail that does not verify, after a copy of it is durable.
pub(super) fn truncate_tail(
    fs: &dyn FileSystem,
    names: &FileNames,
    path: &Path,
    file: &dyn FileHandle,
    summary: &SegmentSummary,
) -> Result<Option<TruncatedTail>> {
    let Some(tail) = &summary.end.tail else { return Ok(None) };
    let saved_to = if tail.bytes > 0 {
        let copy = free_name(fs, names, tail.offset)?;
        save_tail(fs, names, file, tail, &copy).map_err(MiniStoreError::file(&copy, "write"))?;
        Some(copy)
    } else {
        None
    };
    write_ending(file, summary.end.data_end, &[LF], summary.is_checksummed())
        .map_err(MiniStoreError::file(path, "truncate"))?;
    let (offset, bytes, reason) = (tail.offset, tail.bytes, tail.reason.to_owned());
    let saved_path = saved_to.as_deref().map(Path::display).map(tracing::field::display);
    tracing::warn!(segment = %path.display(), offset, bytes, reason, saved_to = saved_path, "truncated torn tail");
    Ok(saved_to.map(|saved_to| TruncatedTail {
        segment: path.into(),
        offset,
        bytes,
        saved_to: Some(saved_to),
        reason,
    }))
}

/// Copies the tail to a new file, durably.
fn save_tail(
    fs: &dyn FileSystem,
    names: &FileNames,
    file: &dyn FileHandle,
    tail: &Tail,
    copy: &Path,
) -> io::Result<()> {
    let copy_file = fs.open(copy, OpenMode::CreateNew)?;
    copy_range(file, tail.offset, tail.offset + tail.bytes, &*copy_file, 0)?;
    copy_file.sync()?;
    fs.sync_dir(names.dir())
}

/// Copies the bytes from `start` to `end` of a file to offset `at` of another.
pub(super) fn copy_range(
    from: &dyn FileHandle,
    start: u64,
    end: u64,
    to: &dyn FileHandle,
    at: u64,
) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES.min(end.saturating_sub(start) as usize)];
    let mut done = 0;
    while start + done < end {
        let want = buffer.len().min((end - start - done) as usize);
        let count = from.read_at(&mut buffer[..want], start + done)?;
        if count == 0 {
            break;
        }
        to.write_at(&buffer[..count], at + done)?;
        done += count as u64;
    }
    Ok(())
}

/// Returns an unused file name for the bytes truncated at `offset`.
pub(super) fn free_name(fs: &dyn FileSystem, names: &FileNames, offset: u64) -> Result<PathBuf> {
    for path in (0..).map(|copy| names.truncated(offset, copy)) {
        if conflicting_file(fs, &path).map_err(MiniStoreError::file(&path, "stat"))?.is_none() {
            return Ok(path);
        }
    }
    Ok(names.truncated(offset, u32::MAX))
}
