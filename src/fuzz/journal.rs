//! A directory full of files that are, or once were, a journal.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::value::RawValue;

use super::script::{self, Script};
use crate::{MiniStoreError, Reader, format::ChainLink};

/// The name of every journal here.
const NAME: &str = "j";

/// Names that mean something, or nearly so.
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

/// Files by name, the lock file left out.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Numbers and values.
pub(super) type Records = Vec<(u64, String)>;

/// A journal in a directory of its own.
#[derive(Debug)]
pub(super) struct Journal {
    dir: PathBuf,
}

impl Journal {
    /// The files that a script makes, in an empty directory.
    pub(super) fn made(script: &mut Script<'_>, dir: &Path) -> Self {
        let mut files = segments(script);
        for _ in 0..script.byte() % 3 {
            spoil(script, &mut files);
        }
        let journal = Self { dir: dir.to_path_buf() };
        journal.restore(&files);
        journal
    }

    /// A journal of one file.
    pub(super) fn of_bytes(bytes: &[u8], dir: &Path) -> Self {
        let journal = Self { dir: dir.to_path_buf() };
        journal.restore(&Files::from([(NAME.into(), bytes.to_vec())]));
        journal
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.join(NAME)
    }

    /// A place for another journal.
    pub(super) fn beside(&self) -> PathBuf {
        self.dir.join("beside").join("new")
    }

    pub(super) fn files(&self) -> Files {
        let entries = fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap().path());
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let files = entries.filter(|path| path.is_file()).map(|path| (name(&path), fs::read(&path).unwrap()));
        files.filter(|(name, _)| name != "j.lock").collect()
    }

    /// Makes these all the files there are.
    pub(super) fn restore(&self, files: &Files) {
        for entry in fs::read_dir(&self.dir).unwrap().map(Result::unwrap) {
            let is_dir = entry.file_type().unwrap().is_dir();
            if is_dir { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) }.unwrap();
        }
        for (name, bytes) in files {
            fs::write(self.dir.join(name), bytes).unwrap();
        }
    }

    /// All records, up to the first error.
    pub(super) fn records(&self) -> (Records, Option<MiniStoreError>) {
        records(&self.path(), 0)
    }
}

/// Records from `from` on, up to the first error.
pub(super) fn records(path: &Path, from: u64) -> (Records, Option<MiniStoreError>) {
    let mut found = Records::new();
    for record in Reader::open(path).unwrap().records_from::<Box<RawValue>>(from) {
        match record {
            Ok(record) => found.push((record.seq, record.value.get().to_owned())),
            Err(error) => return (found, Some(error)),
        }
    }
    (found, None)
}

/// Segments that continue each other, and nearly always end as they should.
fn segments(script: &mut Script<'_>) -> Files {
    let mut files = Files::new();
    let mut link = ChainLink { first: 1, prev: 0 };
    let count = 1 + script.byte() % 4;
    for index in 1..=count {
        let mut made = script::segment(script, link, index < count);
        if index == count && script.byte().is_multiple_of(2) {
            script::spoil(script, &mut made.bytes);
        }
        let name = match (index == count, script.byte() % 8) {
            (true, 0) => "j.next".into(),
            (true, 1..) => NAME.into(),
            (false, _) => format!("j.{index:03}"),
        };
        files.insert(name, made.bytes);
        link = ChainLink { first: link.first + made.records, prev: made.last_seal };
    }
    files
}

/// What careless hands and crashes do to files.
fn spoil(script: &mut Script<'_>, files: &mut Files) {
    let names: Vec<String> = files.keys().cloned().collect();
    let pick = |script: &mut Script<'_>| names.get(script.below(names.len())).cloned();
    let (Some(one), Some(two)) = (pick(script), pick(script)) else { return };
    let other = NAMES[script.below(NAMES.len())].to_owned();
    let mut bytes = files[&one].clone();
    match script.byte() % 12 {
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
            bytes.truncate(script.below(bytes.len() + 1));
            files.insert(one, bytes);
        }
        6 => drop(files.insert(other, vec![b"\0 "[script.below(2)]; script.below(9000)])),
        7 => drop(files.insert(other, script.take(60).to_vec())),
        8 => {
            let link = ChainLink { first: 1 + u64::from(script.byte()), prev: script.number() as u32 };
            files.insert(other, script::segment(script, link, false).bytes);
        }
        _ => {
            script::spoil(script, &mut bytes);
            files.insert(one, bytes);
        }
    }
}
