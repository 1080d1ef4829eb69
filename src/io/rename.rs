//! Renames that never replace another file, on every file system; and whether a name still belongs to a file.

use std::{io, path::Path};

use rustix::io::Errno;

use super::{FileHandle, FileId, FileSystem};
use crate::error::{is_shortage, left_names_unchanged};

/// Why a file did not get a name that must be free.
#[derive(Debug)]
pub(crate) enum RenameError {
    /// A call failed before it changed anything: the same rename may be retried. `AlreadyExists` means that another
    /// file has the new name. The file keeps its old name; after an attempt with links it may have the new one, too.
    Refused(io::Error),
    /// The file system can neither rename without replacing nor link. Nothing was changed.
    Unsupported(io::Error),
    /// The file may have the old name, the new one, or both.
    Unknown(io::Error),
}

impl RenameError {
    pub(crate) fn into_io(self) -> io::Error {
        let (Self::Refused(error) | Self::Unsupported(error) | Self::Unknown(error)) = self;
        error
    }

    fn from_io(error: io::Error) -> Self {
        if left_names_unchanged(&error) { Self::Refused(error) } else { Self::Unknown(error) }
    }
}

/// Renames a file within `dir` and never replaces another one. Where the file system cannot do that in one step the
/// file gets the new name as a second one, durably, before it loses the old one: a crash leaves it with both, and
/// recovery or a retry completes the rename. Durable once the directory is synced.
pub(crate) fn rename_to_free_name(
    fs: &dyn FileSystem,
    dir: &Path,
    from: &Path,
    to: &Path,
) -> Result<(), RenameError> {
    match fs.rename_noreplace(from, to) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => link_to_free_name(fs, from, to)?,
        // An earlier attempt left it with both names.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_same(fs, from, to) => {}
        renamed => return renamed.map_err(RenameError::from_io),
    }
    fs.sync_dir(dir).map_err(RenameError::Unknown)?;
    fs.remove(from).map_err(RenameError::from_io)
}

fn link_to_free_name(fs: &dyn FileSystem, from: &Path, to: &Path) -> Result<(), RenameError> {
    match fs.link(from, to) {
        // An earlier attempt made the link, or a network file system sent the request twice.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_same(fs, from, to) => Ok(()),
        Err(error) if is_link_refused(&error) => {
            let text = format!("the file system can neither rename without replacing nor link: {error}");
            Err(RenameError::Unsupported(io::Error::new(error.kind(), text)))
        }
        linked => linked.map_err(RenameError::from_io),
    }
}

fn is_same(fs: &dyn FileSystem, one: &Path, other: &Path) -> bool {
    matches!((fs.id_at(one), fs.id_at(other)), (Ok(Some(one)), Ok(Some(other))) if one == other)
}

/// File systems without hard links return `EPERM` or `EOPNOTSUPP`; a kernel that protects links returns `EPERM`.
fn is_link_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported || Errno::from_io_error(error) == Some(Errno::PERM)
}

/// Returns whether a file still has this name; `true` if that cannot be determined (for example because the directory
/// may not be searched any more).
///
/// # Errors
///
/// A temporary shortage: the same call may succeed later.
pub(crate) fn is_at(fs: &dyn FileSystem, path: &Path, file: &dyn FileHandle) -> io::Result<bool> {
    match file.id() {
        Err(error) if is_shortage(&error) => Err(error),
        id => has_id(fs, path, id.ok().flatten()),
    }
}

/// Like [`is_at`], for a file whose identity is known.
pub(crate) fn has_id(fs: &dyn FileSystem, path: &Path, id: Option<FileId>) -> io::Result<bool> {
    match (id, fs.id_at(path)) {
        (_, Err(error)) if is_shortage(&error) => Err(error),
        (Some(id), Ok(found)) => Ok(found == Some(id)),
        _ => Ok(true),
    }
}
