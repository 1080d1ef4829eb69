//! Checks the operations of a commit: the sync mode, synchronous writes, direct I/O, and syncing directories.

use std::{fs::File, io::Write, path::Path};

use ministore_uring::{Backend, JournalOptions, MiniStoreError, Stats, SyncKind};
use rustix::fs::{AtFlags, CWD, OFlags, StatxFlags, statx};

use super::finding::Finding;
use crate::paths::open_with;

/// The alignment of direct writes in memory and in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Alignment {
    memory: u32,
    file: u32,
}

/// The alignment of commits.
const COMMIT_ALIGNMENT: u32 = 4096;

/// Returns the findings, and the sync mode of a journal with default options here.
pub(super) fn check(directory: &Path) -> (Vec<Finding>, Option<SyncKind>) {
    let path = directory.join("writes");
    if let Err(error) = File::create(&path).and_then(|file| file.sync_all()) {
        let problem = Finding::problem("writes", format!("cannot create and sync a file: {error}"));
        return (vec![problem.detail("nothing can be made durable here")], None);
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
        _ => Finding::note(CHECK, "fdatasync: a commit is one write and one fdatasync").detail(
            "O_DSYNC is used for direct I/O on ext4, xfs and btrfs only: other file systems can ignore it",
        ),
    }
}

fn dsync(path: &Path) -> Finding {
    match open_with(path, OFlags::WRONLY | OFlags::DSYNC).and_then(|mut file| file.write_all(b" ")) {
        Ok(()) => Finding::ok("synchronous writes", "O_DSYNC is supported"),
        Err(error) => Finding::note("synchronous writes", format!("O_DSYNC is not supported: {error}"))
            .detail("a commit uses write and fdatasync instead"),
    }
}

/// Writes a journal: opening it detects what the file system supports.
fn write_journal(directory: &Path) -> Result<Stats, MiniStoreError> {
    let options = JournalOptions::new().backend(Backend::Blocking).max_segment_bytes(1 << 20);
    let store = options.open_blocking(directory.join("direct.jsonl"))?;
    store.blocking().append(&1)?;
    let stats = store.stats();
    store.blocking().close()?;
    Ok(stats)
}

fn direct(written: Result<Stats, MiniStoreError>, alignment: Option<Alignment>) -> Finding {
    const CHECK: &str = "direct writes";
    match written {
        Ok(stats) if stats.direct_io => Finding::ok(CHECK, format!("O_DIRECT{}", aligned(alignment))),
        Ok(_) => Finding::note(CHECK, format!("not used{}", aligned(alignment)))
            .detail("a commit uses a buffered write and fdatasync: equally durable, often slower"),
        Err(error) => Finding::problem(CHECK, format!("writing a journal failed: {error}")),
    }
}

fn aligned(alignment: Option<Alignment>) -> String {
    match alignment {
        Some(Alignment { file: 0, .. }) => ", not supported by the file system".to_owned(),
        Some(Alignment { memory, file }) if file > COMMIT_ALIGNMENT || memory > COMMIT_ALIGNMENT => {
            format!(
                ", which requires an alignment of {file} bytes: more than the {COMMIT_ALIGNMENT} of a commit"
            )
        }
        Some(Alignment { memory, file }) => format!(", aligned to {file} bytes ({memory} in memory)"),
        None => String::new(),
    }
}

/// Returns the alignment that the kernel reports (since 6.1, if the file system supports it).
fn alignment(path: &Path) -> Option<Alignment> {
    let info = statx(CWD, path, AtFlags::empty(), StatxFlags::DIOALIGN).ok()?;
    let has = info.stx_mask & StatxFlags::DIOALIGN.bits() != 0;
    has.then_some(Alignment { memory: info.stx_dio_mem_align, file: info.stx_dio_offset_align })
}

fn directories(directory: &Path) -> Finding {
    match File::open(directory).and_then(|file| file.sync_all()) {
        Ok(()) => Finding::ok("directories", "can be synced, so that new segments survive a power failure"),
        Err(error) => Finding::problem("directories", format!("cannot be synced: {error}"))
            .detail("a new segment with acknowledged records may be lost in a power failure")
            .remedy("use a file system that supports it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn this_machine_supports_writes() {
        let dir = tempfile::tempdir().unwrap();
        let (findings, sync_mode) = check(dir.path());
        assert_eq!(findings.len(), 4);
        assert!(sync_mode.is_some());
        assert!(findings.iter().all(|finding| finding.level <= Level::Note), "{findings:?}");
        let (findings, sync_mode) = check(&dir.path().join("missing"));
        assert_eq!((findings[0].level, sync_mode), (Level::Problem, None));
    }

    #[test]
    fn too_large_alignment_is_reported() {
        let text = |memory, file| aligned(Some(Alignment { memory, file }));
        assert_eq!(text(4, 512), ", aligned to 512 bytes (4 in memory)");
        assert!(text(4, 65536).contains("more than the 4096"));
        assert!(text(0, 0).contains("not supported") && aligned(None).is_empty());
    }
}
