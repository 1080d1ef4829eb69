//! Checks locks: whether one is granted, excludes a second one, and is released.

use std::{fs::File, io, path::Path};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::{
    file_system::{FsClass, class_of},
    finding::Finding,
};

const CHECK: &str = "locks";

/// The results of a second lock while the first is held, and of a third after its release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LockProbe {
    excluded: bool,
    released: bool,
}

pub(super) fn check(directory: &Path, kind: &str) -> Finding {
    match trial(&directory.join("lock")) {
        Ok(tried) => judge(tried, kind),
        Err(error) => Finding::problem(CHECK, format!("flock failed: {error}"))
            .detail("a journal needs a lock to exclude a second writer: it cannot be opened here")
            .remedy("use a local file system, or a mount option that enables locks"),
    }
}

fn trial(path: &Path) -> io::Result<LockProbe> {
    let lock = |file: &File| flock(file, FlockOperation::NonBlockingLockExclusive);
    let is_held_elsewhere = |error| matches!(error, Errno::WOULDBLOCK | Errno::ACCESS);
    let (first, second) = (File::create(path)?, File::create(path)?);
    lock(&first)?;
    let excluded = match lock(&second) {
        Ok(()) => false,
        Err(error) if is_held_elsewhere(error) => true,
        Err(error) => return Err(error.into()),
    };
    drop(first);
    Ok(LockProbe { excluded, released: lock(&second).is_ok() })
}

fn judge(tried: LockProbe, kind: &str) -> Finding {
    match tried {
        LockProbe { excluded: false, .. } => {
            Finding::problem(CHECK, "flock was granted twice for the same file")
                .detail("a second writer is not excluded, and two writers destroy a journal")
                .remedy("use a local file system, or make sure that only one process writes")
        }
        LockProbe { released: false, .. } => {
            Finding::problem(CHECK, "a lock remains after its file was closed")
                .detail("a journal could not be opened again after its writer exits")
                .remedy("use a local file system")
        }
        _ if class_of(kind) == FsClass::Remote => {
            Finding::note(CHECK, "flock excludes a second writer on this machine").detail(
                "whether it excludes writers on other machines depends on the server and was not tested",
            )
        }
        _ => Finding::ok(CHECK, "flock excludes a second writer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn ineffective_lock_is_a_problem() {
        let level = |excluded, released, kind| judge(LockProbe { excluded, released }, kind).level;
        assert_eq!(level(true, true, "ext4"), Level::Ok);
        assert_eq!(level(true, true, "nfs4"), Level::Note);
        assert_eq!([level(false, true, "ext4"), level(true, false, "ext4")], [Level::Problem; 2]);
    }

    #[test]
    fn local_file_system_excludes_a_second_lock() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(trial(&dir.path().join("lock")).unwrap(), LockProbe { excluded: true, released: true });
    }
}
