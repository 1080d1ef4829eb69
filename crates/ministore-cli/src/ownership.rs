//! Which files an output must not be: inputs, the files of the journal, and those of other journals. Files are compared by
//! device and inode, so that symbolic and hard links are found, and by name, because a journal owns names of files that do not
//! exist yet.

use std::{
    collections::HashMap,
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use crate::{
    exit::{CliError, ExitStatus},
    hint::quoted,
    paths::{directory_of, resolved},
    suggest,
};

/// The suffix of the program's own side file.
pub(crate) const CHECKPOINT_SUFFIX: &str = "ingest-checkpoint";

/// The device and the inode of a file.
type FileId = (u64, u64);

/// The files and names that are taken.
#[derive(Debug, Default)]
pub(crate) struct Ownership {
    /// Each with its description.
    files: HashMap<FileId, String>,
    journals: Vec<PathBuf>,
}

impl Ownership {
    /// The files of a journal, which may not exist yet.
    pub(crate) fn of_journal(journal: &Path) -> Self {
        let mut ownership = Self::default();
        ownership.add_journal(journal);
        ownership
    }

    pub(crate) fn add_journal(&mut self, journal: &Path) {
        let journal = resolved(journal);
        for entry in fs::read_dir(directory_of(&journal)).into_iter().flatten().flatten() {
            let path = directory_of(&journal).join(entry.file_name());
            if is_of(&path, &journal)
                && let Ok(found) = fs::metadata(&path)
            {
                let text = match path == journal {
                    true => "is the journal itself".to_owned(),
                    false => format!("is a file of the journal {}", journal.display()),
                };
                self.add_file(&found, text);
            }
        }
        self.journals.push(journal);
    }

    /// `description` completes "this file …".
    pub(crate) fn add_file(&mut self, found: &Metadata, description: String) {
        // A device or a pipe may be both an input and an output.
        if found.is_file() {
            self.files.entry((found.dev(), found.ino())).or_insert(description);
        }
    }

    /// Rejects a file that is taken.
    pub(crate) fn check_file(&self, path: &Path, found: &Metadata) -> Result<(), CliError> {
        match self.files.get(&(found.dev(), found.ino())) {
            Some(description) => Err(rejected(path, description)),
            None => Ok(()),
        }
    }

    /// Rejects an output, which may exist or not.
    pub(crate) fn check_output(&self, path: &Path) -> Result<(), CliError> {
        self.check_name(path)?;
        match fs::metadata(path) {
            Ok(found) => self.check_file(path, &found)?,
            Err(_) => check_not_dangling(path)?,
        }
        if suggest::is_journal(path) { Err(foreign(path, "is a journal")) } else { Ok(()) }
    }

    /// Rejects a name that a journal gives to its files.
    pub(crate) fn check_name(&self, path: &Path) -> Result<(), CliError> {
        let full = resolved(path);
        let described = |owner: &Path| format!("is the name of a file of the journal {}", owner.display());
        if let Some(journal) = self.journals.iter().find(|journal| is_of(&full, journal)) {
            return Err(rejected(path, &described(journal)));
        }
        owner_of(&full).map_or(Ok(()), |owner| Err(foreign(path, &described(&owner))))
    }

    /// Opens an output to append to it, or creates it. A symbolic link is followed only to a file that exists, which is checked
    /// itself.
    pub(crate) fn open_for_appending(&self, path: &Path) -> Result<File, CliError> {
        self.check_output(path)?;
        let failed = |error| CliError::file(path, "open it for appending", &error);
        let file = match OpenOptions::new().append(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                OpenOptions::new().append(true).create_new(true).open(path).map_err(failed)?
            }
            opened => opened.map_err(failed)?,
        };
        self.check_file(path, &file.metadata().map_err(failed)?)?;
        Ok(file)
    }
}

/// Rejects a symbolic link to a file that does not exist: it may be the name of a file that a journal will use.
fn check_not_dangling(path: &Path) -> Result<(), CliError> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    let reason = "is a symbolic link to a file that does not exist";
    Err(CliError::about(path, ExitStatus::CannotCreate, reason)
        .hint("name the file itself, or remove the link"))
}

/// Rejects the name of a journal that is the name of a side file which this program writes for another journal.
pub(crate) fn check_journal_name(journal: &Path) -> Result<(), CliError> {
    let full = resolved(journal);
    let owner = owner_of(&full).filter(|owner| {
        let suffix = suffix_of(&full, owner);
        suffix.is_some_and(|suffix| suffix.starts_with(CHECKPOINT_SUFFIX))
    });
    owner.map_or(Ok(()), |owner| {
        Err(foreign(journal, &format!("is the name of a side file of the journal {}", owner.display())))
    })
}

/// Rejects a redirection of the outputs of this process into the journal (`ministore replay j >> j`).
pub(crate) fn check_standard_outputs(journal: &Path) -> Result<(), CliError> {
    let (stdout, stderr) = (io::stdout(), io::stderr());
    for (name, output) in [("standard output", stdout.as_fd()), ("standard error", stderr.as_fd())] {
        let Ok(found) = output.try_clone_to_owned().map(File::from).and_then(|file| file.metadata()) else {
            continue;
        };
        if found.is_file() {
            Ownership::of_journal(journal).check_file(Path::new(name), &found)?;
        }
    }
    Ok(())
}

fn rejected(path: &Path, description: &str) -> CliError {
    CliError::about(path, ExitStatus::Usage, description).hint("nothing was changed: name another file")
}

fn foreign(path: &Path, description: &str) -> CliError {
    CliError::about(path, ExitStatus::CannotCreate, description)
        .hint(format_args!("nothing was changed: choose another name, or move {} away", quoted(path)))
}

/// Whether a path is the name of a file of this journal, even if it does not exist. Both must be [`resolved`].
pub(crate) fn is_of(path: &Path, journal: &Path) -> bool {
    path == journal || suffix_of(path, journal).is_some_and(|suffix| is_suffix(&suffix))
}

/// Returns what follows `JOURNAL.` in a path.
fn suffix_of(path: &Path, journal: &Path) -> Option<String> {
    if path.parent() != journal.parent() {
        return None;
    }
    let (name, own) = (path.file_name()?, journal.file_name()?);
    let rest = name.as_encoded_bytes().strip_prefix(own.as_encoded_bytes())?.strip_prefix(b".")?;
    Some(String::from_utf8_lossy(rest).into_owned())
}

/// Whether a journal gives such a suffix to its files.
pub(crate) fn is_suffix(suffix: &str) -> bool {
    let is_number = !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit());
    is_number
        || ["next", "lock", "holds", "holds.next", CHECKPOINT_SUFFIX].contains(&suffix)
        || suffix.starts_with("truncated-")
        || suffix.starts_with("staged-")
        || suffix.strip_prefix(CHECKPOINT_SUFFIX).is_some_and(|rest| rest.starts_with('.'))
}

/// Returns the existing journal that a file of this name belongs to. The path must be [`resolved`].
pub(crate) fn owner_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_string_lossy();
    let stems = name.match_indices('.').filter(|&(dot, _)| dot > 0);
    let mut stems = stems.filter(|&(dot, _)| is_suffix(&name[dot + 1..])).map(|(dot, _)| &name[..dot]);
    stems.find_map(|stem| Some(path.with_file_name(stem)).filter(|journal| suggest::is_journal(journal)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn journal_in(dir: &Path) -> PathBuf {
        let journal = dir.join("j");
        fs::write(&journal, [suggest::MAGIC, b"0.1.4\n"].concat()).unwrap();
        journal
    }

    #[test]
    fn names_of_a_journal_are_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        // Before the journal exists.
        let own = Ownership::of_journal(&path("j"));
        for name in [
            "j",
            "j.001",
            "j.2024",
            "j.next",
            "j.lock",
            "j.holds",
            "j.holds.next",
            "j.truncated-7",
            "j.staged-7",
        ] {
            assert!(own.check_output(&path(name)).is_err(), "{name}");
        }
        assert!(own.check_output(&path("j.ingest-checkpoint")).is_err());
        for name in ["k", "j.bad", "j.001.txt", "jj", "j.", "xj.001"] {
            assert!(own.check_output(&path(name)).is_ok(), "{name}");
        }
        // Of another journal, which exists.
        journal_in(dir.path());
        for name in ["j", "j.001", "j.ingest-checkpoint", "j.holds.next"] {
            assert!(Ownership::default().check_output(&path(name)).is_err(), "{name}");
        }
        assert!(check_journal_name(&path("j.ingest-checkpoint")).is_err());
        assert!(check_journal_name(&path("j.2024")).is_ok() && check_journal_name(&path("j")).is_ok());
    }

    #[test]
    fn links_to_taken_files_are_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let journal = journal_in(dir.path());
        fs::write(path("j.001"), "segment").unwrap();
        fs::write(path("in"), "1\n").unwrap();
        let mut own = Ownership::of_journal(&journal);
        own.add_file(&fs::metadata(path("in")).unwrap(), "is an input".to_owned());
        for target in ["j", "j.001", "in"] {
            symlink(path(target), path("soft")).unwrap();
            fs::hard_link(path(target), path("hard")).unwrap();
            for link in ["soft", "hard"] {
                assert!(own.open_for_appending(&path(link)).is_err(), "{link} to {target}");
                fs::remove_file(path(link)).unwrap();
            }
        }
        // A link to a name that the journal will use.
        symlink(path("j.002"), path("dangling")).unwrap();
        assert!(own.open_for_appending(&path("dangling")).is_err() && !path("j.002").exists());
        assert!(own.open_for_appending(&path("bad")).is_ok() && own.open_for_appending(&path("bad")).is_ok());
        assert!(own.open_for_appending(Path::new("/dev/null")).is_ok());
    }
}
