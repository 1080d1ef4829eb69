//! Truncates the tail of a segment, and saves a copy of it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::TruncatedTail;
use crate::{
    MiniStoreError, Result,
    format::LF,
    format::scan::Tail,
    io::{FileHandle, FileSystem, OpenMode},
    journal::{
        close_segment::write_ending,
        file_names::FileNames,
        older_copy::read_full,
        ownership::{conflicting_file, remove_own},
        segment_summary::SegmentSummary,
    },
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
    let saved_to = if tail.bytes > 0 { Some(save_tail(fs, names, file, tail)?) } else { None };
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

/// Copies the tail to a new file, durably; returns its name. If an earlier open saved the same bytes and then failed, that copy is
/// used: an open that fails again and again leaves one.
fn save_tail(fs: &dyn FileSystem, names: &FileNames, file: &dyn FileHandle, tail: &Tail) -> Result<PathBuf> {
    let mut number = 0;
    let copy = loop {
        let copy = names.truncated(tail.offset, number);
        let taken = conflicting_file(fs, &copy).map_err(MiniStoreError::file(&copy, "stat"))?;
        if taken.is_none() {
            break copy;
        }
        let saved = if taken.as_ref() == Some(&copy) { saved_copy(fs, file, tail, &copy) } else { Ok(None) };
        if let Some(saved) = saved.map_err(MiniStoreError::file(&copy, "read"))? {
            let synced = saved.sync().and_then(|()| fs.sync_dir(names.dir()));
            synced.map_err(MiniStoreError::file(&copy, "sync"))?;
            return Ok(copy);
        }
        number += 1;
    };
    let fail = || MiniStoreError::file(&copy, "write");
    let copy_file = fs.open(&copy, OpenMode::CreateNew).map_err(fail())?;
    let written = copy_range(file, tail.offset, tail.offset + tail.bytes, &*copy_file, 0)
        .and_then(|()| copy_file.sync())
        .and_then(|()| fs.sync_dir(names.dir()));
    if let Err(error) = written {
        // The segment still has all its bytes. Best effort: an incomplete copy helps no reader.
        let _ = remove_own(fs, &copy, &*copy_file);
        return Err(fail()(error));
    }
    Ok(copy)
}

/// Opens a copy of the tail that an earlier open saved. Returns `None` if the file has other bytes.
fn saved_copy(
    fs: &dyn FileSystem,
    file: &dyn FileHandle,
    tail: &Tail,
    copy: &Path,
) -> io::Result<Option<Arc<dyn FileHandle>>> {
    let Some(saved) = fs.open_if_exists(copy)? else { return Ok(None) };
    if saved.len()? != tail.bytes {
        return Ok(None);
    }
    let buffer_bytes = COPY_BYTES.min(tail.bytes as usize);
    let (mut ours, mut theirs) = (vec![0; buffer_bytes], vec![0; buffer_bytes]);
    let mut done = 0;
    while done < tail.bytes {
        let count = (tail.bytes - done).min(buffer_bytes as u64) as usize;
        let ours_read = read_full(file, &mut ours[..count], tail.offset + done)?;
        let theirs_read = read_full(&*saved, &mut theirs[..count], done)?;
        if ours_read != count || theirs_read != count || ours[..count] != theirs[..count] {
            return Ok(None);
        }
        done += count as u64;
    }
    Ok(Some(saved))
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
