//! The file of the active segment: its names, and how far it is durable and preallocated.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use crate::{
    error::is_shortage,
    format::LF,
    io::{CommitError, FileHandle, FileId, FileSystem, has_id},
    journal::ownership::moved_away,
};

/// How often a commit checks that the active name is still the open file. A check before every commit reduced the rate
/// of 16 callers by 9 %. Whether the file has a name at all, which shows most deletions and replacements, is checked
/// before every commit, at a fraction of that cost.
const NAME_CHECK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(in crate::commit::writer) struct ActiveSegmentFile {
    pub(in crate::commit::writer) handle: Arc<dyn FileHandle>,
    id: Option<FileId>,
    /// The name that the file has now.
    pub(in crate::commit::writer) path: PathBuf,
    /// The name as a rotated segment, which the background thread gives to the file, or has given to it.
    pub(in crate::commit::writer) rotated_path: Option<PathBuf>,
    /// When the active name was last verified to be the open file, on the clock of the file system.
    name_checked_at: Option<Duration>,
    /// The offset up to which the contents are durable: the end of the data, or 0 while the header is not written.
    durable_end: u64,
    /// The offset up to which the file is preallocated, durably.
    prepared_end: u64,
    /// Whether the file ends in LF, and perhaps the close marker, after the data. They are truncated before the segment
    /// is preallocated.
    has_terminator: bool,
}

impl ActiveSegmentFile {
    /// Returns the file of a segment that has durable contents.
    pub(super) fn recovered(handle: Arc<dyn FileHandle>, path: PathBuf, data_end: u64) -> Self {
        let empty = Self::prepared(handle, path, data_end);
        Self { durable_end: data_end, has_terminator: true, ..empty }
    }

    /// Returns the file of a segment without contents that is preallocated up to `prepared_end`.
    pub(super) fn prepared(handle: Arc<dyn FileHandle>, path: PathBuf, prepared_end: u64) -> Self {
        Self {
            id: handle.id().ok().flatten(),
            handle,
            path,
            rotated_path: None,
            name_checked_at: None,
            durable_end: 0,
            prepared_end,
            has_terminator: false,
        }
    }

    pub(super) fn is_unwritten(&self) -> bool {
        self.durable_end == 0
    }

    pub(super) fn prepared_end(&self) -> u64 {
        self.prepared_end
    }

    /// Records a write up to `written_end`, after which the data ends at `data_end`, in LF if `has_terminator` is set.
    pub(super) fn on_written(&mut self, data_end: u64, written_end: u64, has_terminator: bool) {
        self.durable_end = data_end;
        self.prepared_end = self.prepared_end.max(written_end);
        self.has_terminator = has_terminator;
    }

    /// Records that the background thread has written padding.
    pub(in crate::commit::writer) fn on_preallocated(&mut self, prepared_end: u64) {
        self.prepared_end = self.prepared_end.max(prepared_end);
        self.has_terminator = false;
    }

    /// Returns the offset at which the file must be truncated before padding is written.
    pub(in crate::commit::writer) fn truncate_before_padding(&self) -> Option<u64> {
        self.has_terminator.then_some(self.durable_end)
    }

    /// Removes the LF and the close marker, because padding must not follow them.
    pub(super) fn truncate_terminator(&mut self) -> io::Result<()> {
        if self.has_terminator {
            self.handle.set_len(self.durable_end)?;
            self.has_terminator = false;
        }
        Ok(())
    }

    /// Truncates the file to its durable contents after a write for which the disk had no space, and makes that durable.
    /// The part that was not written may be only padding: a rejected group must not be found complete after a power
    /// failure.
    pub(super) fn truncate_failed_group(&mut self) -> io::Result<()> {
        self.prepared_end = self.durable_end;
        if self.has_terminator {
            // The LF first: a plain line is complete only with it, and the space for it is already allocated.
            self.handle.write_at(&[LF], self.durable_end)?;
        }
        self.handle.set_len(self.durable_end + u64::from(self.has_terminator))?;
        self.handle.sync()
    }

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
        match self.handle.len_if_linked().map_err(check_failed)? {
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
        match self.handle.len_if_linked().map_err(check_failed)? {
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
        let expected = self.durable_end;
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
