//! Owns the check of locks: that one is granted, that it keeps a second one out, and that it ends.

use std::{fs::File, io, path::Path};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::{
    file_system::{Nature, nature},
    finding::Finding,
};

const CHECK: &str = "locks";

/// What became of the second lock, and of the third one, after the first was let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tried {
    kept_out: bool,
    let_in: bool,
}

pub(super) fn check(directory: &Path, kind: &str) -> Finding {
    match trial(&directory.join("lock")) {
        Ok(tried) => judge(tried, kind),
        Err(error) => Finding::problem(CHECK, format!("flock is refused: {error}"))
            .why("a journal is opened by one writer, which it makes sure of by a lock: it will not open here")
            .advice("a local file system, or a mount option that grants locks"),
    }
}

fn trial(path: &Path) -> io::Result<Tried> {
    let lock = |file: &File| flock(file, FlockOperation::NonBlockingLockExclusive);
    let taken = |error| matches!(error, Errno::WOULDBLOCK | Errno::ACCESS);
    let (first, second) = (File::create(path)?, File::create(path)?);
    lock(&first)?;
    let kept_out = match lock(&second) {
        Ok(()) => false,
        Err(error) if taken(error) => true,
        Err(error) => return Err(error.into()),
    };
    drop(first);
    Ok(Tried { kept_out, let_in: lock(&second).is_ok() })
}

fn judge(tried: Tried, kind: &str) -> Finding {
    match tried {
        Tried { kept_out: false, .. } => Finding::problem(CHECK, "flock is granted twice for the same file")
            .why("a second writer would not be kept out, and two writers destroy a journal")
            .advice("a local file system, or see to it yourself that one process alone writes"),
        Tried { let_in: false, .. } => Finding::problem(CHECK, "a lock stays after its file was closed")
            .why("a journal could not be opened again after its writer has gone")
            .advice("a local file system"),
        _ if nature(kind) == Nature::Remote => {
            Finding::note(CHECK, "flock keeps a second writer of this machine out").why(
                "whether it keeps writers of other machines out is the server's affair, and was not tried",
            )
        }
        _ => Finding::ok(CHECK, "flock keeps a second writer out"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn a_lock_that_keeps_nobody_out_or_stays_is_a_problem() {
        let level = |kept_out, let_in, kind| judge(Tried { kept_out, let_in }, kind).level;
        assert_eq!(level(true, true, "ext4"), Level::Ok);
        assert_eq!(level(true, true, "nfs4"), Level::Note);
        assert_eq!([level(false, true, "ext4"), level(true, false, "ext4")], [Level::Problem; 2]);
    }

    #[test]
    fn a_local_file_system_keeps_the_second_out() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(trial(&dir.path().join("lock")).unwrap(), Tried { kept_out: true, let_in: true });
    }
}
