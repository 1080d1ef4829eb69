//! Creates a file atomically: it is written in a directory next to its name, gets the name once it is durable, and never
//! replaces another file.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use tempfile::TempPath;

use crate::{
    exit::{CliError, ExitStatus},
    ownership,
    paths::{directory_of, open_with, os_error, sync_directory_of, with_suffix},
};

/// The temporary name of the file, and the prefix of files that belong to it.
const NAME: &str = "whole";

/// The directory in which a file is written; removed on drop. A directory that remains from a killed process is reused.
#[derive(Debug)]
pub(super) struct AtomicFile {
    target: PathBuf,
    dir: PathBuf,
    /// Locked while the directory is in use.
    _lock: File,
}

impl AtomicFile {
    /// Creates the directory `TARGET.SUFFIX`.
    pub(super) fn create_next_to(target: &Path, suffix: &str) -> Result<Self, CliError> {
        let dir = with_suffix(target, suffix);
        let failed = |error: io::Error| CliError::create(target, &error);
        let is_directory = || fs::symlink_metadata(&dir).is_ok_and(|found| found.is_dir());
        match fs::create_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_directory() => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(in_the_way(&dir)),
            created => created.map_err(failed)?,
        }
        // A symbolic link is not followed, even if it has just replaced the directory.
        let lock = open_with(&dir, OFlags::DIRECTORY | OFlags::NOFOLLOW).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(CliError::about(&dir, ExitStatus::Temporary, "in use by another process")
                    .hint("wait until it exits, or choose another name"));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let new_file = Self { target: target.to_owned(), dir, _lock: lock };
        match new_file.remove_files() {
            Ok(true) => Ok(new_file),
            Ok(false) => Err(in_the_way(&new_file.dir)),
            Err(error) => Err(CliError::file(&new_file.dir, "empty it", &error)),
        }
    }

    /// The path to write the file to.
    pub(super) fn file(&self) -> PathBuf {
        self.dir.join(NAME)
    }

    /// Gives the file its name, durably. Its content must be durable already.
    pub(super) fn publish(self) -> Result<(), CliError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => super::already_exists(&self.target),
            _ => CliError::file(&self.target, "rename the finished file", &error),
        };
        let file = TempPath::try_from_path(self.file()).map_err(failed)?;
        file.persist_noclobber(&self.target).map_err(|error| failed(os_error(error.error)))?;
        sync_directory_of(&self.target)
            .map_err(|error| CliError::file(directory_of(&self.target), "sync the directory", &error))
    }

    /// Removes the files of this run or of a killed one. Returns `false`, and removes nothing, if the directory contains anything
    /// else: then it belongs to the user.
    fn remove_files(&self) -> io::Result<bool> {
        let paths: Vec<PathBuf> =
            fs::read_dir(&self.dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        if paths.iter().any(|path| !ownership::is_of(path, &self.file())) {
            return Ok(false);
        }
        paths.iter().try_for_each(fs::remove_file)?;
        Ok(true)
    }
}

fn in_the_way(dir: &Path) -> CliError {
    let reason = "in the way: it is not a temporary directory of this program";
    CliError::about(dir, ExitStatus::CannotCreate, reason).hint("move it away, or choose another target")
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // Leftovers are removed by the next run.
        drop(self.remove_files());
        drop(fs::remove_dir(&self.dir));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn file_gets_its_name_when_published() {
        let dir = tempfile::tempdir().unwrap();
        let new_file = AtomicFile::create_next_to(&dir.path().join("target"), "import").unwrap();
        fs::write(new_file.file(), "1").unwrap();
        assert_eq!(names(dir.path()), ["target.import"]);
        new_file.publish().unwrap();
        assert_eq!(names(dir.path()), ["target"]);
    }

    #[test]
    fn dropped_file_is_removed_and_stale_one_reused() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        drop(AtomicFile::create_next_to(&target, "import").unwrap());
        assert_eq!(names(dir.path()), Vec::<String>::new());
        fs::create_dir(dir.path().join("target.import")).unwrap();
        fs::write(dir.path().join("target.import/whole.lock"), "").unwrap();
        let new_file = AtomicFile::create_next_to(&target, "import").unwrap();
        assert_eq!(names(&dir.path().join("target.import")), Vec::<String>::new());
        assert!(AtomicFile::create_next_to(&target, "import").is_err(), "it is in use");
        fs::write(new_file.file(), "1").unwrap();
        fs::write(&target, "other data").unwrap();
        assert!(new_file.publish().is_err());
        assert_eq!(fs::read_to_string(&target).unwrap(), "other data");
        assert_eq!(names(dir.path()), ["target"]);
    }

    #[test]
    fn directory_of_the_user_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (target, other) = (dir.path().join("target"), dir.path().join("other"));
        fs::create_dir(&other).unwrap();
        fs::write(other.join("whole"), "mine").unwrap();
        std::os::unix::fs::symlink(&other, dir.path().join("target.import")).unwrap();
        assert!(AtomicFile::create_next_to(&target, "import").is_err());
        fs::remove_file(dir.path().join("target.import")).unwrap();
        fs::write(other.join("whole.txt"), "mine").unwrap();
        fs::rename(&other, dir.path().join("target.import")).unwrap();
        assert!(AtomicFile::create_next_to(&target, "import").is_err());
        assert_eq!(names(&dir.path().join("target.import")), ["whole", "whole.txt"]);
    }
}
