//! Writes durable padding, so that commits overwrite existing blocks and their syncs need no metadata update.

use std::io;

use super::job::PageCache;
use crate::{format::PADDING, io::FileHandle};

/// Bytes of padding per write and sync. A commit's sync may have to wait for one such sync, so it bounds that wait.
const PADDING_BYTES: usize = 1 << 20;

/// Pads an active segment from `from` to `to`, after truncating it at `truncate_at`. Returns `to`. On an error the
/// padding is truncated again.
pub(super) fn extend(
    file: &dyn FileHandle,
    truncate_at: Option<u64>,
    from: u64,
    to: u64,
    page_cache: PageCache,
) -> io::Result<u64> {
    if let Some(end) = truncate_at {
        file.set_len(end)?;
    }
    match pad(file, from, to, page_cache) {
        Ok(()) => Ok(to),
        Err(error) => {
            file.set_len(from)?;
            Err(error)
        }
    }
}

/// Writes padding from `from` to `to`. It is durable when this returns.
pub(super) fn pad(file: &dyn FileHandle, from: u64, to: u64, page_cache: PageCache) -> io::Result<()> {
    let padding = vec![PADDING; PADDING_BYTES.min((to.saturating_sub(from)) as usize)];
    let mut at = from;
    while at < to {
        let count = (padding.len() as u64).min(to - at) as usize;
        file.write_at(&padding[..count], at)?;
        file.sync()?;
        if page_cache == PageCache::Drop {
            file.drop_page_cache(at, count as u64);
        }
        at += count as u64;
    }
    Ok(())
}
