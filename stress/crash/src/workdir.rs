//! Directories for test journals, and the backends available on this machine.

use std::{
    fmt, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use ministore_uring::{Backend, JournalOptions, MiniStoreError};
use tempfile::TempDir;

/// A directory with one journal in it, removed on drop.
#[derive(Debug)]
pub struct Workdir {
    dir: TempDir,
    path: PathBuf,
}

impl Workdir {
    /// Creates an empty directory in `base_dir`. The tests pass a build directory, because `/tmp` may be a tmpfs.
    pub fn new(base_dir: &Path) -> Self {
        fs::create_dir_all(base_dir).expect("a directory for journals");
        let dir = tempfile::tempdir_in(base_dir).expect("a directory for a journal");
        let path = dir.path().canonicalize().expect("the directory exists").join("journal.jsonl");
        Self { dir, path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the names of all files except the lock, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.dir())
            .expect("the directory exists")
            .map(|entry| entry.expect("it can be listed").file_name().into_string().expect("a UTF-8 name"))
            .filter(|name| !name.ends_with(".lock"))
            .collect();
        names.sort();
        names
    }

    /// Returns the names and contents of all files except the lock, sorted by name.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let read = |name: String| (name.clone(), fs::read(self.dir().join(name)).expect("it can be read"));
        self.names().into_iter().map(read).collect()
    }
}

/// Returns the backends available on this machine, and prints a `SKIPPED` line if those of io_uring are not.
pub fn backends(base_dir: &Path) -> Vec<Backend> {
    let workdir = Workdir::new(base_dir);
    match JournalOptions::new().backend(Backend::Uring).open_blocking(workdir.path()) {
        Ok(_) => vec![Backend::Uring, Backend::TokioUring, Backend::Blocking],
        Err(error @ MiniStoreError::BackendUnavailable { .. }) => {
            print_uncaptured(format_args!("SKIPPED: io_uring: {error}"));
            vec![Backend::Blocking]
        }
        Err(other) => panic!("{other}"),
    }
}

/// Writes to standard error directly, because the test harness captures `eprintln!` of passing tests.
pub fn print_uncaptured(text: fmt::Arguments<'_>) {
    drop(writeln!(io::stderr(), "\n{text}"));
}
