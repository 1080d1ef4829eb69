//! The files that the target contains before a backup, and the check that the journal continues them: no record of an
//! earlier backup is lost.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    PLACEHOLDER,
    compare::{is_prefix, is_same_content},
    pieces::BackupPiece,
};
use crate::{
    MiniStoreError, Result,
    io::{FileHandle, FileSystem, OpenMode, is_at},
    journal::{file_names::FileNames, older_copy::read_full, ownership::not_owned, segment_set::SegmentSet},
};

/// The segments of an earlier backup.
#[derive(Debug)]
pub(super) struct ExistingFiles {
    /// Rotated segments, by number.
    pub(super) rotated: BTreeMap<u64, PathBuf>,
    pub(super) active: Option<(PathBuf, Arc<dyn FileHandle>)>,
    /// The active file only says that a restoration was interrupted.
    pub(super) has_placeholder: bool,
}

impl ExistingFiles {
    /// Lists them. Symbolic links and files of a writer are rejected.
    pub(super) fn list(fs: &dyn FileSystem, names: &FileNames) -> Result<Self> {
        let SegmentSet { rotated, active } = SegmentSet::take(fs, names)?;
        for path in rotated.iter().map(|(_, path)| path).chain(active.iter().map(|(path, _)| path)) {
            let file = open(fs, path)?;
            if !is_at(fs, path, &*file).map_err(MiniStoreError::file(path, "stat"))? {
                let reason = "it is a symbolic link, and a backup contains its files itself: remove the link";
                return Err(not_owned(path, reason.to_owned()));
            }
        }
        if fs.id_at(&names.next()).map_err(MiniStoreError::file(names.next(), "stat"))?.is_some() {
            let reason = "it shows that a program writes this journal: choose another place";
            return Err(not_owned(&names.next(), reason.to_owned()));
        }
        let mut placeholder = [0; PLACEHOLDER.len() + 1];
        let has_placeholder = match &active {
            Some((path, file)) => {
                let count = read_full(&**file, &mut placeholder, 0);
                placeholder[..count.map_err(MiniStoreError::file(path, "read"))?] == *PLACEHOLDER
            }
            None => false,
        };
        let active = active.filter(|_| !has_placeholder);
        Ok(Self { rotated: rotated.into_iter().collect(), active, has_placeholder })
    }

    /// Returns whether a journal may be created here: nothing of an earlier one is left.
    pub(super) fn is_free(&self, fs: &dyn FileSystem, names: &FileNames) -> Result<bool> {
        let holds = fs.id_at(&names.holds()).map_err(MiniStoreError::file(names.holds(), "stat"))?;
        Ok(self.has_placeholder || (self.rotated.is_empty() && self.active.is_none() && holds.is_none()))
    }

    /// Checks that every record of the earlier backup is in the new one. Returns the name of the rotated segment that
    /// the active one has become, if it has.
    ///
    /// # Errors
    ///
    /// [`MiniStoreError::NotOwned`] names the file with other records.
    pub(super) fn check_continued(
        &self,
        fs: &dyn FileSystem,
        pieces: &[BackupPiece],
    ) -> Result<Option<PathBuf>> {
        let newest = self.rotated.keys().next_back().copied();
        let newest_of_journal =
            pieces.iter().filter(|piece| piece.place.is_some()).filter_map(|piece| piece.number).max();
        for piece in pieces {
            let Some(old) = piece.number.and_then(|number| self.rotated.get(&number)) else { continue };
            if piece.place.is_none() && newest_of_journal.is_some_and(|newest| piece.number > Some(newest)) {
                return Err(has_other_records(old));
            }
            let Some(staged) = &piece.staged else { continue };
            let may_grow = self.active.is_none() && piece.number == newest;
            let (file, staged_file) = (open(fs, old)?, open(fs, staged)?);
            let is_contained = is_same_content(&*file, &*staged_file)
                .and_then(|is_same| Ok(is_same || (may_grow && is_prefix(&*file, &*staged_file)?)));
            if !is_contained.map_err(MiniStoreError::file(old, "read"))? {
                return Err(has_other_records(old));
            }
        }
        let Some((path, file)) = &self.active else { return Ok(None) };
        let mut later = pieces
            .iter()
            .filter(|piece| piece.place.is_some() && piece.number.is_none_or(|number| Some(number) > newest));
        let Some(successor) = later.next() else { return Err(has_other_records(path)) };
        if let Some(staged) = &successor.staged {
            let contains = is_prefix(&**file, &*open(fs, staged)?);
            if !contains.map_err(MiniStoreError::file(path, "read"))? {
                return Err(has_other_records(path));
            }
        }
        Ok(successor.number.map(|_| successor.target.clone()))
    }
}

/// Opens a file for reading.
pub(super) fn open(fs: &dyn FileSystem, path: &Path) -> Result<Arc<dyn FileHandle>> {
    fs.open(path, OpenMode::ReadOnly).map_err(MiniStoreError::file(path, "open"))
}

fn has_other_records(path: &Path) -> MiniStoreError {
    let reason = "it is damaged, or its records are not those of the journal: name another directory";
    not_owned(path, reason.to_owned())
}
