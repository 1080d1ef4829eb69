//! Owns the directory of a benchmark: fresh, and gone afterwards, whatever happens.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::exit::Failure;

/// Removed when it goes out of scope.
#[derive(Debug)]
pub(super) struct OwnDirectory {
    path: PathBuf,
}

impl OwnDirectory {
    pub(super) fn create_in(parent: &Path) -> Result<Self, Failure> {
        for n in 0.. {
            let path = parent.join(format!("ministore-bench-{}-{n}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && n < 1000 => {}
                Err(error) => return Err(Failure::file(&path, "create", &error)),
            }
        }
        unreachable!("the last try returns")
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it and tells where that fails.
    pub(super) fn remove(self) -> Result<(), Failure> {
        fs::remove_dir_all(&self.path).map_err(|error| Failure::file(&self.path, "remove", &error))
    }
}

impl Drop for OwnDirectory {
    fn drop(&mut self) {
        // After an error there is a better one to tell; after `remove` there is nothing left.
        drop(fs::remove_dir_all(&self.path));
    }
}
