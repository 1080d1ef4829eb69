//! The file of holds on the disk: read when a journal is opened, replaced as a whole when a hold moves. Never leaves
//! half of one under its name.

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

use crate::{
    MiniStoreError, Result,
    error::clone_io_error,
    format::holds::{decode, encode},
    io::{FileHandle, FileSystem, OpenMode, changed_no_name, is_storage_full},
    journal::file_names::FileNames,
    seeded_bugs::{Bug, seeded},
};

/// Sequence numbers by the names of those who need the records from there on.
pub(crate) type Holds = BTreeMap<String, u64>;

/// So many can stand at a time: each change writes all of them.
pub(crate) const HOLDS_MAX: usize = 4096;

/// The name of a hold is not longer, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// No file of holds is larger, however its names are escaped.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Why holds were not written.
#[derive(Debug)]
pub(crate) enum SaveError {
    /// Those before stand.
    NotSaved { path: PathBuf, action: &'static str, source: io::Error },
    /// Whether the old ones stand on the disk or the new ones is not known.
    Unknown { path: PathBuf, action: &'static str, source: io::Error },
}

/// Those that stand. None where there is no file.
///
/// # Errors
///
/// `Corrupt` where the file does not verify: what must not be deleted is then not known.
pub(crate) fn load(disk: &dyn FileSystem, names: &FileNames) -> Result<Holds> {
    let path = names.holds();
    let file = match disk.open(&path, OpenMode::ReadOnly) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Holds::new()),
        opened => opened.map_err(MiniStoreError::file(&path, "open"))?,
    };
    let bytes = read_all(&*file).map_err(MiniStoreError::file(&path, "read"))?;
    decode(&bytes).map_err(|fault| MiniStoreError::Corrupt {
        segment: path,
        offset: fault.offset,
        line: fault.line,
        seq: None,
        reason: format!("{}; restore the file, or remove it to give up the holds", fault.reason),
    })
}

/// What does not fit is cut off, and does not verify then.
fn read_all(file: &dyn FileHandle) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.len()?.min(FILE_BYTES_MAX + 1) as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Replaces those that stand; durable when it returns.
pub(crate) fn save(
    disk: &dyn FileSystem,
    names: &FileNames,
    holds: &Holds,
) -> std::result::Result<(), SaveError> {
    let (path, next) = (names.holds(), names.holds_next());
    if let Err((action, source)) = write_next(disk, names, holds) {
        // Best effort: it is replaced, or removed at the next open.
        let _ = disk.remove(&next);
        return Err(SaveError::NotSaved { path, action, source });
    }
    match disk.rename(&next, &path) {
        Err(source) if changed_no_name(&source) => {
            let _ = disk.remove(&next);
            return Err(SaveError::NotSaved { path, action: "replace", source });
        }
        Err(source) => return Err(SaveError::Unknown { path, action: "replace", source }),
        Ok(()) => {}
    }
    let dir = names.dir();
    disk.sync_dir(dir).map_err(|source| SaveError::Unknown {
        path: dir.to_path_buf(),
        action: "sync the directory",
        source,
    })
}

fn write_next(
    disk: &dyn FileSystem,
    names: &FileNames,
    holds: &Holds,
) -> std::result::Result<(), (&'static str, io::Error)> {
    let next = names.holds_next();
    let file = match disk.open(&next, OpenMode::CreateNew) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove(&next).and_then(|()| disk.open(&next, OpenMode::CreateNew))
        }
        opened => opened,
    };
    let file = file.map_err(|error| ("create", error))?;
    file.write_at(&encode(holds), 0).map_err(|error| ("write", error))?;
    if seeded(Bug::HoldNotSynced) {
        return Ok(());
    }
    file.sync().map_err(|error| ("sync", error))
}

/// Removes what a crash left of a file that was being written.
pub(crate) fn remove_temp_file(disk: &dyn FileSystem, names: &FileNames) -> Result<()> {
    let path = names.holds_next();
    match disk.remove(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(MiniStoreError::file(path, "remove")),
    }
}

impl SaveError {
    pub(crate) fn source(&self) -> &io::Error {
        let (Self::NotSaved { source, .. } | Self::Unknown { source, .. }) = self;
        source
    }

    /// For each of those who wait.
    pub(crate) fn error(&self) -> MiniStoreError {
        let (Self::NotSaved { path, action, source } | Self::Unknown { path, action, source }) = self;
        if is_storage_full(source) {
            return MiniStoreError::StorageFull {
                path: path.clone(),
                source: Arc::new(clone_io_error(source)),
            };
        }
        MiniStoreError::file(path, action)(clone_io_error(source))
    }
}
