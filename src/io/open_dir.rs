//! A directory that stays open, so that its files are found wherever it is moved.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rustix::fs::CWD;

/// The descriptor of a journal's directory, kept from open to close. Clones share it. Before [`open`](Self::open) is
/// called every path is looked up as it is.
#[derive(Debug, Clone, Default)]
pub struct OpenDir(Arc<OnceLock<(PathBuf, File)>>);

impl OpenDir {
    /// Opens the directory and keeps it open.
    pub(super) fn open(&self, dir: &Path) -> io::Result<()> {
        let _ = self.0.set((dir.to_path_buf(), File::open(dir)?));
        Ok(())
    }

    /// Returns the directory and the path to look up in it: a name in the open directory, or the path itself.
    pub(super) fn locate<'a>(&'a self, path: &'a Path) -> (BorrowedFd<'a>, &'a Path) {
        match (self.0.get(), path.file_name()) {
            (Some((dir, file)), Some(name)) if path.parent() == Some(dir) => (file.as_fd(), Path::new(name)),
            _ => (CWD, path),
        }
    }

    /// Returns the descriptor of a directory, if it is the open one.
    pub(super) fn file(&self, dir: &Path) -> Option<&File> {
        self.0.get().filter(|(path, _)| path == dir).map(|(_, file)| file)
    }

    /// Returns whether a path names a file in the open directory.
    pub(super) fn contains(&self, path: &Path) -> bool {
        path.parent().is_some_and(|dir| self.file(dir).is_some())
    }
}
