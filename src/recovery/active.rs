//! Inspects the active segment.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{decide::ActiveState, scan_cache::ScanCache};
use crate::{
    MiniStoreError, Result,
    format::scan::{LineReader, SegmentEnd, Tail, has_magic},
    format::{ChainLink, HeaderError, PADDING, header},
    io::{FileHandle, FileSystem, OpenMode},
    journal::segment_summary::{SegmentSummary, check_plain_lines},
};

/// The active segment, as found.
#[derive(Debug)]
pub(super) struct ActiveFile {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn FileHandle>,
    pub(super) content: ActiveContent,
}

/// The content of a segment file.
#[derive(Debug)]
pub(super) enum ActiveContent {
    /// Only padding, or an incomplete header.
    Empty,
    /// No valid header.
    Invalid(HeaderError),
    Segment(SegmentSummary),
}

impl ActiveFile {
    pub(super) fn inspect(fs: &dyn FileSystem, path: PathBuf, cache: &mut ScanCache) -> Result<Self> {
        let file = fs.open(&path, OpenMode::ReadWrite).map_err(MiniStoreError::file(&path, "open"))?;
        let content =
            ActiveContent::inspect(&path, &*file, cache).map_err(MiniStoreError::file(&path, "read"))?;
        Ok(Self { path, file, content })
    }

    pub(super) fn link(&self) -> Option<ChainLink> {
        match &self.content {
            ActiveContent::Segment(summary) => summary.header.link(),
            _ => None,
        }
    }

    pub(super) fn state(&self) -> ActiveState {
        match &self.content {
            ActiveContent::Empty => ActiveState::Empty,
            ActiveContent::Invalid(_) => ActiveState::Invalid,
            ActiveContent::Segment(SegmentSummary { end: SegmentEnd { tail: None, .. }, .. }) => {
                ActiveState::Clean
            }
            ActiveContent::Segment(SegmentSummary { end: SegmentEnd { tail: Some(tail), .. }, .. }) => {
                match tail {
                    Tail { is_corrupt: false, .. } => ActiveState::Torn,
                    Tail { has_verified_data: true, .. } => ActiveState::Corrupt,
                    _ => ActiveState::CorruptEnd,
                }
            }
        }
    }
}

impl ActiveContent {
    pub(super) fn inspect(path: &Path, file: &dyn FileHandle, cache: &mut ScanCache) -> io::Result<Self> {
        if file.len()? == 0 {
            return Ok(Self::Empty);
        }
        match cache.scan(path, file)? {
            Ok(mut summary) => {
                if !summary.is_checksummed() {
                    check_plain_lines(file, &mut summary.records, &mut summary.end)?;
                }
                Ok(Self::Segment(summary))
            }
            Err(_) if is_empty_segment(file)? => Ok(Self::Empty),
            Err(error) => Ok(Self::Invalid(error)),
        }
    }
}

/// Returns whether a file has only padding, or an incomplete header.
pub(super) fn is_empty_segment(file: &dyn FileHandle) -> io::Result<bool> {
    let _span = tracing::debug_span!("scan").entered();
    let mut first = [0];
    if file.read_at(&mut first, 0)? > 0 && first[0] != PADDING && !has_magic(file)? {
        return Ok(false);
    }
    let mut lines = LineReader::new(file, 0);
    let is_empty = lines.next()?.is_none_or(|line| {
        !line.has_newline && (line.bytes.trim_ascii().is_empty() || header::is_torn_header(line.bytes))
    });
    Ok(is_empty)
}
