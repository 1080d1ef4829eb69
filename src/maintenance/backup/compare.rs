//! Compares files of a journal with those of its backup.

use std::io;

use crate::{
    format::scan::read_header,
    io::FileHandle,
    journal::{chain::closing_seal, older_copy::read_full, segment_summary::scan_to_end},
};

/// Bytes compared at a time.
const COMPARE_BYTES: usize = 256 << 10;

/// Returns whether two files are the same segment: closed, of the same header, size and last seal; or, where one is not
/// closed, byte for byte.
pub(super) fn is_same_segment(one: &dyn FileHandle, other: &dyn FileHandle) -> io::Result<bool> {
    let len = one.len()?;
    if other.len()? != len || read_header(one)? != read_header(other)? {
        return Ok(false);
    }
    match (closing_seal(one)?, closing_seal(other)?) {
        (Some(one), Some(other)) => Ok(one == other),
        _ => has_same_bytes(one, other, len),
    }
}

/// Returns whether two files have the same content.
pub(super) fn is_same_content(one: &dyn FileHandle, other: &dyn FileHandle) -> io::Result<bool> {
    let len = one.len()?;
    Ok(other.len()? == len && has_same_bytes(one, other, len)?)
}

/// Returns whether every record of `older`, which verifies, is at the same place in `newer`.
pub(super) fn is_prefix(older: &dyn FileHandle, newer: &dyn FileHandle) -> io::Result<bool> {
    match scan_to_end(older)? {
        Ok(summary) if summary.end.tail.is_none() => has_same_bytes(older, newer, summary.end.data_end),
        _ => Ok(false),
    }
}

/// Compares the first bytes of two files.
pub(super) fn has_same_bytes(one: &dyn FileHandle, other: &dyn FileHandle, len: u64) -> io::Result<bool> {
    let (mut ours, mut theirs) = (vec![0; COMPARE_BYTES], vec![0; COMPARE_BYTES]);
    let mut offset = 0;
    while offset < len {
        let count = (len - offset).min(COMPARE_BYTES as u64) as usize;
        let (ours, theirs) = (&mut ours[..count], &mut theirs[..count]);
        if read_full(one, ours, offset)? < count
            || read_full(other, theirs, offset)? < count
            || ours != theirs
        {
            return Ok(false);
        }
        offset += count as u64;
    }
    Ok(true)
}
