//! Files that do not belong to the journal: they are never deleted, replaced, renamed or adopted, and errors name them.

mod active_file;
mod adoption;
mod ownership;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use ministore_uring::{
    JournalOptions, MiniStore, MiniStoreError, Reader, Result,
    maintenance::{RepairMode, repair, salvage, verify},
};

use crate::support::{TempJournal, block_on, for_each_backend, legacy_write, numbered, replay};

/// Creates a directory; its `journal.jsonl` is not used.
fn directory() -> (TempJournal, PathBuf) {
    let journal = TempJournal::new();
    let dir = journal.dir().canonicalize().unwrap();
    (journal, dir)
}

/// Opens the journal `j` in a new directory and appends 1.
fn open_with_one_record(options: &JournalOptions) -> (TempJournal, PathBuf, PathBuf, MiniStore) {
    let (keep, dir) = directory();
    let path = dir.join("j");
    let store = options.clone().open_blocking(&path).unwrap();
    store.blocking().append(&1).unwrap();
    (keep, dir, path, store)
}

fn write(options: &JournalOptions, path: &Path, segments: &[&[u64]]) {
    let store = options.clone().open_blocking(path).unwrap();
    for (index, records) in segments.iter().enumerate() {
        if index > 0 {
            store.blocking().rotate().unwrap();
        }
        store.blocking().append_batch(records.iter()).unwrap();
    }
    store.blocking().close().unwrap();
}

/// Returns inode and content of every file in the directory whose name `is_wanted`. White space at the end is omitted: the
/// background thread may write padding or a close marker.
fn files(dir: &Path, is_wanted: impl Fn(&str) -> bool) -> BTreeMap<String, (u64, String)> {
    let content = |path: &Path| String::from_utf8(fs::read(path).unwrap()).unwrap().trim_end().to_owned();
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries
        .filter(|entry| entry.metadata().unwrap().is_file())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, _)| is_wanted(name))
        .map(|(name, path)| (name, (fs::metadata(&path).unwrap().ino(), content(&path))))
        .collect()
}

#[test]
fn journals_named_by_year_survive_rotation() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        for year in [2022, 2023, 2024, 2025] {
            write(&options, &dir.join(format!("orders.{year}")), &[&[year]]);
        }
        let is_other = |name: &str| name.starts_with("orders.20");
        let before = files(&dir, is_other);
        let path = dir.join("orders");
        assert_eq!(replay::<u64>(&path).unwrap(), [0; 0], "there is no such journal");
        let store = options.clone().max_segments(1).open_blocking(&path).unwrap();
        assert!(store.open_report().created);
        for record in 0..4 {
            store.blocking().append(&record).unwrap();
            store.blocking().rotate().unwrap();
        }
        store.blocking().close().unwrap();
        assert_eq!(files(&dir, is_other), before);
        assert!(verify(&path).unwrap().faults.is_empty());
        for year in [2022, 2023, 2024, 2025] {
            assert_eq!(replay::<u64>(dir.join(format!("orders.{year}"))).unwrap(), [year]);
        }
    });
}

#[test]
fn rotation_skips_the_names_of_open_journals() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        let others: Vec<_> = ["t.002", "t.3", "t.004"]
            .map(|name| options.clone().open_blocking(dir.join(name)).unwrap())
            .into_iter()
            .collect();
        let path = dir.join("t");
        let store = options.clone().open_blocking(&path).unwrap();
        for record in 0..5_u64 {
            store.blocking().append(&record).unwrap();
            store.blocking().rotate().unwrap();
            others.iter().for_each(|other| other.blocking().append(&(100 + record)).unwrap());
            others.iter().for_each(|other| other.blocking().rotate().unwrap());
        }
        store.blocking().append(&5).unwrap();
        assert_eq!(numbered::<u64>(&path).unwrap(), (0..6).map(|n| (n + 1, n)).collect::<Vec<_>>());
        store.blocking().close().unwrap();
        assert!(verify(&path).unwrap().faults.is_empty());
        for (name, other) in ["t.002", "t.3", "t.004"].iter().zip(&others) {
            assert_eq!(replay::<u64>(dir.join(name)).unwrap(), (100..105).collect::<Vec<_>>());
            other.blocking().close().unwrap();
        }
        let names: Vec<_> = verify(&path).unwrap().segments.into_iter().map(|segment| segment.path).collect();
        assert_eq!(names, ["t.001", "t.003", "t.005", "t.006", "t.007", "t"].map(|name| dir.join(name)));
        // Again, after a reopen.
        write(&options, &path, &[&[6], &[7]]);
        assert_eq!(replay::<u64>(&path).unwrap(), (0..8).collect::<Vec<_>>());
    });
}

#[test]
fn file_that_appears_at_the_next_name_is_kept() {
    for_each_backend(|options| {
        let (_keep, dir, path, store) = open_with_one_record(&options);
        fs::write(dir.join("j.001"), "notes\n").unwrap();
        symlink("nowhere", dir.join("j.002")).unwrap();
        fs::create_dir(dir.join("j.003")).unwrap();
        fs::write(dir.join("j.004.lock"), "").unwrap();
        store.blocking().rotate().unwrap();
        store.blocking().append(&2).unwrap();
        assert!(dir.join("j.005").exists() && !dir.join("j.004").exists());
        assert_eq!(fs::read_to_string(dir.join("j.001")).unwrap(), "notes\n");
        assert_eq!(fs::read_link(dir.join("j.002")).unwrap(), Path::new("nowhere"));
        store.blocking().close().unwrap();
        // A file that could be a damaged segment is never skipped silently; the error names it.
        let error = replay::<u64>(&path).unwrap_err().to_string();
        assert!(error.contains("j.001"), "{error}");
        fs::remove_file(dir.join("j.001")).unwrap();
        fs::remove_file(dir.join("j.002")).unwrap();
        fs::remove_dir(dir.join("j.003")).unwrap();
        assert_eq!(replay::<u64>(&path).unwrap(), [1, 2]);
    });
}

#[test]
fn trim_keeps_files_that_are_no_segments() {
    for_each_backend(|options| {
        let (_keep, other) = directory();
        write(&options, &other.join("other"), &[&[70]]);
        let journal = fs::read(other.join("other")).unwrap();
        for (name, bytes) in [("j.000", b"notes\n".to_vec()), ("j.0", journal)] {
            let (_keep, dir) = directory();
            let path = dir.join("j");
            write(&options, &path, &[&[1], &[2], &[3]]);
            let store = options.clone().open_blocking(&path).unwrap();
            fs::write(dir.join(name), &bytes).unwrap();
            let error = block_on(store.trim_before(3)).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
            assert_eq!(fs::read(dir.join(name)).unwrap(), bytes);
            assert!(dir.join("j.001").exists() && dir.join("j.002").exists());
            fs::remove_file(dir.join(name)).unwrap();
            assert_eq!(block_on(store.trim_before(3)).unwrap(), 3);
            store.blocking().close().unwrap();
            assert_eq!(replay::<u64>(&path).unwrap(), [3]);
        }
    });
}

#[test]
fn nested_journals_rotate_side_by_side() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        let paths = ["a", "a.1", "a.1.1"].map(|name| dir.join(name));
        let stores =
            paths.each_ref().map(|path| options.clone().max_segments(2).open_blocking(path).unwrap());
        for record in 0..6_u64 {
            for (index, store) in stores.iter().enumerate() {
                store.blocking().append(&(record * 10 + index as u64)).unwrap();
                store.blocking().rotate().unwrap();
            }
        }
        for (index, (path, store)) in paths.iter().zip(&stores).enumerate() {
            store.blocking().close().unwrap();
            let kept: Vec<u64> =
                Reader::open(path).unwrap().records().map(|record| record.unwrap().value).collect();
            assert!(kept.iter().all(|value| value % 10 == index as u64) && !kept.is_empty(), "{kept:?}");
            assert!(verify(path).unwrap().faults.is_empty());
        }
    });
}

#[test]
fn too_large_number_is_not_a_segment() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        let (path, other) = (dir.join("orders"), dir.join("orders.99999999999999999999"));
        write(&options, &other, &[&[1], &[2]]);
        fs::remove_file(dir.join("orders.99999999999999999999.lock")).unwrap();
        let before = files(&dir, |name| name.contains("999"));
        write(&options, &path, &[&[1], &[2], &[3]]);
        assert_eq!(files(&dir, |name| name.contains("999")), before);
        assert_eq!(replay::<u64>(&path).unwrap(), [1, 2, 3]);
    });
}

#[test]
fn salvage_skips_other_journals() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        write(&options, &dir.join("j"), &[&[1], &[2]]);
        write(&options, &dir.join("j.7"), &[&[70]]);
        write(&options, &dir.join("new.3"), &[&[30]]);
        let before = files(&dir, |name| name.starts_with("j.7") || name.starts_with("new.3"));
        assert_eq!(salvage(dir.join("j"), dir.join("new")).unwrap().records, 2);
        assert_eq!(replay::<u64>(dir.join("new")).unwrap(), [1, 2]);
        assert_eq!(files(&dir, |name| name.starts_with("j.7") || name.starts_with("new.3")), before);
    });
}
