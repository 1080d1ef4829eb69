//! Writes the end of a segment: the close marker, or the LF after the last record of a segment without checksums.

use std::io;

use crate::{
    format::{CLOSE_MARKER, LF},
    io::FileHandle,
};

/// Closes a segment: truncates it at `data_end` and writes its end. It is durable when this returns.
pub(crate) fn close_segment(file: &dyn FileHandle, data_end: u64, checksummed: bool) -> io::Result<()> {
    mark_closed(file, data_end, checksummed)?;
    file.sync()
}

/// Does the same as [`close_segment`], without a sync.
pub(crate) fn mark_closed(file: &dyn FileHandle, data_end: u64, checksummed: bool) -> io::Result<()> {
    let ending: &[u8] = if checksummed { &[CLOSE_MARKER, LF] } else { &[LF] };
    replace_tail(file, data_end, ending, checksummed)
}

/// Truncates a segment at `data_end` and writes `ending` there. It is durable when this returns.
pub(crate) fn write_ending(
    file: &dyn FileHandle,
    data_end: u64,
    ending: &[u8],
    checksummed: bool,
) -> io::Result<()> {
    replace_tail(file, data_end, ending, checksummed)?;
    file.sync()
}

fn replace_tail(file: &dyn FileHandle, data_end: u64, ending: &[u8], checksummed: bool) -> io::Result<()> {
    // With checksums the file is truncated first, so that no reader sees a line of padding. A line without a seal is
    // complete only with its LF, so there the LF is written before the padding is truncated.
    if checksummed {
        file.set_len(data_end)?;
    }
    file.write_at(ending, data_end)?;
    file.set_len(data_end + ending.len() as u64)
}
