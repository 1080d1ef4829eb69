//! Reading a simulated journal, and comparing what is read.

use std::path::Path;

use ministore_uring::{MiniStoreError, testkit::SimDisk};

use crate::model::{Checked, Record, Violation};

/// Numbers and ids of all records, or the error that ended the reading; what was read before it.
pub fn read(disk: &SimDisk, path: &Path) -> (Vec<(u64, u64)>, Option<MiniStoreError>) {
    let mut found = Vec::new();
    for record in disk.reader(path).records::<Record>() {
        match record {
            Ok(record) if text_fits(&record.value) => found.push((record.seq, record.value.0)),
            Ok(record) => {
                // The id of no record.
                found.push((record.seq, u64::MAX));
            }
            Err(error) => return (found, Some(error)),
        }
    }
    (found, None)
}

/// All records; no error is allowed.
pub fn read_all(disk: &SimDisk, path: &Path, when: &str) -> Checked<Vec<(u64, u64)>> {
    match read(disk, path) {
        (found, None) => Ok(found),
        (found, Some(error)) => Err(Violation(format!("{when}: after {} records: {error}", found.len()))),
    }
}

/// The text that belongs to an id: what is read must be what was appended, to the last byte.
pub fn text_of(id: u64, bytes: u64) -> String {
    let letter = char::from(b'a' + (id % 26) as u8);
    let mut text = format!("{bytes}:");
    text.extend(std::iter::repeat_n(letter, bytes as usize));
    text
}

fn text_fits((id, text): &Record) -> bool {
    let bytes = text.split(':').next().and_then(|bytes| bytes.parse().ok());
    bytes.is_some_and(|bytes: u64| bytes < 1 << 20 && *text == text_of(*id, bytes))
}

/// The segments of the journal, byte for byte.
pub fn segments(disk: &SimDisk, path: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let is_segment = |file: &&std::path::PathBuf| !file.to_string_lossy().contains(".truncated-");
    let files = disk.files();
    files
        .iter()
        .filter(is_segment)
        .filter(|file| belongs(file, path) && !is_foreign(disk, file))
        .filter_map(|file| Some((file.clone(), disk.read(file).ok()?)))
        .collect()
}

fn belongs(file: &Path, journal: &Path) -> bool {
    file.to_string_lossy().starts_with(&*journal.to_string_lossy())
}

/// How many archived segments there are.
pub fn archived(disk: &SimDisk) -> usize {
    let is_number =
        |extension: &std::ffi::OsStr| extension.to_string_lossy().bytes().all(|b| b.is_ascii_digit());
    let is_segment = |file: &&std::path::PathBuf| file.extension().is_some_and(is_number);
    disk.files().iter().filter(is_segment).filter(|file| !is_foreign(disk, file)).count()
}

/// Whether it is another journal, which has a lock file of its own, or that lock file.
fn is_foreign(disk: &SimDisk, file: &Path) -> bool {
    let mut lock = file.as_os_str().to_os_string();
    lock.push(".lock");
    file.extension().is_some_and(|extension| extension == "lock") || disk.read(Path::new(&lock)).is_ok()
}
