//! Retention deletes segments between and during the reads.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tempfile::TempDir;

use super::{JournalFiles, get, groups, text, warm_reader};
use crate::{
    JournalOptions, MiniStoreError, Reader, Records, Result,
    format::{ChainLink, SegmentHeader, testing::SegmentBytes},
    io::{FileHandle, FileSystem, FileSystemLayer, OpenMode, OsFileSystem},
};

#[test]
fn records_deleted_by_retention_return_trimmed() {
    let files = JournalFiles::new();
    let mut last = (1, 0);
    for number in 1..=5 {
        let segment =
            SegmentBytes::new(SegmentHeader::Checksummed(ChainLink { first_seq: last.0, prev_seal: last.1 }));
        let segment = groups(segment, last.0..=last.0 + 19, "x");
        last = (last.0 + 20, segment.last_seal());
        files.write(&format!(".{number:03}"), segment.closed());
    }
    let reader = warm_reader(&files, 100);
    let mut started_range = reader.range::<String>(15..);
    assert_eq!(started_range.next().unwrap().unwrap().seq, 15);
    for number in 1..=3 {
        fs::remove_file(files.path(&format!(".{number:03}"))).unwrap();
    }
    for seq in 1..=60 {
        for reader in [&reader, &files.reader()] {
            let found = get(reader, seq);
            assert!(matches!(found, Err(MiniStoreError::Trimmed { first_seq: 61, .. })), "{seq}: {found:?}");
        }
    }
    for seq in 61..=100 {
        assert_eq!(get(&reader, seq).unwrap(), Some(text(seq, "x")));
    }
    let first = reader.range::<String>(7..).next().unwrap();
    assert!(matches!(first, Err(MiniStoreError::Trimmed { first_seq: 61, .. })), "{first:?}");
    assert_eq!(reader.range::<String>(..).next().unwrap().unwrap().seq, 61);
    assert!(reader.range::<String>(7..7).next().is_none());
    let outcome = started_range.find_map(Result::err);
    assert!(matches!(outcome, Some(MiniStoreError::Trimmed { first_seq: 61, .. })), "{outcome:?}");
}

/// A file system on which a rotation finishes and retention deletes the oldest segment, after the journal was listed
/// and before its first segment is opened.
#[derive(Debug)]
struct RacingFs {
    inner: OsFileSystem,
    dir: TempDir,
    has_deleted: AtomicBool,
}

impl RacingFs {
    /// Creates a journal with records 1 to 3 in the only segment that exists at first, and 4 and 5 in the only one that
    /// exists after the first open.
    fn create() -> (Arc<dyn FileSystem>, PathBuf) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("j");
        let store = JournalOptions::new().open_blocking(&path).unwrap();
        store.blocking().append_batch([1, 2, 3]).unwrap();
        store.blocking().rotate().unwrap();
        store.blocking().append_batch([4, 5]).unwrap();
        store.blocking().close().unwrap();
        fs::rename(&path, dir.path().join("hidden")).unwrap();
        (Arc::new(Self { inner: OsFileSystem::default(), dir, has_deleted: AtomicBool::default() }), path)
    }
}

impl FileSystemLayer for RacingFs {
    fn inner(&self) -> &dyn FileSystem {
        &self.inner
    }

    fn open(&self, path: &Path, how: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        if path.ends_with("j.001") && !self.has_deleted.swap(true, Ordering::SeqCst) {
            fs::rename(self.dir.path().join("hidden"), self.dir.path().join("j"))?;
            fs::remove_file(path)?;
        }
        self.inner.open(path, how)
    }
}

#[test]
fn deletion_between_list_and_open_lists_again() {
    let reader = || {
        let (fs, path) = RacingFs::create();
        Reader::new(fs, &path)
    };
    let is_trimmed = |outcome: Option<MiniStoreError>| {
        matches!(outcome, Some(MiniStoreError::Trimmed { first_seq: 4, .. }))
    };
    assert!(is_trimmed(reader().get::<u64>(2).err()));
    assert_eq!(reader().get::<u64>(4).unwrap().map(|record| record.value), Some(4));
    assert!(is_trimmed(reader().range::<u64>(2..).next().and_then(Result::err)));
    for from in [0, 1, 4] {
        let (fs, path) = RacingFs::create();
        let records = Records::<u64>::new(fs, &path, from).map(|record| record.unwrap().seq);
        assert_eq!(records.collect::<Vec<_>>(), [4, 5], "from {from}");
    }
    assert_eq!(reader().range::<u64>(..).map(|record| record.unwrap().seq).collect::<Vec<_>>(), [4, 5]);
}
