//! Names of files next to a file, and its directory.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};
use tempfile::TempDir;

/// Returns the directory of a file.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Opens an existing file with these flags and no mode.
pub(crate) fn open_with(path: &Path, flags: OFlags) -> io::Result<File> {
    let open = || rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty());
    Ok(rustix::io::retry_on_intr(open)?.into())
}

/// Makes the name of a file durable.
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

/// Returns `NAME.SUFFIX`.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// Returns the absolute path without symbolic links, as the library uses it. The file need not exist.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    let parent = || Some(fs::canonicalize(directory_of(path)).ok()?.join(path.file_name()?));
    fs::canonicalize(path).ok().or_else(parent).unwrap_or_else(|| path.to_owned())
}

/// Returns an error of `tempfile` without the temporary name, which it appends in Rust's notation.
pub(crate) fn os_error(error: io::Error) -> io::Error {
    if error.raw_os_error().is_some() {
        return error;
    }
    let text = error.to_string();
    io::Error::new(error.kind(), text.split(" at path \"").next().unwrap_or(&text))
}

/// Creates a temporary directory, which is removed when it is dropped.
pub(crate) fn temporary_directory_in(directory: &Path, purpose: &str) -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(&format!("ministore-{purpose}-")).tempdir_in(directory).map_err(os_error)
}
