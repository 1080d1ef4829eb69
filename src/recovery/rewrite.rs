//! Rewrites and syncs the last group of a segment before recovery relies on it.

use std::{io, path::Path};

use super::{
    active::{ActiveContent, ActiveFile},
    inspect::JournalState,
    scan_cache::ScanCache,
    truncate::copy_range,
};
use crate::{
    MiniStoreError, Result,
    format::{CLOSE_MARKER, LF},
    io::{FileHandle, FileSystem, OpenMode},
    journal::{file_names::FileNames, segment_summary::SegmentSummary},
};

/// Makes the complete active segment durable, and the end of the newest rotated one. Returns `false` if its last group or that end was
/// lost: the caller inspects the journal again.
pub(super) fn rewrite_and_sync_tail(
    fs: &dyn FileSystem,
    names: &FileNames,
    journal: &JournalState,
    cache: &mut ScanCache,
) -> Result<bool> {
    let Some(ActiveFile { path, file, content: ActiveContent::Segment(summary) }) = &journal.active else {
        return Err(MiniStoreError::MissingInitialState);
    };
    // A journal that was closed had a durable end of its rotated segments. Without a write their times stay as they are.
    if let Some(rotated) = journal.newest_rotated().filter(|_| !summary.end.closed)
        && !rewrite_ending(fs, rotated).map_err(MiniStoreError::file(rotated, "rewrite the end of"))?
    {
        return Ok(false);
    }
    let unchanged = rewrite_last_group(path, &**file, summary, cache)
        .map_err(MiniStoreError::file(path, "rewrite the end of"))?;
    let synced = tracing::debug_span!("sync").in_scope(|| fs.sync_dir(names.dir()));
    synced.map_err(MiniStoreError::file(names.dir(), "sync the directory"))?;
    Ok(unchanged)
}

/// Makes the end of a closed segment durable: its sync may have failed. Such an end is still read from the page cache, but no later sync
/// writes it, and a segment that is not the newest any more must have it. Returns `false` if it was lost before.
fn rewrite_ending(fs: &dyn FileSystem, path: &Path) -> io::Result<bool> {
    let file = fs.open(path, OpenMode::ReadWrite)?;
    let file_end = file.len()?;
    let mut ending = [0; 2];
    let start = file_end.saturating_sub(ending.len() as u64);
    let count = file.read_at(&mut ending, start)?;
    match &ending[..count] {
        [CLOSE_MARKER, LF] => {
            file.write_at(&ending, start)?;
            file.sync()?;
            Ok(true)
        }
        // Without checksums, the LF was durable with the last line.
        [.., LF] => Ok(true),
        _ => Ok(false),
    }
}

/// Makes the last group durable: the crash may have come before its sync, or its sync may have failed. Such a group is still read
/// from the page cache, complete, but no later sync writes it, and a power failure would remove it although groups after it survive.
/// So the group is written again in place, together with the LF before it, which was written with it. (The bytes before that LF were
/// synced earlier.)
///
/// The page cache may have dropped such a group at any time before this write, so the segment is scanned once more: from now on the
/// group does not change. Returns `false` if it was lost. The chain is compared too, because lines without a seal verify whatever
/// they contain.
pub(super) fn rewrite_last_group(
    path: &Path,
    file: &dyn FileHandle,
    summary: &SegmentSummary,
    cache: &mut ScanCache,
) -> io::Result<bool> {
    let SegmentSummary { last_group, ref end, .. } = *summary;
    let start = last_group.min(end.data_end).saturating_sub(1);
    let ending = u64::from(end.has_newline) + u64::from(end.closed);
    tracing::debug_span!("write_again").in_scope(|| {
        copy_range(file, start, end.data_end + ending, file, start)?;
        file.set_len(file.len()?)
    })?;
    tracing::debug_span!("sync").in_scope(|| file.sync())?;
    if end.closed {
        // The data before a close marker was synced before the marker was written.
        return Ok(true);
    }
    Ok(cache.scan(path, file)?.is_ok_and(|SegmentSummary { end: rescanned, .. }| {
        (rescanned.data_end, rescanned.chain) == (end.data_end, end.chain)
    }))
}

/// Makes the prepared segment durable before it gets the active name. Returns `false` if its last group was lost.
pub(super) fn sync_next(fs: &dyn FileSystem, names: &FileNames, cache: &mut ScanCache) -> io::Result<bool> {
    let path = names.next();
    let file = fs.open(&path, OpenMode::ReadWrite)?;
    match cache.scan(&path, &*file)? {
        Ok(summary) => rewrite_last_group(&path, &*file, &summary, cache),
        Err(_) => Ok(false),
    }
}
