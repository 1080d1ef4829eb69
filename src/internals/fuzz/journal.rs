//! A directory of files that are a journal, possibly damaged.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::value::RawValue;

use super::generator::{self, Generator};
use crate::{MiniStoreError, Reader, format::ChainLink};

/// The name of every journal here.
const NAME: &str = "j";

/// Names with a meaning, or nearly so.
const NAMES: [&str; 13] = [
    "j",
    "j.next",
    "j.001",
    "j.1",
    "j.002",
    "j.000003",
    "j.004",
    "j.00000000000000000000005",
    "j.999999999999999999",
    "j.18446744073709551615",
    "j.truncated-0",
    "j.lock",
    "j.next.001",
];

/// Files by name, without the lock file.
pub(super) type FilesByName = BTreeMap<String, Vec<u8>>;

pub(super) type NumberedRecords = Vec<(u64, String)>;

/// A journal in a directory of its own.
#[derive(Debug)]
pub(super) struct FuzzJournal {
    dir: PathBuf,
}

impl FuzzJournal {
    /// Generates the files of a journal in an empty directory.
    pub(super) fn generated(generator: &mut Generator<'_>, dir: &Path) -> Self {
        let mut files = segments(generator);
        for _ in 0..generator.byte() % 3 {
            damage_files(generator, &mut files);
        }
        let journal = Self { dir: dir.to_path_buf() };
        journal.restore(&files);
        journal
    }

    /// Creates a journal of one file.
    pub(super) fn from_bytes(bytes: &[u8], dir: &Path) -> Self {
        let journal = Self { dir: dir.to_path_buf() };
        journal.restore(&FilesByName::from([(NAME.into(), bytes.to_vec())]));
        journal
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.join(NAME)
    }

    pub(super) fn other_path(&self) -> PathBuf {
        self.dir.join("other").join("new")
    }

    pub(super) fn files(&self) -> FilesByName {
        let entries = fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap().path());
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let files = entries.filter(|path| path.is_file()).map(|path| (name(&path), fs::read(&path).unwrap()));
        files.filter(|(name, _)| name != "j.lock").collect()
    }

    /// Replaces all files by these.
    pub(super) fn restore(&self, files: &FilesByName) {
        for entry in fs::read_dir(&self.dir).unwrap().map(Result::unwrap) {
            let is_dir = entry.file_type().unwrap().is_dir();
            if is_dir { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) }.unwrap();
        }
        for (name, bytes) in files {
            fs::write(self.dir.join(name), bytes).unwrap();
        }
    }

    /// Returns all records up to the first error.
    pub(super) fn records(&self) -> (NumberedRecords, Option<MiniStoreError>) {
        records(&self.path(), 0)
    }
}

/// Returns the records from `from` on, up to the first error.
pub(super) fn records(path: &Path, from: u64) -> (NumberedRecords, Option<MiniStoreError>) {
    let mut found = NumberedRecords::new();
    for record in Reader::open(path).unwrap().records_from::<Box<RawValue>>(from) {
        match record {
            Ok(record) => found.push((record.seq, record.value.get().to_owned())),
            Err(error) => return (found, Some(error)),
        }
    }
    (found, None)
}

/// Generates segments that continue each other; nearly all are complete.
fn segments(generator: &mut Generator<'_>) -> FilesByName {
    let mut files = FilesByName::new();
    let mut link = ChainLink { first_seq: 1, prev_seal: 0 };
    let count = 1 + generator.byte() % 4;
    for index in 1..=count {
        let mut segment = generator::segment(generator, link, index < count);
        if index == count && generator.byte().is_multiple_of(2) {
            generator::damage(generator, &mut segment.bytes);
        }
        let name = match (index == count, generator.byte() % 8) {
            (true, 0) => "j.next".into(),
            (true, 1..) => NAME.into(),
            (false, _) => format!("j.{index:03}"),
        };
        files.insert(name, segment.bytes);
        link = ChainLink { first_seq: link.first_seq + segment.records, prev_seal: segment.last_seal };
    }
    files
}

/// Damages files as mistakes of users and crashes do.
fn damage_files(generator: &mut Generator<'_>, files: &mut FilesByName) {
    let names: Vec<String> = files.keys().cloned().collect();
    let pick = |generator: &mut Generator<'_>| names.get(generator.below(names.len())).cloned();
    let (Some(one), Some(two)) = (pick(generator), pick(generator)) else { return };
    let other = NAMES[generator.below(NAMES.len())].to_owned();
    let mut bytes = files[&one].clone();
    match generator.byte() % 12 {
        0 => drop(files.remove(&one)),
        1 => {
            files.remove(&one);
            files.insert(other, bytes);
        }
        2 => {
            let swapped = files.insert(two, bytes).unwrap();
            files.insert(one, swapped);
        }
        3 => drop(files.insert(other, bytes)),
        4 => files.get_mut(&two).unwrap().extend_from_slice(&bytes),
        5 => {
            bytes.truncate(generator.below(bytes.len() + 1));
            files.insert(one, bytes);
        }
        6 => drop(files.insert(other, vec![b"\0 "[generator.below(2)]; generator.below(9000)])),
        7 => drop(files.insert(other, generator.take(60).to_vec())),
        8 => {
            let link = ChainLink {
                first_seq: 1 + u64::from(generator.byte()),
                prev_seal: generator.number() as u32,
            };
            files.insert(other, generator::segment(generator, link, false).bytes);
        }
        _ => {
            generator::damage(generator, &mut bytes);
            files.insert(one, bytes);
        }
    }
}
