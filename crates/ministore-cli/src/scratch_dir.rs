//! A temporary directory for checks and measurements.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::exit::CliError;

/// A temporary directory, removed on drop.
#[derive(Debug)]
pub(crate) struct ScratchDir {
    path: PathBuf,
}

impl ScratchDir {
    pub(crate) fn create_in(parent: &Path, purpose: &str) -> Result<Self, CliError> {
        Self::try_create_in(parent, purpose).map_err(|(path, error)| CliError::file(&path, "create", &error))
    }

    /// # Errors
    ///
    /// Returns the directory that could not be created, and the error.
    pub(crate) fn try_create_in(parent: &Path, purpose: &str) -> Result<Self, (PathBuf, io::Error)> {
        for n in 0.. {
            let path = parent.join(format!("ministore-{purpose}-{}-{n}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && n < 1000 => {}
                Err(error) => return Err((path, error)),
            }
        }
        unreachable!("the last try returns")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it and reports a failure.
    pub(crate) fn remove(self) -> Result<(), CliError> {
        fs::remove_dir_all(&self.path).map_err(|error| CliError::file(&self.path, "remove", &error))
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // An earlier error matters more; after `remove` the directory no longer exists.
        drop(fs::remove_dir_all(&self.path));
    }
}
