//! Older copies of rotated segments: a copy of a live journal that is made file by file can contain the active segment, copied
//! first, and also the rotated segment that it became. The first one contains nothing that the second one does not.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::segment_summary::scan_to_end;
use crate::{
    format::{CLOSE_MARKER, ChainLink, LF, PADDING, SegmentHeader, scan::read_header},
    io::{FileHandle, FileSystem},
};

/// Bytes compared at a time.
const COMPARE_BYTES: usize = 64 << 10;

/// Returns the rotated segment of which `file`, whose header has this link, is an older copy.
pub(crate) fn find_original(
    fs: &dyn FileSystem,
    file: &dyn FileHandle,
    link: ChainLink,
    rotated: &[(u64, PathBuf)],
) -> io::Result<Option<PathBuf>> {
    for (_, path) in rotated.iter().rev() {
        let Some(original) = fs.open_if_exists(path)? else { continue };
        match read_header(&*original)?.ok().and_then(SegmentHeader::link) {
            Some(other) if other == link => {
                return Ok(is_older_copy(file, &*original)?.then(|| path.clone()));
            }
            Some(other) if other.first_seq < link.first_seq => return Ok(None),
            _ => {}
        }
    }
    Ok(None)
}

/// Returns whether each byte of `file` is the one that `original`, which verifies, has at that offset, or was not written yet.
pub(crate) fn is_older_copy(file: &dyn FileHandle, original: &dyn FileHandle) -> io::Result<bool> {
    let data_end = match scan_to_end(original)? {
        Ok(summary) if summary.end.tail.is_none() => summary.end.data_end,
        _ => return Ok(false),
    };
    let (mut ours, mut theirs) = (vec![0; COMPARE_BYTES], vec![0; COMPARE_BYTES]);
    let mut offset = 0;
    loop {
        let count = read_full(file, &mut ours, offset)?;
        if count == 0 {
            return Ok(true);
        }
        let common = count.min(data_end.saturating_sub(offset).min(COMPARE_BYTES as u64) as usize);
        if read_full(original, &mut theirs[..common], offset)? < common {
            return Ok(false);
        }
        let is_unwritten = |byte: &u8| matches!(byte, &PADDING | 0);
        let is_ending = |byte: &u8| is_unwritten(byte) || matches!(byte, &LF | &CLOSE_MARKER);
        let mut pairs = ours[..common].iter().zip(&theirs[..common]);
        if !pairs.all(|(ours, theirs)| ours == theirs || is_unwritten(ours))
            || !ours[common..count].iter().all(is_ending)
        {
            return Ok(false);
        }
        offset += count as u64;
    }
}

/// Fills the buffer, except at the end of the file.
pub(crate) fn read_full(file: &dyn FileHandle, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut count = 0;
    while count < into.len() {
        match file.read_at(&mut into[count..], offset + count as u64)? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}

/// Says what a file is that [`find_original`] found the original of.
pub(crate) fn older_copy_reason(original: &Path) -> String {
    format!(
        "it is an older copy of {}, which has all its records: 'ministore repair' moves it aside",
        original.display()
    )
}
