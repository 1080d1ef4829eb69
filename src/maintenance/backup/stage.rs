//! Decides which segments of the journal the target lacks, and stages them: complete copies under names that no journal
//! uses.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Sharing, Transfer,
    compare::{is_same_content, is_same_segment},
    existing::{ExistingFiles, open},
    pieces::{BackupPiece, CopyMethod, LinkEnds},
};
use crate::{
    MiniStoreError, Result,
    format::{SegmentHeader, scan::read_header},
    io::{FileHandle, is_at},
    journal::{file_names::RotatedSegments, segment_set::SegmentSet},
    recovery::is_without_content,
};

impl Transfer {
    /// Stages every segment of the journal that the target lacks, the newest first: retention deletes the oldest, so
    /// those that are left are without a gap. Returns the segments of the finished target, oldest first.
    pub(super) fn stage_all(
        &self,
        mut source: SegmentSet,
        existing: &ExistingFiles,
    ) -> Result<Vec<BackupPiece>> {
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
        let has_active = !pieces.is_empty();
        for (place, (number, path)) in source.rotated.iter().enumerate().rev() {
            let opened = self.fs.open_if_exists(path).map_err(MiniStoreError::file(path, "open"))?;
            // Retention has deleted it, and those before it. If it has not, the check of the chain finds the gap.
            let Some(file) = opened else { continue };
            // Without a segment after it the newest one may have been renamed and still be written to.
            let is_final = has_active || place + 1 < source.rotated.len();
            pieces.push(self.stage_rotated(*number, place, (path, &file, is_final), existing)?);
        }
        let numbers: HashSet<Option<u64>> = pieces.iter().map(|piece| piece.number).collect();
        for (number, path) in &existing.rotated {
            if !numbers.contains(&Some(*number)) {
                let file = self.open(path)?;
                pieces.push(BackupPiece {
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
        let newest_header = LinkEnds::read(path, &*self.open(path)?)?.header;
        if newest_header == SegmentHeader::Plain {
            return Ok(());
        }
        let is_newest = |path: &Path| -> Result<bool> {
            let opened = self.fs.open_if_exists(path).map_err(MiniStoreError::file(path, "open"))?;
            let header = opened.map(read_header).transpose().map_err(MiniStoreError::file(path, "read"))?;
            Ok(header.is_some_and(|header| header == Ok(newest_header)))
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
    ) -> Result<BackupPiece> {
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
        Ok(BackupPiece { number: None, place: Some(place), origin, target, staged, method, link })
    }

    fn stage_rotated(
        &self,
        number: u64,
        place: usize,
        (path, file, is_final): (&Path, &Arc<dyn FileHandle>, bool),
        existing: &ExistingFiles,
    ) -> Result<BackupPiece> {
        let old = existing.rotated.get(&number);
        let new_target = || match self.from.number_of(path) {
            Some(own) if own == number => self.to.rotated_with_digits(number, self.from.digits_of(path)),
            _ => self.to.rotated(number),
        };
        let piece = |staged: Option<PathBuf>, method, link| BackupPiece {
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
        let (method, link) = self.stage(path, file, &staged, is_final)?;
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

    pub(super) fn open(&self, path: &Path) -> Result<Arc<dyn FileHandle>> {
        open(&*self.fs, path)
    }
}
