//! The directory that the targets write to: one per process, in `/dev/shm` if it exists.

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

/// Calls `body` with the directory.
pub fn in_directory(body: impl FnOnce(&Path)) {
    body(DIR.lock().unwrap_or_else(PoisonError::into_inner).path());
}
