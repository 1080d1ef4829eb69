//! The quarantine file: bad lines with their origin and the reason, one JSON object per line. `ingest` and `serve` append to it,
//! and nothing is ever removed from it: other runs may use the same file. `import --repair` creates one for what it removes.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;

use crate::{exit::CliError, ownership::Ownership, paths::sync_directory_of};

/// Entries are collected up to this size. Only whole entries are written, so that several programs can append to one file.
const BUFFER_BYTES: usize = 64 * 1024;

/// Where a bad line came from, and why it is bad: the first fields of an entry.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct BadLineOrigin<'a> {
    /// The path of a file, `<stdin>`, or the name of a client.
    pub(crate) input: &'a str,
    /// Counted from 1.
    pub(crate) line: u64,
    /// Counted from 1, in bytes.
    pub(crate) column: u64,
    /// The place of the error in the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<u64>,
    pub(crate) reason: &'a str,
}

/// An open quarantine file.
#[derive(Debug)]
pub(crate) struct Quarantine {
    path: PathBuf,
    file: File,
    /// Entries that are not written yet.
    pending: Vec<u8>,
    /// The size of the file before the first entry of this run, which a resumed run continues.
    pub(crate) start_bytes: u64,
    /// Hashes of the entries that the interrupted run wrote.
    earlier: HashSet<u64>,
    /// Bytes of a long line that are not encoded yet; `None`: an entry that is already present.
    long_line: Option<Vec<u8>>,
}

impl Quarantine {
    /// Opens or creates it. `resume_from`: a resumed run reads its whole input again; entries from this offset on that are
    /// equal are not written a second time.
    pub(crate) fn open(
        path: &Path,
        ownership: &Ownership,
        resume_from: Option<u64>,
    ) -> Result<Self, CliError> {
        let failed = |error| CliError::file(path, "open it for appending", &error);
        let file = ownership.open_for_appending(path)?;
        let found = file.metadata().map_err(failed)?;
        let mut quarantine = Self { start_bytes: found.len(), ..Self::of_new_file(path.to_owned(), file) };
        if found.is_file() && found.len() > 0 {
            // The file may have been replaced by an empty one since the interrupted run.
            let from = resume_from.map(|from| if from <= found.len() { from } else { 0 });
            quarantine.start_bytes = from.unwrap_or(found.len());
            quarantine.read_earlier(found.len(), from).map_err(failed)?;
        }
        Ok(quarantine)
    }

    /// Writes to a new file, which errors call `path`.
    pub(crate) fn of_new_file(path: PathBuf, file: File) -> Self {
        Self { path, file, pending: Vec::new(), start_bytes: 0, earlier: HashSet::new(), long_line: None }
    }

    /// Reads the entries of the interrupted run, and ends an incomplete last one.
    fn read_earlier(&mut self, bytes: u64, from: Option<u64>) -> io::Result<()> {
        let mut file = OpenOptions::new().read(true).open(&self.path)?;
        file.seek(SeekFrom::Start(from.unwrap_or(bytes - 1)))?;
        let mut lines = BufReader::new(file.take(bytes));
        let (mut line, mut is_complete) = (Vec::new(), true);
        while lines.read_until(b'\n', &mut line)? > 0 {
            is_complete = line.ends_with(b"\n");
            if from.is_some() {
                self.earlier.insert(hash_of(key_of(&line)));
            }
            line.clear();
        }
        if !is_complete {
            self.pending.push(b'\n');
        }
        Ok(())
    }

    /// Adds a line.
    pub(crate) fn add(&mut self, origin: BadLineOrigin<'_>, line: &[u8]) -> Result<(), CliError> {
        let mut entry = head_of(origin)?;
        match str::from_utf8(line) {
            Ok(text) => {
                entry.extend_from_slice(b",\"text\":");
                serde_json::to_writer(&mut entry, text).map_err(crate::output::json_failed)?;
            }
            Err(_) => {
                entry.extend_from_slice(BASE64_FIELD);
                entry.extend_from_slice(BASE64_STANDARD.encode(line).as_bytes());
                entry.push(b'"');
            }
        }
        entry.extend_from_slice(b"}\n");
        if !self.is_present(&entry) {
            self.pending.append(&mut entry);
        }
        if self.pending.len() < BUFFER_BYTES { Ok(()) } else { self.flush() }
    }

    /// Adds a run of NUL bytes, as their number.
    pub(crate) fn add_nul_bytes(&mut self, origin: BadLineOrigin<'_>, length: u64) -> Result<(), CliError> {
        self.pending.append(&mut head_of(origin)?);
        self.pending.extend_from_slice(format!(",\"nul_bytes\":{length}}}\n").as_bytes());
        if self.pending.len() < BUFFER_BYTES { Ok(()) } else { self.flush() }
    }

    /// Starts a line that is too long for memory: its pieces follow, then its end.
    pub(crate) fn begin_long(&mut self, origin: BadLineOrigin<'_>) -> Result<(), CliError> {
        let mut entry = head_of(origin)?;
        entry.extend_from_slice(BASE64_FIELD);
        self.long_line = (!self.is_present(&entry)).then(Vec::new);
        if self.long_line.is_some() {
            self.pending.append(&mut entry);
        }
        Ok(())
    }

    pub(crate) fn add_piece(&mut self, piece: &[u8]) -> Result<(), CliError> {
        let Some(rest) = &mut self.long_line else { return Ok(()) };
        rest.extend_from_slice(piece);
        // Three bytes become four characters.
        let whole = rest.len() / 3 * 3;
        let encoded = BASE64_STANDARD.encode(&rest[..whole]);
        rest.drain(..whole);
        self.pending.extend_from_slice(encoded.as_bytes());
        self.flush()
    }

    pub(crate) fn end_long(&mut self) -> Result<(), CliError> {
        let Some(rest) = self.long_line.take() else { return Ok(()) };
        self.pending.extend_from_slice(BASE64_STANDARD.encode(rest).as_bytes());
        self.pending.extend_from_slice(b"\"}\n");
        self.flush()
    }

    fn is_present(&self, entry: &[u8]) -> bool {
        self.earlier.contains(&hash_of(key_of(entry)))
    }

    /// Writes the collected entries.
    pub(crate) fn flush(&mut self) -> Result<(), CliError> {
        let written = self.file.write_all(&self.pending);
        self.pending.clear();
        written.map_err(|error| {
            // A part of an entry may have been written: the next one starts a line of its own.
            self.pending.push(b'\n');
            CliError::file(&self.path, "write", &error)
        })
    }

    /// Makes all entries durable.
    pub(crate) fn persist(&mut self) -> Result<(), CliError> {
        self.flush()?;
        self.sync().map_err(|error| CliError::file(&self.path, "make it durable", &error))
    }

    fn sync(&self) -> io::Result<()> {
        // A device or a pipe cannot be synced.
        if !self.file.metadata()?.is_file() {
            return Ok(());
        }
        self.file.sync_all()?;
        sync_directory_of(&self.path)
    }
}

const BASE64_FIELD: &[u8] = b",\"base64\":\"";

/// Returns the beginning of an entry.
fn head_of(origin: BadLineOrigin<'_>) -> Result<Vec<u8>, CliError> {
    let mut head = serde_json::to_vec(&origin).map_err(crate::output::json_failed)?;
    head.pop();
    Ok(head)
}

/// The part of an entry that distinguishes it. The content of a long line is not known when its entry is started.
fn key_of(entry: &[u8]) -> &[u8] {
    let content = memchr::memmem::find(entry, BASE64_FIELD);
    content.map_or(entry, |at| &entry[..at])
}

fn hash_of(bytes: &[u8]) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: BadLineOrigin<'_> =
        BadLineOrigin { input: "in", line: 7, column: 2, offset: Some(40), reason: "why" };

    fn entries(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn open(path: &Path, resume_from: Option<u64>) -> Quarantine {
        Quarantine::open(path, &Ownership::default(), resume_from).unwrap()
    }

    #[test]
    fn line_and_its_origin_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bad");
        let mut quarantine = open(&path, None);
        quarantine.add(ORIGIN, b"{\"a\":}\r").unwrap();
        quarantine.add(ORIGIN, b"\"\xff\"").unwrap();
        quarantine.begin_long(ORIGIN).unwrap();
        let pieces = [&b"1"[..], b"23", b"", b"4567", b"8"];
        pieces.iter().try_for_each(|piece| quarantine.add_piece(piece)).unwrap();
        quarantine.end_long().unwrap();
        quarantine.persist().unwrap();
        let found = entries(&path);
        assert_eq!((&found[0]["text"], &found[0]["line"]), (&"{\"a\":}\r".into(), &7.into()));
        assert_eq!(
            (&found[0]["input"], &found[0]["reason"], &found[0]["offset"]),
            (&"in".into(), &"why".into(), &40.into())
        );
        let decoded = |at: usize| BASE64_STANDARD.decode(found[at]["base64"].as_str().unwrap()).unwrap();
        assert_eq!((decoded(1), decoded(2)), (b"\"\xff\"".to_vec(), b"12345678".to_vec()));
    }

    #[test]
    fn resumed_run_adds_only_new_entries() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bad");
        std::fs::write(&path, "of another program").unwrap();
        let line = |number| BadLineOrigin { line: number, ..ORIGIN };
        let mut first = open(&path, None);
        let start = first.start_bytes;
        (1..=3).try_for_each(|number| first.add(line(number), b"x")).unwrap();
        first.persist().unwrap();
        // The last entry is torn.
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        let mut resumed = open(&path, Some(start));
        (1..=4).try_for_each(|number| resumed.add(line(number), b"x")).unwrap();
        resumed.persist().unwrap();
        let lines: Vec<_> = entries(&path).iter().map(|entry| entry["line"].as_u64().unwrap()).collect();
        assert_eq!(lines, [1, 2, 3, 4]);
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("of another program\n"));
        let mut again = open(&path, None);
        again.add(line(1), b"x").unwrap();
        again.persist().unwrap();
        assert_eq!(entries(&path).len(), 5, "a new run adds all of its lines");
    }
}
