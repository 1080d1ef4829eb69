//! Owns the checks of what a commit is made of: writes that are durable by themselves, past the page cache, and
//! directories that can be synced.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use ministore_uring::{Backend, JournalOptions, MiniStoreError};
use rustix::fs::{AtFlags, CWD, OFlags, StatxFlags, statx};

use super::finding::Finding;

/// What a direct write has to be a multiple of, in memory and in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Alignment {
    memory: u32,
    file: u32,
}

/// The alignment that commits keep.
const COMMIT_ALIGNMENT: u32 = 4096;

pub(super) fn check(directory: &Path) -> Vec<Finding> {
    let path = directory.join("writes");
    if let Err(error) = File::create(&path).and_then(|file| file.sync_all()) {
        return vec![
            Finding::problem("writes", format!("a file cannot be made and synced: {error}"))
                .why("nothing can be made durable here"),
        ];
    }
    vec![dsync(&path), direct(directory, alignment(&path)), directories(directory)]
}

fn dsync(path: &Path) -> Finding {
    let flags = i32::try_from(OFlags::DSYNC.bits()).unwrap_or(0);
    let write = || OpenOptions::new().write(true).custom_flags(flags).open(path)?.write_all(b" ");
    match write() {
        Ok(()) => Finding::ok("synchronous writes", "O_DSYNC is taken"),
        Err(error) => Finding::note("synchronous writes", format!("O_DSYNC is refused: {error}"))
            .why("a commit is a write and an fdatasync instead"),
    }
}

/// Asks a journal, which finds it out by trying.
fn direct(directory: &Path, alignment: Option<Alignment>) -> Finding {
    const CHECK: &str = "direct writes";
    let open = || -> Result<bool, MiniStoreError> {
        let options = JournalOptions::new().backend(Backend::Blocking).max_bytes_per_segment(1 << 20);
        let store = options.open_blocking(directory.join("direct.jsonl"))?;
        store.blocking().append(&1)?;
        let direct = store.stats().direct;
        store.blocking().close()?;
        Ok(direct)
    };
    match open() {
        Ok(true) => Finding::ok(CHECK, format!("O_DIRECT with O_DSYNC{}", aligned(alignment))),
        Ok(false) => Finding::note(CHECK, format!("not taken{}", aligned(alignment)))
            .why("a commit is a write through the page cache and an fdatasync: as durable, and often slower"),
        Err(error) => Finding::problem(CHECK, format!("a journal cannot be written: {error}")),
    }
}

fn aligned(alignment: Option<Alignment>) -> String {
    match alignment {
        Some(Alignment { file: 0, .. }) => ", and none are supported".to_owned(),
        Some(Alignment { memory, file }) if file > COMMIT_ALIGNMENT || memory > COMMIT_ALIGNMENT => {
            format!(
                ", which have to be multiples of {file} bytes: more than the {COMMIT_ALIGNMENT} of a commit"
            )
        }
        Some(Alignment { memory, file }) => format!(", aligned to {file} bytes ({memory} in memory)"),
        None => String::new(),
    }
}

/// As the kernel tells it since 6.1, where the file system does.
fn alignment(path: &Path) -> Option<Alignment> {
    let told = statx(CWD, path, AtFlags::empty(), StatxFlags::DIOALIGN).ok()?;
    let has = told.stx_mask & StatxFlags::DIOALIGN.bits() != 0;
    has.then_some(Alignment { memory: told.stx_dio_mem_align, file: told.stx_dio_offset_align })
}

fn directories(directory: &Path) -> Finding {
    let sync = || -> io::Result<()> { File::open(directory)?.sync_all() };
    match sync() {
        Ok(()) => {
            Finding::ok("directories", "can be synced, so that new segments are found after a power cut")
        }
        Err(error) => Finding::problem("directories", format!("cannot be synced: {error}"))
            .why("a new segment may be gone after a power cut, with what was acknowledged in it")
            .advice("a file system that can"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn this_machine_can_write() {
        let dir = tempfile::tempdir().unwrap();
        let findings = check(dir.path());
        assert_eq!(findings.len(), 3);
        assert!(findings.iter().all(|finding| finding.level <= Level::Note), "{findings:?}");
        assert_eq!(check(&dir.path().join("missing"))[0].level, Level::Problem);
    }

    #[test]
    fn an_alignment_beyond_that_of_a_commit_is_told() {
        let told = |memory, file| aligned(Some(Alignment { memory, file }));
        assert_eq!(told(4, 512), ", aligned to 512 bytes (4 in memory)");
        assert!(told(4, 65536).contains("more than the 4096"));
        assert!(told(0, 0).contains("none") && aligned(None).is_empty());
    }
}
