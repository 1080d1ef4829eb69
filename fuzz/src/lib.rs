//! Owns the directory that a target may fill: one a process, in memory where the system has such a place.

use std::{
    path::Path,
    sync::{LazyLock, Mutex, PoisonError},
};

use tempfile::TempDir;

static DIR: LazyLock<Mutex<TempDir>> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    Mutex::new(tempfile::tempdir_in(base).expect("a directory for the journals"))
});

/// Runs a body in the directory.
pub fn in_directory(body: impl FnOnce(&Path)) {
    body(DIR.lock().unwrap_or_else(PoisonError::into_inner).path());
}
