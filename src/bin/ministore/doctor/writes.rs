//! Owns the checks of what a commit is made of: how it is made durable, writes past the page cache, and directories that
//! can be synced.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use ministore_uring::{Backend, JournalOptions, MiniStoreError, Stats, SyncKind};
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

/// The findings, and the sync mode that a journal with default options uses here.
pub(super) fn check(directory: &Path) -> (Vec<Finding>, Option<SyncKind>) {
    let path = directory.join("writes");
    if let Err(error) = File::create(&path).and_then(|file| file.sync_all()) {
        let problem = Finding::problem("writes", format!("a file cannot be made and synced: {error}"));
        return (vec![problem.why("nothing can be made durable here")], None);
    }
    let written = write_journal(directory);
    let sync_mode = written.as_ref().ok().map(|stats| stats.sync_mode);
    let mut findings = vec![dsync(&path)];
    findings.extend(sync_mode.map(mode));
    findings.extend([direct(written, alignment(&path)), directories(directory)]);
    (findings, sync_mode)
}

fn mode(kind: SyncKind) -> Finding {
    const CHECK: &str = "sync mode";
    match kind {
        SyncKind::Dsync => Finding::ok(CHECK, "dsync: a commit is one write with O_DSYNC"),
        _ => Finding::note(CHECK, "fdatasync: a commit is one write, then an fdatasync")
            .why("O_DSYNC is relied on for direct writes on ext4, xfs and btrfs only: other file systems can ignore it"),
    }
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

/// Asks a journal, which finds out by trying.
fn write_journal(directory: &Path) -> Result<Stats, MiniStoreError> {
    let options = JournalOptions::new().backend(Backend::Blocking).max_bytes_per_segment(1 << 20);
    let store = options.open_blocking(directory.join("direct.jsonl"))?;
    store.blocking().append(&1)?;
    let stats = store.stats();
    store.blocking().close()?;
    Ok(stats)
}

fn direct(written: Result<Stats, MiniStoreError>, alignment: Option<Alignment>) -> Finding {
    const CHECK: &str = "direct writes";
    match written {
        Ok(stats) if stats.direct => Finding::ok(CHECK, format!("O_DIRECT{}", aligned(alignment))),
        Ok(_) => Finding::note(CHECK, format!("not used{}", aligned(alignment)))
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
        let (findings, sync_mode) = check(dir.path());
        assert_eq!(findings.len(), 4);
        assert!(sync_mode.is_some());
        assert!(findings.iter().all(|finding| finding.level <= Level::Note), "{findings:?}");
        let (findings, sync_mode) = check(&dir.path().join("missing"));
        assert_eq!((findings[0].level, sync_mode), (Level::Problem, None));
    }

    #[test]
    fn an_alignment_beyond_that_of_a_commit_is_told() {
        let told = |memory, file| aligned(Some(Alignment { memory, file }));
        assert_eq!(told(4, 512), ", aligned to 512 bytes (4 in memory)");
        assert!(told(4, 65536).contains("more than the 4096"));
        assert!(told(0, 0).contains("none") && aligned(None).is_empty());
    }
}
