//! Reads a simulated journal and its files.

use std::path::{Path, PathBuf};

use ministore_uring::{MiniStoreError, testkit::SimDisk};

use crate::model::{Checked, Record, Violation};

/// An id that no record has.
const INVALID_ID: u64 = u64::MAX;

/// Returns the sequence numbers and ids of all records before the end or the first error, and that error.
pub fn read(disk: &SimDisk, path: &Path) -> (Vec<(u64, u64)>, Option<MiniStoreError>) {
    let mut found = Vec::new();
    for record in disk.reader(path).records::<Record>() {
        match record {
            Ok(record) if has_valid_text(&record.value) => found.push((record.seq, record.value.0)),
            Ok(record) => found.push((record.seq, INVALID_ID)),
            Err(error) => return (found, Some(error)),
        }
    }
    (found, None)
}

/// Returns all records; an error is a violation.
pub fn read_all(disk: &SimDisk, path: &Path, when: &str) -> Checked<Vec<(u64, u64)>> {
    match read(disk, path) {
        (found, None) => Ok(found),
        (found, Some(error)) => Err(Violation(format!("{when}: after {} records: {error}", found.len()))),
    }
}

/// Returns the text that belongs to an id, so that every byte of a record can be checked.
pub fn text_of(id: u64, bytes: u64) -> String {
    let letter = char::from(b'a' + (id % 26) as u8);
    let mut text = format!("{bytes}:");
    text.extend(std::iter::repeat_n(letter, bytes as usize));
    text
}

fn has_valid_text((id, text): &Record) -> bool {
    let bytes = text.split(':').next().and_then(|bytes| bytes.parse().ok());
    bytes.is_some_and(|bytes: u64| bytes < 1 << 20 && *text == text_of(*id, bytes))
}

/// Returns the files of the journal with their contents, without the copies of truncated bytes.
pub fn segments(disk: &SimDisk, path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let is_segment = |file: &&PathBuf| !file.to_string_lossy().contains(".truncated-");
    let files = disk.files();
    files
        .iter()
        .filter(is_segment)
        .filter(|file| has_prefix(file, path) && !is_foreign(disk, file))
        .filter_map(|file| Some((file.clone(), disk.read(file).ok()?)))
        .collect()
}

fn has_prefix(file: &Path, journal: &Path) -> bool {
    file.to_string_lossy().starts_with(&*journal.to_string_lossy())
}

/// Returns the number of rotated segments.
pub fn count_rotated(disk: &SimDisk) -> usize {
    let is_number =
        |extension: &std::ffi::OsStr| extension.to_string_lossy().bytes().all(|b| b.is_ascii_digit());
    let is_segment = |file: &&PathBuf| file.extension().is_some_and(is_number);
    disk.files().iter().filter(is_segment).filter(|file| !is_foreign(disk, file)).count()
}

/// Returns whether the file is another journal, which has its own lock file, or that lock file.
fn is_foreign(disk: &SimDisk, file: &Path) -> bool {
    let mut lock = file.as_os_str().to_os_string();
    lock.push(".lock");
    file.extension().is_some_and(|extension| extension == "lock") || disk.read(Path::new(&lock)).is_ok()
}
