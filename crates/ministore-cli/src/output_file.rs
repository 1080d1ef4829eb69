//! A report of the program in a file: an existing file is replaced once the new content is complete.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::TempPath;

use crate::{
    exit::CliError,
    ownership::Ownership,
    paths::{directory_of, os_error},
};

/// The permissions of new files, from which the umask is subtracted.
const MODE: u32 = 0o666;

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct OutputFile {
    target: PathBuf,
    file: File,
    /// The file until it is complete; `None` for a device or a pipe, which is written directly.
    temporary: Option<TempPath>,
}

impl OutputFile {
    /// Creates a temporary file next to the target, which shows that the target can be written. The files of journals are
    /// rejected. Of a symbolic link, the file is replaced that it refers to.
    pub(crate) fn create(path: &Path) -> Result<Self, CliError> {
        let failed = |error: io::Error| CliError::create(path, &error);
        Ownership::default().check_output(path)?;
        let target = match fs::metadata(path) {
            Ok(found) if found.is_dir() => return Err(failed(io::ErrorKind::IsADirectory.into())),
            Ok(found) if !found.is_file() => {
                let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
                return Ok(Self { target: path.to_owned(), file, temporary: None });
            }
            Ok(_) => fs::canonicalize(path).map_err(failed)?,
            Err(_) => path.to_owned(),
        };
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix(".ministore-").permissions(Permissions::from_mode(MODE));
        let created = builder.tempfile_in(directory_of(&target)).map_err(|error| failed(os_error(error)))?;
        let (file, temporary) = created.into_parts();
        Ok(Self { target, file, temporary: Some(temporary) })
    }

    /// Returns the file to write to.
    pub(crate) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    pub(crate) fn write(&self, content: &[u8]) -> io::Result<()> {
        (&self.file).write_all(content)
    }

    /// Gives the file its name. Its content must have been written.
    pub(crate) fn persist(self) -> Result<(), CliError> {
        let failed = |error: io::Error| CliError::create(&self.target, &error);
        let Some(temporary) = self.temporary else { return Ok(()) };
        self.file.sync_all().map_err(failed)?;
        temporary.persist(&self.target).map_err(|error| failed(os_error(error.error)))
    }
}

/// Writes a whole file.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), CliError> {
    let output = OutputFile::create(path)?;
    output.write(content).map_err(|error| CliError::create(path, &error))?;
    output.persist()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn file_is_replaced_without_leftovers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.html");
        fs::write(&path, "old").unwrap();
        let unfinished = OutputFile::create(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(unfinished);
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        write(&link, b"newer").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"newer");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert!(write(dir.path(), b"x").is_err() && write(&dir.path().join("no/such/out"), b"x").is_err());
    }

    #[test]
    fn device_is_written_and_link_to_nothing_rejected() {
        write(Path::new("/dev/null"), b"x").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (link, target) = (dir.path().join("link"), dir.path().join("target"));
        symlink(&target, &link).unwrap();
        assert!(write(&link, b"x").is_err() && !target.exists());
    }

    #[test]
    fn journal_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("j");
        let content = [crate::suggest::MAGIC, b"0.1.4\n1\n"].concat();
        fs::write(&journal, &content).unwrap();
        fs::hard_link(&journal, dir.path().join("other")).unwrap();
        for name in ["j", "other", "j.001", "j.next", "j.ingest-checkpoint"] {
            assert!(write(&dir.path().join(name), b"x").is_err(), "{name}");
        }
        assert_eq!(fs::read(&journal).unwrap(), content);
    }
}
