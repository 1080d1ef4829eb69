//! What follows a complete member of a compressed file: another member, padding, or the end.

use std::io::{self, BufRead};

use super::fault::{Compression, InputFault};

/// Returns whether another member follows. Zero bytes up to the end are padding, as tapes and block devices add it.
pub(super) fn has_next_member(
    source: &mut impl BufRead,
    compression: Compression,
    is_member: impl Fn(&[u8]) -> bool,
) -> io::Result<bool> {
    let start = source.fill_buf()?;
    if start.is_empty() {
        return Ok(false);
    }
    if start.first() != Some(&0) {
        return if is_member(start) { Ok(true) } else { Err(InputFault::TrailingData(compression).into()) };
    }
    loop {
        let padding = source.fill_buf()?;
        if padding.iter().any(|&byte| byte != 0) {
            return Err(InputFault::TrailingData(compression).into());
        }
        let length = padding.len();
        if length == 0 {
            return Ok(false);
        }
        source.consume(length);
    }
}
