//! Makes verified, durable copies of segments, under names that no journal uses.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::io::Errno;

use super::{
    Sharing, Transfer,
    compare::{has_same_bytes, is_same_content, is_same_segment},
    existing::ExistingFiles,
    pieces::{CopyMethod, LinkEnds, Piece},
};
use crate::{
    MiniStoreError, Result,
    format::{Header, HeaderError, scan::read_header},
    io::{FileHandle, OpenMode, is_at},
    journal::{
        chain::closing_seal,
        close_segment::mark_closed,
        file_names::RotatedSegments,
        older_copy::read_full,
        segment_set::SegmentSet,
        segment_summary::{SegmentSummary, check_plain_lines, scan_to_end},
    },
    recovery::is_without_content,
};

/// Bytes copied at a time.
const COPY_BYTES: usize = 1 << 20;

impl Transfer {
    /// Stages every segment of the journal that the target lacks, the newest first: retention deletes the oldest, so
    /// those that are left are without a gap. Returns the segments of the finished target, oldest first.
    pub(super) fn stage_all(&self, mut source: SegmentSet, existing: &ExistingFiles) -> Result<Vec<Piece>> {
        self.renumber(&mut source.rotated, existing)?;
        let complete =
            |path: &Path| source.rotated.iter().any(|(number, _)| self.to.staged(Some(*number)) == path);
        self.remove_staged(|path| !complete(path))?;
        let mut pieces = Vec::new();
        if let Some((path, file)) = &source.active
            && !is_without_content(&**file).map_err(MiniStoreError::file(path, "read"))?
        {
            pieces.push(self.stage_active(path, file, source.rotated.len(), existing)?);
        }
        for (place, (number, path)) in source.rotated.iter().enumerate().rev() {
            let opened = self.fs.open_if_exists(path).map_err(MiniStoreError::file(path, "open"))?;
            // Retention has deleted it, and those before it. If it has not, the check of the chain finds the gap.
            let Some(file) = opened else { continue };
            pieces.push(self.stage_rotated(*number, place, path, &file, existing)?);
        }
        let numbers: HashSet<Option<u64>> = pieces.iter().map(|piece| piece.number).collect();
        for (number, path) in &existing.rotated {
            if !numbers.contains(&Some(*number)) {
                let file = self.open(path)?;
                pieces.push(Piece {
                    number: Some(*number),
                    place: None,
                    origin: path.clone(),
                    target: path.clone(),
                    staged: None,
                    method: CopyMethod::Kept,
                    link: LinkEnds::read(path, &*file)?,
                });
            }
        }
        pieces.sort_by_key(|piece| piece.number.unwrap_or(u64::MAX));
        Ok(pieces)
    }

    /// Replaces the numbers of the journal's segments by those of the backup. They differ after retention has deleted every
    /// rotated segment of a journal and it was opened again: its numbers start again from 1.
    fn renumber(&self, rotated: &mut RotatedSegments, existing: &ExistingFiles) -> Result<()> {
        let Some((newest, path)) = existing.rotated.last_key_value() else { return Ok(()) };
        let Header::Checksummed(link) = LinkEnds::read(path, &*self.open(path)?)?.header else {
            return Ok(());
        };
        let is_newest = |path: &Path| -> Result<bool> {
            let opened = self.fs.open_if_exists(path).map_err(MiniStoreError::file(path, "open"))?;
            let header = opened.map(read_header).transpose().map_err(MiniStoreError::file(path, "read"))?;
            Ok(header.is_some_and(|header| header == Ok(Header::Checksummed(link))))
        };
        let mut same = None;
        for (number, path) in rotated.iter().rev() {
            if is_newest(path)? {
                same = Some(*number);
                break;
            }
        }
        let Some((oldest, _)) = rotated.first() else { return Ok(()) };
        let shift = match same {
            Some(number) => i128::from(*newest) - i128::from(number),
            None => (i128::from(*newest) + 1 - i128::from(*oldest)).max(0),
        };
        for (number, _) in rotated {
            *number = u64::try_from(i128::from(*number) + shift).unwrap_or(u64::MAX);
        }
        Ok(())
    }

    fn stage_active(
        &self,
        path: &Path,
        file: &Arc<dyn FileHandle>,
        place: usize,
        existing: &ExistingFiles,
    ) -> Result<Piece> {
        let staged = self.to.staged(None);
        let (mut method, link) = self.stage(path, file, &staged, false)?;
        let mut staged = Some(staged);
        if let (Some((_, old)), Some(new)) = (&existing.active, &staged)
            && is_same_content(&**old, &*self.open(new)?).map_err(MiniStoreError::file(new, "read"))?
        {
            self.remove(new)?;
            (method, staged) = (CopyMethod::Kept, None);
        }
        let (origin, target) = (path.to_path_buf(), self.to.active());
        Ok(Piece { number: None, place: Some(place), origin, target, staged, method, link })
    }

    fn stage_rotated(
        &self,
        number: u64,
        place: usize,
        path: &Path,
        file: &Arc<dyn FileHandle>,
        existing: &ExistingFiles,
    ) -> Result<Piece> {
        let old = existing.rotated.get(&number);
        let new_target = || match self.from.number_of(path) {
            Some(own) if own == number => self.to.rotated_with_digits(number, self.from.digits_of(path)),
            _ => self.to.rotated(number),
        };
        let piece = |staged: Option<PathBuf>, method, link| Piece {
            number: Some(number),
            place: Some(place),
            origin: path.to_path_buf(),
            target: old.cloned().unwrap_or_else(new_target),
            staged,
            method,
            link,
        };
        if let Some(old) = old
            && self.is_copy_of(file, old)?
        {
            return Ok(piece(None, CopyMethod::Kept, LinkEnds::read(path, &**file)?));
        }
        let staged = self.to.staged(Some(number));
        let is_staged = self.fs.id_at(&staged).map_err(MiniStoreError::file(&staged, "stat"))?.is_some();
        if is_staged && self.is_copy_of(file, &staged)? {
            // An interrupted call has verified it.
            return Ok(piece(Some(staged), CopyMethod::Kept, LinkEnds::read(path, &**file)?));
        }
        if is_staged {
            self.remove(&staged)?;
        }
        let (method, link) = self.stage(path, file, &staged, true)?;
        let is_shared = |old| is_at(&*self.fs, old, &**file).map_err(MiniStoreError::file(old, "stat"));
        if let Some(old) = old
            && !is_shared(old)?
            && self.is_copy_of(&self.open(&staged)?, old)?
        {
            // The journal has not closed it, and the backup has.
            self.remove(&staged)?;
            return Ok(piece(None, CopyMethod::Kept, link));
        }
        Ok(piece(Some(staged), method, link))
    }

    /// Returns whether a file is a copy of a segment, of a kind that is wanted.
    fn is_copy_of(&self, file: &Arc<dyn FileHandle>, copy: &Path) -> Result<bool> {
        let other = self.open(copy)?;
        let is_copy = || match file.id()? {
            Some(id) if other.id()? == Some(id) => Ok(self.sharing == Sharing::Inodes),
            _ => is_same_segment(&**file, &*other),
        };
        is_copy().map_err(MiniStoreError::file(copy, "compare"))
    }

    /// Makes a copy of a segment, verifies it, and gives it the name `staged`.
    fn stage(
        &self,
        path: &Path,
        file: &Arc<dyn FileHandle>,
        staged: &Path,
        is_rotated: bool,
    ) -> Result<(CopyMethod, LinkEnds)> {
        let part = self.to.staged_part();
        let made = self.make(path, file, &part, is_rotated).and_then(|method| {
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
        is_rotated: bool,
    ) -> Result<CopyMethod> {
        let fail_read = || MiniStoreError::file(path, "read");
        // A rotated segment that is closed never changes again.
        let is_closed = is_rotated && closing_seal(&**file).map_err(fail_read())?.is_some();
        let summary = if is_closed { None } else { Some(scan_sound(path, file)?) };
        let is_complete = summary.as_ref().is_none_or(|found| is_rotated && is_closed_plain(found));
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

    fn open(&self, path: &Path) -> Result<Arc<dyn FileHandle>> {
        self.fs.open(path, OpenMode::ReadOnly).map_err(MiniStoreError::file(path, "open"))
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
    if summary.header == Header::Plain && summary.end.last_seal.is_none() {
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
