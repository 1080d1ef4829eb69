//! Inspects the file prepared as the next segment.

use std::io;

use super::{
    active::{ActiveContent, is_empty_segment},
    decide::NextState,
    last_rotated::LastRotated,
    scan_cache::ScanCache,
};
use crate::{
    format::scan::{Block, ResyncScanner},
    format::{PADDING, header},
    io::{FileHandle, FileSystem, OpenMode},
    journal::file_names::FileNames,
};

/// A whole header lies in the first sector.
const FIRST_SECTOR_BYTES: usize = 512;

/// Inspects the prepared file. `newest` is the newest rotated segment, which it must continue.
pub(super) fn inspect_next(
    fs: &dyn FileSystem,
    names: &FileNames,
    newest: &LastRotated,
    cache: &mut ScanCache,
) -> io::Result<NextState> {
    let file = fs.open(&names.next(), OpenMode::ReadWrite)?;
    if is_without_content(&*file)? {
        return Ok(NextState::Empty);
    }
    let ActiveContent::Segment(summary) = ActiveContent::inspect(&names.next(), &*file, cache)? else {
        let is_stray = any_group_verifies(&*file)?;
        return Ok(if is_stray { NextState::Stray } else { NextState::Unexpected });
    };
    // Without a rotated segment there is nothing to compare: retention may have deleted all of them.
    let is_linked = matches!(newest, LastRotated::Absent)
        || summary.header.link().is_none_or(|link| link.prev_seal == newest.last_seal().unwrap_or(0));
    // No data was acknowledged under this name, so corruption in it does not come from a rotation.
    let corruption = summary.end.tail.filter(|tail| tail.is_corrupt);
    let is_stray = summary.records > 0 || corruption.as_ref().is_some_and(|tail| tail.has_verified_data);
    Ok(match is_linked && corruption.is_none() {
        true => NextState::Valid,
        false if is_stray => NextState::Stray,
        false => NextState::Unexpected,
    })
}

/// Returns whether a commit group of a file without a valid header verifies.
fn any_group_verifies(file: &dyn FileHandle) -> io::Result<bool> {
    let mut resync = ResyncScanner::new(file, 0, 1, None);
    let mut block = Block::default();
    loop {
        match resync.next(&mut block) {
            Ok(Some(group)) if group.verified => return Ok(true),
            Ok(Some(_)) => block.clear(),
            Ok(None) => return Ok(false),
            // A line longer than any record.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Returns whether a prepared file was never used.
pub(crate) fn is_without_content(file: &dyn FileHandle) -> io::Result<bool> {
    Ok(is_empty_segment(file)? || is_unwritten(file)?)
}

/// Returns whether a file contains only padding or a beginning of a header, and zeros: after a power failure the file system shows
/// zeros where the size was durable before the bytes. Only a prepared file can be in this state, because a segment gets the active
/// name only after its bytes are durable.
fn is_unwritten(file: &dyn FileHandle) -> io::Result<bool> {
    let mut buffer = vec![0; 64 << 10];
    let count = file.read_at(&mut buffer[..FIRST_SECTOR_BYTES], 0)?;
    let first_zero = buffer[..count].iter().position(|&byte| byte == 0);
    let mut offset = match first_zero {
        Some(end) if header::is_header_prefix(&buffer[..end]) => end as u64,
        _ => 0,
    };
    loop {
        let count = file.read_at(&mut buffer, offset)?;
        if !buffer[..count].iter().all(|byte| matches!(byte, &PADDING | 0)) {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
        offset += count as u64;
    }
}
