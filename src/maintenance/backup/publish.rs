//! Gives the staged copies their names. After each step the target is a sound journal; each step is durable before the
//! next, because nothing is assumed about the order in which names become durable.

use std::path::Path;

use super::{PLACEHOLDER, Transfer, existing::ExistingFiles, pieces::BackupPiece};
use crate::{
    MiniStoreError, Result,
    io::{OpenMode, rename_to_free_name},
    journal::{
        holds::{self, Holds, SaveError},
        ownership::{has_own_lock, not_owned},
    },
};

/// Whether a file with the new name is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replace {
    Yes,
    No,
}

impl Transfer {
    /// Publishes the staged copies, oldest first. `extended` is the name of the rotated segment that the active one has
    /// become since the last backup.
    pub(super) fn publish(
        &self,
        pieces: &[BackupPiece],
        existing: &ExistingFiles,
        extended: Option<&Path>,
        held: &Holds,
    ) -> Result<()> {
        self.sync_dir()?;
        if self.is_restore && !existing.has_placeholder {
            self.write_placeholder()?;
        }
        if let Some(target) = extended {
            // A closed segment that ends earlier. A rename over it replaces it in one step.
            self.rename(&self.to.active(), target, Replace::No)?;
        }
        let mut has_active = false;
        for piece in pieces {
            let is_active = piece.number.is_none();
            if is_active {
                has_active = true;
                self.save_holds(held)?;
            }
            let Some(staged) = &piece.staged else { continue };
            let is_replaced = match piece.number {
                Some(number) => existing.rotated.contains_key(&number) || extended == Some(&*piece.target),
                None => self.is_restore || (existing.active.is_some() && extended.is_none()),
            };
            self.rename(staged, &piece.target, if is_replaced { Replace::Yes } else { Replace::No })?;
        }
        if !has_active {
            self.save_holds(held)?;
            if self.is_restore {
                self.remove(&self.to.active())?;
                self.sync_dir()?;
            }
        }
        Ok(())
    }

    /// Takes the active name with a file that is not a journal.
    fn write_placeholder(&self) -> Result<()> {
        let path = self.to.active();
        let fail = |action| MiniStoreError::file(&path, action);
        // A file that is only half written would not be recognised.
        let part = self.to.staged_part();
        let file = self.fs.open(&part, OpenMode::CreateNew).map_err(fail("create"))?;
        file.write_at(PLACEHOLDER, 0).and_then(|()| file.sync()).map_err(fail("write"))?;
        self.rename(&part, &path, Replace::No)
    }

    fn save_holds(&self, held: &Holds) -> Result<()> {
        let path = self.to.holds();
        let has_file = self.fs.id_at(&path).map_err(MiniStoreError::file(&path, "stat"))?.is_some();
        if held.is_empty() && !has_file {
            return Ok(());
        }
        match holds::save(&*self.fs, &self.to, held) {
            Ok(()) => Ok(()),
            Err(
                SaveError::NotSaved { path, action, source } | SaveError::Unknown { path, action, source },
            ) => Err(MiniStoreError::file(path, action)(source)),
        }
    }

    /// Renames a file durably.
    fn rename(&self, from: &Path, to: &Path, replace: Replace) -> Result<()> {
        let fail = || MiniStoreError::file(to, "rename the finished file");
        if to != self.to.active() && has_own_lock(&*self.fs, to).map_err(fail())? {
            let reason = "a lock file makes this name a journal of its own: name another directory";
            return Err(not_owned(to, reason.to_owned()));
        }
        match replace {
            Replace::Yes => self.fs.rename(from, to).map_err(fail())?,
            Replace::No => rename_to_free_name(&*self.fs, self.to.dir(), from, to)
                .map_err(|error| fail()(error.into_io()))?,
        }
        self.sync_dir()
    }

    fn sync_dir(&self) -> Result<()> {
        let dir = self.to.dir();
        self.fs.sync_dir(dir).map_err(MiniStoreError::file(dir, "sync the directory"))
    }
}
