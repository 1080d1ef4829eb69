//! The files of a journal, as a follower finds them in one listing.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::live_segment::LiveSegment;
use crate::{
    MiniStoreError, Result,
    format::scan::{ScanMode, Scanner, has_magic, last_newline_before, read_header},
    format::{HeaderError, SegmentHeader, header::MAGIC_BYTES_MAX},
    io::{FileHandle, FileSystem, OpenMode},
    journal::{
        legacy::{Numbering, count_back},
        segment_summary::scan_to_end,
    },
};

/// The maximum length of a header, in bytes.
const HEADER_BYTES_MAX: u64 = 4096;

/// The files of a journal at the time of one listing.
pub(super) struct SegmentFiles {
    pub(super) fs: Arc<dyn FileSystem>,
    /// Oldest first.
    pub(super) rotated: Vec<(u64, PathBuf)>,
    pub(super) active: Option<(PathBuf, Arc<dyn FileHandle>)>,
    pub(super) newest: u64,
}

/// A file of the journal, whose header was read.
#[derive(Debug)]
pub(super) struct SegmentFile {
    path: PathBuf,
    file: Arc<dyn FileHandle>,
    pub(super) header: SegmentHeader,
    pub(super) number: u64,
}

impl SegmentFiles {
    /// Opens the segment that contains `from_seq`, or will; for 0, the oldest segment.
    pub(super) fn open_first(&mut self, path: &Path, from_seq: u64) -> Result<Option<LiveSegment>> {
        if from_seq > 0 {
            for index in (0..=self.rotated.len()).rev() {
                let Some(file) = self.open(index)? else { continue };
                if file.header.link().is_some_and(|link| link.first_seq <= from_seq) {
                    return file.open(None);
                }
            }
        }
        let Some((index, file)) = self.oldest()? else { return Ok(None) };
        let first = match file.header.link() {
            Some(link) => link.first_seq,
            None => self.first_of_plain(index)?,
        };
        if from_seq > 0 && first > from_seq {
            return Err(MiniStoreError::Trimmed { path: path.to_path_buf(), first_seq: first });
        }
        file.open(Some(first))
    }

    /// Returns the segment after this file number and `true`, or the newest segment and whether it follows that number.
    pub(super) fn after(&mut self, number: u64) -> Result<(Option<SegmentFile>, bool)> {
        // Rotation skips the numbers of files that are not the journal's.
        let next = self.rotated.iter().position(|(other, _)| *other > number);
        let follows = next.is_some() || self.newest == number;
        Ok((self.open(next.unwrap_or(self.rotated.len()))?, follows))
    }

    fn oldest(&mut self) -> Result<Option<(usize, SegmentFile)>> {
        for index in 0..=self.rotated.len() {
            if let Some(file) = self.open(index)? {
                return Ok(Some((index, file)));
            }
        }
        Ok(None)
    }

    /// Returns the sequence number of the oldest record.
    pub(super) fn first_seq(&mut self) -> Result<Option<u64>> {
        let Some((index, file)) = self.oldest()? else { return Ok(None) };
        let stated = file.header.link().map(|link| link.first_seq);
        stated.map_or_else(|| self.first_of_plain(index), Ok).map(Some)
    }

    /// Returns the segment whose header states that it starts with this record.
    pub(super) fn starting_with(&mut self, seq: u64) -> Result<Option<SegmentFile>> {
        for index in (0..=self.rotated.len()).rev() {
            let file = self.open(index)?;
            if let Some(file) =
                file.filter(|file| file.header.link().is_some_and(|link| link.first_seq == seq))
            {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    /// Opens one of the files; `None` where it was deleted or has no header yet.
    fn open(&mut self, index: usize) -> Result<Option<SegmentFile>> {
        let (path, file, number, rotated) = match self.rotated.get(index) {
            Some((number, path)) => match self.fs.open(path, OpenMode::ReadOnly) {
                Ok(file) => (path.clone(), file, *number, true),
                // Retention deletes the oldest segments at any time.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(MiniStoreError::file(path, "open")(error)),
            },
            None => match &self.active {
                Some((path, file)) => (path.clone(), Arc::clone(file), self.newest + 1, false),
                None => return Ok(None),
            },
        };
        let failed = |error| MiniStoreError::file(path.as_path(), "read")(error);
        let header = read_header(&*file).map_err(failed)?;
        // Another process may be creating the active segment.
        if !rotated && has_partial_header(&*file, header.as_ref().ok().copied()).map_err(failed)? {
            return Ok(None);
        }
        match header {
            Ok(header) => Ok(Some(SegmentFile { path, file, header, number })),
            // The journal has several files: `Corrupt` names this one, `MissingInitialState` would not.
            Err(error) if rotated => Err(header_error(&path, HeaderError::Corrupt(error.to_string()))),
            Err(error) => Err(header_error(&path, error)),
        }
    }

    /// Returns the sequence number of the first record of a plain segment.
    fn first_of_plain(&mut self, index: usize) -> Result<u64> {
        count_back((index..=self.rotated.len()).map(|index| {
            let Some(file) = self.open(index)? else { return Ok(Numbering::Counted(0)) };
            if let Some(link) = file.header.link() {
                return Ok(Numbering::Stated(link.first_seq));
            }
            let summary = scan_to_end(&file.file).map_err(MiniStoreError::file(&file.path, "read"))?;
            Ok(Numbering::Counted(summary.map_or(0, |summary| summary.records)))
        }))
    }
}

/// Returns whether the file contains only a part of a header. A plain header is a prefix of a checksummed one, so it is
/// complete only with its LF.
fn has_partial_header(file: &dyn FileHandle, header: Option<SegmentHeader>) -> io::Result<bool> {
    let len = file.len()?;
    match header {
        Some(SegmentHeader::Plain) => Ok(last_newline_before(file, 0, len.min(HEADER_BYTES_MAX))?.is_none()),
        Some(SegmentHeader::Checksummed(_) | SegmentHeader::Json(_)) => Ok(false),
        None => Ok(len == 0 || (len < MAGIC_BYTES_MAX as u64 && has_magic(file)?)),
    }
}

impl SegmentFile {
    /// Opens the segment for following. Its first sequence number is the one in its header, otherwise `first_seq`.
    pub(super) fn open(self, first_seq: Option<u64>) -> Result<Option<LiveSegment>> {
        let opened = Scanner::open(Arc::clone(&self.file), ScanMode::VerifyOnly)
            .map_err(MiniStoreError::file(&self.path, "read"))?;
        let scanner = opened.map_err(|error| header_error(&self.path, error))?;
        let stated = scanner.header().link().map(|link| link.first_seq);
        let first_seq = stated.or(first_seq).unwrap_or(1);
        let start = (scanner.header(), scanner.position());
        Ok(Some(LiveSegment::new(self.path.into(), self.file, start, self.number, first_seq)))
    }

    pub(super) fn damage(&self, reason: &str) -> MiniStoreError {
        header_error(&self.path, HeaderError::Corrupt(reason.into()))
    }
}

fn header_error(path: &Path, error: HeaderError) -> MiniStoreError {
    match error {
        HeaderError::BadMagic => MiniStoreError::MissingInitialState,
        HeaderError::Corrupt(reason) => {
            MiniStoreError::Corrupt { segment: path.into(), offset: 0, line: 1, seq: None, reason }
        }
    }
}
