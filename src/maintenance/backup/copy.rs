//! Makes a verified, durable copy of one segment: a hard link, a reflink, or a copy of its bytes.

use std::{io, path::Path, sync::Arc};

use rustix::io::Errno;

use super::{
    Sharing, Transfer,
    compare::has_same_bytes,
    pieces::{CopyMethod, LinkEnds},
};
use crate::{
    MiniStoreError, Result,
    format::{HeaderError, SegmentHeader},
    io::{FileHandle, OpenMode, is_at},
    journal::{
        chain::closing_seal,
        close_segment::mark_closed,
        older_copy::read_full,
        segment_summary::{SegmentSummary, check_plain_lines, scan_to_end},
    },
};

/// Bytes copied at a time.
const COPY_BYTES: usize = 1 << 20;

impl Transfer {
    /// Makes a copy of a segment, verifies it, and gives it the name `staged`. `is_final`: no writer writes to it any more.
    pub(super) fn stage(
        &self,
        path: &Path,
        file: &Arc<dyn FileHandle>,
        staged: &Path,
        is_final: bool,
    ) -> Result<(CopyMethod, LinkEnds)> {
        let part = self.to.staged_part();
        let made = self.make(path, file, &part, is_final).and_then(|method| {
            let summary = self.verify_copy(path, file, &part)?;
            self.fs.rename(&part, staged).map_err(MiniStoreError::file(&part, "rename"))?;
            let first = summary.header.link().map(|link| link.first_seq);
            let next_seq = first.map(|first| first + summary.records);
            Ok((method, LinkEnds { header: summary.header, last_seal: summary.end.last_seal, next_seq }))
        });
        if made.is_err() {
            // Best effort: the disk may be full, and the next call removes it.
            let _ = self.fs.remove(&part);
        }
        made
    }

    fn make(
        &self,
        path: &Path,
        file: &Arc<dyn FileHandle>,
        part: &Path,
        is_final: bool,
    ) -> Result<CopyMethod> {
        let fail_read = || MiniStoreError::file(path, "read");
        // A rotated segment that is closed never changes again.
        let is_closed = is_final && closing_seal(&**file).map_err(fail_read())?.is_some();
        let summary = if is_closed { None } else { Some(scan_sound(path, file)?) };
        let is_complete = summary.as_ref().is_none_or(|found| is_final && is_closed_plain(found));
        if is_complete && self.sharing == Sharing::Inodes && self.link(path, file, part)? {
            return Ok(CopyMethod::Linked);
        }
        if is_complete && self.sharing != Sharing::Nothing && self.reflink(path, part)? {
            return Ok(CopyMethod::Reflinked);
        }
        let end = summary.as_ref().filter(|_| !is_complete).map(|found| found.end.data_end);
        let len = end.map_or_else(|| file.len(), Ok).map_err(fail_read())?;
        if !is_complete {
            // A commit is read from the page cache before it is durable: the backup must not have records that a power
            // failure could still remove from the journal.
            file.sync_data().map_err(MiniStoreError::file(path, "sync"))?;
        }
        let copy = self.fs.open(part, OpenMode::CreateNew).map_err(MiniStoreError::file(part, "create"))?;
        copy_bytes((path, &**file), (part, &*copy), len)?;
        if let Some(summary) = summary.filter(|_| !is_complete) {
            mark_closed(&*copy, len, summary.is_checksummed())
                .map_err(MiniStoreError::file(part, "write"))?;
        }
        let bytes = copy.len().map_err(MiniStoreError::file(part, "stat"))?;
        Ok(CopyMethod::Copied { bytes })
    }

    /// Links a segment; returns `false` where that is not possible.
    fn link(&self, path: &Path, file: &Arc<dyn FileHandle>, part: &Path) -> Result<bool> {
        match self.fs.link(path, part) {
            Err(error) if is_link_refused(&error) => Ok(false),
            Err(error) => Err(MiniStoreError::file(part, "link")(error)),
            // The link of a symbolic link is another one.
            Ok(()) if is_at(&*self.fs, part, &**file).map_err(MiniStoreError::file(part, "stat"))? => {
                Ok(true)
            }
            Ok(()) => self.remove(part).map(|()| false),
        }
    }

    /// Makes a reflink; returns `false` where that is not possible.
    fn reflink(&self, path: &Path, part: &Path) -> Result<bool> {
        match self.fs.clone_file(path, part) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(false),
            cloned => cloned.map(|()| true).map_err(MiniStoreError::file(part, "reflink")),
        }
    }

    /// Syncs a copy, reads it back and verifies it.
    fn verify_copy(&self, path: &Path, file: &Arc<dyn FileHandle>, part: &Path) -> Result<SegmentSummary> {
        let fail = |action| MiniStoreError::file(part, action);
        let copy = self.open(part)?;
        copy.sync().map_err(fail("sync"))?;
        // So that it is read from the disk.
        copy.drop_page_cache(0, copy.len().map_err(fail("stat"))?);
        if let Ok(summary) = scan_to_end(&copy).map_err(fail("read"))?
            && summary.end.tail.is_none()
            && (summary.end.closed || is_closed_plain(&summary))
            && (summary.is_checksummed()
                || has_same_bytes(&*copy, &**file, summary.end.data_end).map_err(fail("compare"))?)
        {
            return Ok(summary);
        }
        // The journal is damaged, or the copy is.
        scan_sound(path, file)?;
        let text = "what was written is not what is read back";
        Err(fail("verify")(io::Error::new(io::ErrorKind::InvalidData, text)))
    }
}

/// Reads a segment of the journal to its end.
///
/// # Errors
///
/// [`MiniStoreError::Corrupt`] if acknowledged data in it does not verify.
fn scan_sound(path: &Path, file: &Arc<dyn FileHandle>) -> Result<SegmentSummary> {
    let fail = || MiniStoreError::file(path, "read");
    let corrupt = |offset, line, seq, reason| {
        Err(MiniStoreError::Corrupt { segment: path.into(), offset, line, seq, reason })
    };
    let mut summary = match scan_to_end(file).map_err(fail())? {
        Ok(summary) => summary,
        Err(HeaderError::BadMagic) => return Err(MiniStoreError::MissingInitialState),
        Err(error) => return corrupt(0, 1, None, error.to_string()),
    };
    if summary.header == SegmentHeader::Plain && summary.end.last_seal.is_none() {
        check_plain_lines(file, &mut summary.records, &mut summary.end).map_err(fail())?;
    }
    match &summary.end.tail {
        Some(tail) if tail.is_corrupt => {
            let seq = summary.header.link().map(|link| link.first_seq + summary.records);
            corrupt(tail.offset, tail.line, seq, tail.reason.into())
        }
        _ => Ok(summary),
    }
}

/// Returns whether a segment without checksums is complete.
fn is_closed_plain(summary: &SegmentSummary) -> bool {
    let end = &summary.end;
    !summary.is_checksummed() && end.tail.is_none() && end.has_newline && end.file_end == end.data_end + 1
}

/// Copies the first bytes of a file. Each file is named with its path.
fn copy_bytes(
    (from_path, from): (&Path, &dyn FileHandle),
    (to_path, to): (&Path, &dyn FileHandle),
    len: u64,
) -> Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut offset = 0;
    while offset < len {
        let wanted = (len - offset).min(COPY_BYTES as u64) as usize;
        let count = read_full(from, &mut buffer[..wanted], offset);
        let count = count.map_err(MiniStoreError::file(from_path, "read"))?;
        if count == 0 {
            let error = io::ErrorKind::UnexpectedEof.into();
            return Err(MiniStoreError::file(from_path, "read")(error));
        }
        to.write_at(&buffer[..count], offset).map_err(MiniStoreError::file(to_path, "write"))?;
        offset += count as u64;
    }
    Ok(())
}

/// Returns whether an error says that there can be no hard link: other file systems, too many links, files of another
/// user that the kernel protects.
fn is_link_refused(error: &io::Error) -> bool {
    const REFUSED: [Errno; 5] = [Errno::XDEV, Errno::MLINK, Errno::PERM, Errno::OPNOTSUPP, Errno::NOSYS];
    Errno::from_io_error(error).is_some_and(|errno| REFUSED.contains(&errno))
}
