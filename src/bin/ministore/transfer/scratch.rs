//! Owns how a file comes to be that is there whole or not at all: it is made in a directory beside its name, gets the name
//! when it is durable, and never takes the name of another.

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
    exit::{Code, Failure},
    nearby,
};

/// What the file is called before it has its name. Others that belong to it begin so.
const NAME: &str = "whole";

/// The directory goes with this, whatever becomes of the file. One that a killed process left is taken over.
#[derive(Debug)]
pub(super) struct Scratch {
    target: PathBuf,
    dir: PathBuf,
    /// Held as long as somebody is at work there.
    _lock: File,
}

impl Scratch {
    /// A directory `TARGET.SUFFIX`.
    pub(super) fn beside(target: &Path, suffix: &str) -> Result<Self, Failure> {
        let dir = super::beside(target, suffix);
        let failed = |error: io::Error| Failure::create(target, &error);
        match fs::create_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            created => created.map_err(failed)?,
        }
        let lock = File::open(&dir).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format_args!("{}: another process is at work there", dir.display());
                return Err(Failure::new(Code::Temporary, message)
                    .hint("wait until it is done, or choose another name"));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let scratch = Self { target: target.to_owned(), dir, _lock: lock };
        scratch.remove_files().map_err(|error| Failure::file(&scratch.dir, "empty it", &error))?;
        Ok(scratch)
    }

    /// Where the file is to be made.
    pub(super) fn file(&self) -> PathBuf {
        self.dir.join(NAME)
    }

    /// Gives the file its name, durably. What is in it must be durable already.
    pub(super) fn publish(self) -> Result<(), Failure> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => super::taken(&self.target),
            _ => Failure::file(&self.target, "give the finished file its name", &error),
        };
        rename_to_free(&self.file(), &self.target).map_err(failed)?;
        let directory = nearby::directory_of(&self.target);
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|error| Failure::file(directory, "make its names durable", &error))
    }

    /// Only what was made here: somebody may have a directory of this name.
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

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is removed by the next run; there is no better error to be told than that of this one.
        drop(self.remove_files());
        drop(fs::remove_dir(&self.dir));
    }
}

/// Never replaces anything, not even what came to be this moment.
fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems cannot; a second name for the same file is as good.
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
    fn a_file_gets_its_name_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = Scratch::beside(&dir.path().join("target"), "import").unwrap();
        fs::write(scratch.file(), "1").unwrap();
        assert_eq!(names(dir.path()), ["target.import"]);
        scratch.publish().unwrap();
        assert_eq!(names(dir.path()), ["target"]);
    }

    #[test]
    fn what_is_given_up_leaves_nothing_and_what_a_kill_left_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        drop(Scratch::beside(&target, "import").unwrap());
        assert_eq!(names(dir.path()), Vec::<String>::new());
        fs::create_dir(dir.path().join("target.import")).unwrap();
        fs::write(dir.path().join("target.import/whole.lock"), "").unwrap();
        let scratch = Scratch::beside(&target, "import").unwrap();
        assert_eq!(names(&dir.path().join("target.import")), Vec::<String>::new());
        assert!(Scratch::beside(&target, "import").is_err(), "somebody is at work there");
        fs::write(scratch.file(), "1").unwrap();
        fs::write(&target, "somebody else's").unwrap();
        assert!(scratch.publish().is_err());
        assert_eq!(fs::read_to_string(&target).unwrap(), "somebody else's");
        assert_eq!(names(dir.path()), ["target"]);
    }
}
