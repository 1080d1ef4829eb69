//! Creates a file atomically: it is written in a directory next to its name, gets the name once it is durable, and never
//! replaces another file.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

use crate::{
    exit::{CliError, ExitStatus},
    paths::{directory_of, sync_directory_of, with_suffix},
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
        match fs::create_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            created => created.map_err(failed)?,
        }
        let lock = File::open(&dir).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format_args!("{}: in use by another process", dir.display());
                return Err(CliError::new(ExitStatus::Temporary, message)
                    .path(&dir)
                    .hint("wait until it exits, or choose another name"));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let new_file = Self { target: target.to_owned(), dir, _lock: lock };
        new_file.remove_files().map_err(|error| CliError::file(&new_file.dir, "empty it", &error))?;
        Ok(new_file)
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
        rename_to_free(&self.file(), &self.target).map_err(failed)?;
        sync_directory_of(&self.target)
            .map_err(|error| CliError::file(directory_of(&self.target), "sync the directory", &error))
    }

    /// Removes only files created here: the directory may belong to the user.
    fn remove_files(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(NAME) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // Leftovers are removed by the next run.
        drop(self.remove_files());
        drop(fs::remove_dir(&self.dir));
    }
}

/// Renames without replacing anything.
fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems do not support this flag; a hard link does not replace anything either.
        Err(Errno::INVAL | Errno::NOSYS) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        renamed => Ok(renamed?),
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
}
