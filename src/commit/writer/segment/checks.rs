//! Checks before a commit that the active segment is still the file under its name.

use std::{io, time::Duration};

use super::ActiveSegment;
use crate::{
    error::is_shortage,
    io::{CommitError, FileSystem, has_id},
    journal::ownership::moved_away,
};

/// How often a commit checks that the active name is still the open file. A check before every commit reduced the rate
/// of 16 callers by 9 %. Whether the file has a name at all, which shows most deletions and replacements, is checked
/// before every commit, at a fraction of that cost.
const NAME_CHECK_INTERVAL: Duration = Duration::from_secs(1);

impl ActiveSegment {
    /// Fails if another process deleted, replaced or truncated the file, or moved it. A move is noticed within
    /// [`NAME_CHECK_INTERVAL`]. Called before each commit.
    pub(in crate::commit::writer) fn check_before_commit(
        &mut self,
        fs: &dyn FileSystem,
    ) -> Result<(), CommitError> {
        let now = fs.elapsed();
        if self.name_checked_at.is_none_or(|at| now.saturating_sub(at) >= NAME_CHECK_INTERVAL) {
            self.check_not_replaced(fs)?;
            self.name_checked_at = Some(now);
            return Ok(());
        }
        match self.file.len_if_linked().map_err(check_failed)? {
            Some(len) => self.check_len(len),
            None => Err(CommitError::Failed(moved_away(&self.path))),
        }
    }

    /// Fails if another process deleted, moved, replaced or truncated the file: no reader would find what is written to
    /// it. One lookup is enough while the file has the active name; the background thread may be renaming it to its
    /// name as a rotated segment. If a shortage prevents the check, nothing is written.
    pub(in crate::commit::writer) fn check_not_replaced(
        &self,
        fs: &dyn FileSystem,
    ) -> Result<(), CommitError> {
        match fs.id_and_len(&self.path) {
            Ok(Some((id, len))) if self.id == Some(id) => return self.check_len(len),
            Err(error) if is_shortage(&error) => return Err(check_failed(error)),
            _ => {}
        }
        match self.file.len_if_linked().map_err(check_failed)? {
            None => return Err(CommitError::Failed(moved_away(&self.path))),
            Some(len) => self.check_len(len)?,
        }
        for path in [Some(&self.path), self.rotated_path.as_ref()].into_iter().flatten() {
            if has_id(fs, path, self.id).map_err(check_failed)? {
                return Ok(());
            }
        }
        Err(CommitError::Failed(moved_away(&self.path)))
    }

    fn check_len(&self, len: u64) -> Result<(), CommitError> {
        let expected = self.durable_end();
        if len >= expected {
            return Ok(());
        }
        Err(CommitError::Failed(io::Error::other(format!(
            "another program truncated the active segment: it has {len} bytes, and {expected} were written"
        ))))
    }
}

/// Converts the error of a check. A shortage is temporary; after any other error the file system may not work.
fn check_failed(source: io::Error) -> CommitError {
    if is_shortage(&source) {
        return CommitError::NotStarted { action: "stat the active segment", source };
    }
    CommitError::Failed(source)
}
