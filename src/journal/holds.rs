//! The file of holds, `NAME.holds`: read when a journal is opened, replaced as a whole when a hold changes. The file is
//! never half written, because a complete one is renamed over it.

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

use crate::{
    MiniStoreError, Result,
    error::{clone_io_error, is_storage_full, left_names_unchanged},
    format::holds::{decode, encode},
    io::{FileHandle, FileSystem, OpenMode},
    journal::file_names::FileNames,
};

/// The first sequence number that each hold keeps, by its name.
pub(crate) type Holds = BTreeMap<String, u64>;

/// The maximum number of holds. Each change writes all of them.
pub(crate) const HOLDS_MAX: usize = 4096;

/// The maximum length of a hold's name, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// The maximum size of the file: no valid one is larger, even if all names are escaped.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Why the holds were not saved.
#[derive(Debug)]
pub(crate) enum SaveError {
    /// The holds saved before are unchanged.
    NotSaved { path: PathBuf, action: &'static str, source: io::Error },
    /// The file may have the old holds or the new ones.
    Unknown { path: PathBuf, action: &'static str, source: io::Error },
}

/// Returns the saved holds: none if there is no file.
///
/// # Errors
///
/// [`MiniStoreError::Corrupt`] if the file does not verify: it is then unknown which records must be kept.
pub(crate) fn load(fs: &dyn FileSystem, names: &FileNames) -> Result<Holds> {
    let path = names.holds();
    let opened = fs.open_if_exists(&path).map_err(MiniStoreError::file(&path, "open"))?;
    let Some(file) = opened else { return Ok(Holds::new()) };
    let bytes = read_all(&*file).map_err(MiniStoreError::file(&path, "read"))?;
    decode(&bytes).map_err(|fault| MiniStoreError::Corrupt {
        segment: path,
        offset: fault.offset,
        line: fault.line,
        seq: None,
        reason: format!("{}; restore the file, or remove it to give up the holds", fault.reason),
    })
}

/// Reads at most one byte more than the maximum. A larger file does not verify.
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

/// Replaces the saved holds. The new ones are durable when this returns.
pub(crate) fn save(
    fs: &dyn FileSystem,
    names: &FileNames,
    holds: &Holds,
) -> std::result::Result<(), SaveError> {
    let (path, next) = (names.holds(), names.holds_next());
    if let Err((action, source)) = write_next(fs, names, holds) {
        // Best effort: the next save replaces it, or the next open removes it.
        let _ = fs.remove(&next);
        return Err(SaveError::NotSaved { path, action, source });
    }
    match fs.rename(&next, &path) {
        Err(source) if left_names_unchanged(&source) => {
            let _ = fs.remove(&next);
            return Err(SaveError::NotSaved { path, action: "replace", source });
        }
        Err(source) => return Err(SaveError::Unknown { path, action: "replace", source }),
        Ok(()) => {}
    }
    let dir = names.dir();
    fs.sync_dir(dir).map_err(|source| SaveError::Unknown {
        path: dir.to_path_buf(),
        action: "sync the directory",
        source,
    })
}

fn write_next(
    fs: &dyn FileSystem,
    names: &FileNames,
    holds: &Holds,
) -> std::result::Result<(), (&'static str, io::Error)> {
    let next = names.holds_next();
    let file = match fs.open(&next, OpenMode::CreateNew) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs.remove(&next).and_then(|()| fs.open(&next, OpenMode::CreateNew))
        }
        opened => opened,
    };
    let file = file.map_err(|error| ("create", error))?;
    file.write_at(&encode(holds), 0).map_err(|error| ("write", error))?;
    file.sync().map_err(|error| ("sync", error))
}

/// Removes the temporary file that a crash left.
pub(crate) fn remove_temp_file(fs: &dyn FileSystem, names: &FileNames) -> Result<()> {
    let path = names.holds_next();
    match fs.remove(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(MiniStoreError::file(path, "remove")),
    }
}

impl SaveError {
    pub(crate) fn source(&self) -> &io::Error {
        let (Self::NotSaved { source, .. } | Self::Unknown { source, .. }) = self;
        source
    }

    /// Returns the error for one of the callers that wait.
    pub(crate) fn to_error(&self) -> MiniStoreError {
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
