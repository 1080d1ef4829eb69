//! The end of a segment on the disk: the close marker, or the line feed after the last record.

use std::io;

use crate::{
    format::{CLOSE_MARKER, LF},
    io::FileHandle,
};

/// Marks a segment as complete: nothing is to be written behind `data_end` any more.
pub(crate) fn close_segment(file: &dyn FileHandle, data_end: u64, sealed: bool) -> io::Result<()> {
    mark_closed(file, data_end, sealed)?;
    file.sync()
}

/// The same, not durable yet.
pub(crate) fn mark_closed(file: &dyn FileHandle, data_end: u64, sealed: bool) -> io::Result<()> {
    let ending: &[u8] = if sealed { &[CLOSE_MARKER, LF] } else { &[LF] };
    put_ending(file, data_end, ending, sealed)
}

/// Cuts everything behind `data_end`, puts `ending` there, and makes it durable.
pub(crate) fn end_in(file: &dyn FileHandle, data_end: u64, ending: &[u8], sealed: bool) -> io::Result<()> {
    put_ending(file, data_end, ending, sealed)?;
    file.sync()
}

fn put_ending(file: &dyn FileHandle, data_end: u64, ending: &[u8], sealed: bool) -> io::Result<()> {
    // A sealed group needs no LF to be whole, so that no reader ever sees a line of padding. A plain line does.
    if sealed {
        file.set_len(data_end)?;
    }
    file.write_at(ending, data_end)?;
    file.set_len(data_end + ending.len() as u64)
}
