//! Where journals live, and on what they can be written here.

use std::{
    fmt, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

use ministore_uring::{Backend, JournalOptions, MiniStoreError};
use tempfile::TempDir;

/// A directory with one journal in it, removed on drop.
#[derive(Debug)]
pub struct Place {
    dir: TempDir,
    path: PathBuf,
}

impl Place {
    /// A fresh one, beside the build: `/tmp` may be memory.
    ///
    /// # Panics
    ///
    /// Where it cannot be made.
    #[must_use]
    pub fn new(parent: &Path) -> Self {
        fs::create_dir_all(parent).expect("a directory for journals");
        let dir = tempfile::tempdir_in(parent).expect("a directory for a journal");
        let path = dir.path().canonicalize().expect("it is there").join("journal.jsonl");
        Self { dir, path }
    }

    /// The journal.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A file of the journal, by what follows its name.
    #[must_use]
    pub fn file(&self, suffix: &str) -> PathBuf {
        self.dir.path().join(format!("journal.jsonl{suffix}"))
    }

    /// The names of all files but the lock, in their order.
    ///
    /// # Panics
    ///
    /// Where they cannot be listed.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.dir())
            .expect("the directory is there")
            .map(|entry| entry.expect("it can be listed").file_name().into_string().expect("our own names"))
            .filter(|name| !name.ends_with(".lock"))
            .collect();
        names.sort();
        names
    }

    /// Every file but the lock, with its bytes, in the order of the names.
    ///
    /// # Panics
    ///
    /// Where one cannot be read.
    #[must_use]
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let read = |name: String| (name.clone(), fs::read(self.dir().join(name)).expect("it can be read"));
        self.names().into_iter().map(read).collect()
    }
}

/// A backend, as an argument of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct On(pub Backend);

impl fmt::Display for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 == Backend::Uring { "uring" } else { "blocking" })
    }
}

impl FromStr for On {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "uring" => Ok(Self(Backend::Uring)),
            "blocking" => Ok(Self(Backend::Blocking)),
            other => Err(format!("no backend: {other}")),
        }
    }
}

/// The backends that run here; says loudly which does not.
///
/// # Panics
///
/// Where a journal cannot be opened for another reason.
#[must_use]
pub fn backends(parent: &Path) -> Vec<On> {
    let place = Place::new(parent);
    match JournalOptions::new().backend(Backend::Uring).open_blocking(place.path()) {
        Ok(_) => vec![On(Backend::Uring), On(Backend::Blocking)],
        Err(refused @ MiniStoreError::BackendUnavailable { .. }) => {
            shout(format_args!("SKIPPED: io_uring: {refused}"));
            vec![On(Backend::Blocking)]
        }
        Err(other) => panic!("{other}"),
    }
}

/// Past the test harness, which swallows what a passing test prints.
pub fn shout(text: fmt::Arguments<'_>) {
    drop(writeln!(io::stderr(), "\n{text}"));
}
