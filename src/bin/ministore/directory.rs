//! Owns the directory that something is tried or measured in: fresh, and gone afterwards, whatever happens.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::exit::Failure;

/// Removed when it goes out of scope.
#[derive(Debug)]
pub(crate) struct OwnDirectory {
    path: PathBuf,
}

impl OwnDirectory {
    pub(crate) fn create_in(parent: &Path, purpose: &str) -> Result<Self, Failure> {
        Self::try_create_in(parent, purpose).map_err(|(path, error)| Failure::file(&path, "create", &error))
    }

    /// # Errors
    ///
    /// The directory that could not be made, and why.
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

    /// Removes it and tells where that fails.
    pub(crate) fn remove(self) -> Result<(), Failure> {
        fs::remove_dir_all(&self.path).map_err(|error| Failure::file(&self.path, "remove", &error))
    }
}

impl Drop for OwnDirectory {
    fn drop(&mut self) {
        // After an error there is a better one to tell; after `remove` there is nothing left.
        drop(fs::remove_dir_all(&self.path));
    }
}
