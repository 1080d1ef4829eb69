//! The files of any log: the positions of its records, and copies of the files. A file may have a gibibyte of holes;
//! only its data is read.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use ministore_faultfs::image::Image;
use rustix::fs::{SeekFrom, seek};

use crate::log_under_test::Record;

/// A part of a file that is not a hole.
struct Extent {
    offset: u64,
    bytes: Vec<u8>,
}

/// The position of a record's bytes in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPosition {
    pub number: u64,
    /// The offset at which its JSON starts.
    pub start: u64,
    /// The offset after its JSON.
    pub end: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// The path relative to the log's directory.
    pub name: PathBuf,
    /// Its records in the order of the file.
    pub places: Vec<RecordPosition>,
    /// The offset after the last byte that is neither zero nor a space.
    pub data_end: u64,
}

/// Returns the files of the log in `dir` that contain any of `records`, ordered by their first record.
pub fn files_with_records(dir: &Path, records: &[Record]) -> io::Result<Vec<LogFile>> {
    let lines: Vec<(u64, Vec<u8>)> = records
        .iter()
        .map(|record| {
            Ok((record.number, record.to_bytes().map_err(|error| io::Error::other(error.0))?.into_owned()))
        })
        .collect::<io::Result<_>>()?;
    let mut files = Vec::new();
    for name in names(dir)? {
        let extents = extents(&dir.join(&name))?;
        let mut places: Vec<RecordPosition> =
            lines.iter().filter_map(|(number, line)| find(&extents, *number, line)).collect();
        places.sort_by_key(|place| place.start);
        if !places.is_empty() {
            files.push(LogFile { name, places, data_end: data_end(&extents) });
        }
    }
    files.sort_by_key(|file| file.places.iter().map(|place| place.number).min());
    Ok(files)
}

fn find(extents: &[Extent], number: u64, line: &[u8]) -> Option<RecordPosition> {
    extents.iter().find_map(|extent| {
        let at = extent.bytes.windows(line.len()).position(|window| window == line)?;
        let start = extent.offset + at as u64;
        Some(RecordPosition { number, start, end: start + line.len() as u64 })
    })
}

fn data_end(extents: &[Extent]) -> u64 {
    let last = extents.iter().rev().find_map(|extent| {
        let at = extent.bytes.iter().rposition(|byte| !matches!(byte, 0 | b' '))?;
        Some(extent.offset + at as u64 + 1)
    });
    last.unwrap_or(0)
}

/// Returns the paths of all files in `dir`, relative to it, sorted.
pub fn names(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(dir.join(&folder))? {
            let entry = entry?;
            let name = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() { folders.push(name) } else { names.push(name) }
        }
    }
    names.sort();
    Ok(names)
}

fn extents(path: &Path) -> io::Result<Vec<Extent>> {
    let file = File::open(path)?;
    let length = file.metadata()?.size();
    let mut extents: Vec<Extent> = Vec::new();
    let mut at = 0;
    while at < length {
        // There is no data after `at`: the rest is a hole.
        let Ok(start) = seek(&file, SeekFrom::Data(at)) else { break };
        let end = seek(&file, SeekFrom::Hole(start))?.min(length);
        let mut bytes = vec![0; usize::try_from(end - start).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, start)?;
        extents.push(Extent { offset: start, bytes });
        at = end;
    }
    Ok(extents)
}

/// Copies the log in `from` to `to`, which must not exist; holes are preserved.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for name in names(from)? {
        let target = to.join(&name);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        Image::load(&File::open(from.join(&name))?)?.store(&File::create_new(&target)?)?;
    }
    Ok(())
}

pub fn overwrite(path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all_at(bytes, offset)
}

pub fn byte_at(path: &Path, offset: u64) -> io::Result<u8> {
    let mut byte = [0];
    File::open(path)?.read_exact_at(&mut byte, offset)?;
    Ok(byte[0])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::{fs::File, os::unix::fs::FileExt};

    use super::{copy, files_with_records};
    use crate::log_under_test::Record;

    #[test]
    fn records_after_holes_are_found_and_copied() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::create_dir(&from).unwrap();
        let record = Record::new(0, 7, 40);
        let line = record.to_bytes().unwrap().into_owned();
        let file = File::create(from.join("log")).unwrap();
        file.set_len(1 << 30).unwrap();
        file.write_all_at(&line, 500 << 20).unwrap();
        drop(file);
        copy(&from, &to).unwrap();
        let found = files_with_records(&to, &[record]).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].places[0].start, 500 << 20);
        assert_eq!(found[0].data_end, (500 << 20) + line.len() as u64);
        assert_eq!(std::fs::metadata(to.join("log")).unwrap().len(), 1 << 30);
    }
}
