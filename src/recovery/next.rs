//! Inspects the file prepared as the next segment.

use std::io;

use super::{
    active::{ActiveContent, is_empty_segment},
    decide::NextState,
    last_rotated::LastRotated,
    scan_cache::ScanCache,
};
use crate::{
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
    if is_empty_segment(&*file)? || is_unwritten(&*file)? {
        return Ok(NextState::Empty);
    }
    let ActiveContent::Segment(summary) = ActiveContent::inspect(&names.next(), &*file, cache)? else {
        return Ok(NextState::Unexpected);
    };
    // Without a rotated segment there is nothing to compare: retention may have deleted all of them.
    let is_linked = matches!(newest, LastRotated::Absent)
        || summary.header.link().is_none_or(|link| link.prev_seal == newest.last_seal().unwrap_or(0));
    // No data was acknowledged under this name, so corruption in it does not come from a rotation.
    let is_corrupt = summary.end.tail.is_some_and(|tail| tail.is_corrupt);
    Ok(if is_linked && !is_corrupt { NextState::Valid } else { NextState::Unexpected })
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
