//! Random reads of journals that change and break between and during the reads.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod corruption;
mod external_changes;
mod random;
mod retention;

use std::{fs, ops::RangeInclusive, path::PathBuf};

use tempfile::TempDir;

use super::Reader;
use crate::{
    Result,
    format::{ChainLink, SegmentHeader, testing::SegmentBytes},
    io::os_file_system,
};

const NAME: &str = "journal.jsonl";

/// A directory with journal files that the test writes itself.
struct JournalFiles {
    dir: TempDir,
}

impl JournalFiles {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.dir.path().join(format!("{NAME}{suffix}"))
    }

    fn write(&self, suffix: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(suffix), bytes).unwrap();
    }

    fn reader(&self) -> Reader {
        Reader::new(os_file_system(), &self.path(""))
    }
}

/// Appends groups of one record each, which contains its sequence number and `word`.
fn groups(mut segment: SegmentBytes, seqs: RangeInclusive<u64>, word: &str) -> SegmentBytes {
    for seq in seqs {
        segment = segment.group(&[text(seq, word)]);
    }
    segment
}

fn text(seq: u64, word: &str) -> String {
    format!("\"{seq}:{}\"", word.repeat(seq as usize % 5 + 1))
}

fn first_segment() -> SegmentBytes {
    SegmentBytes::new(SegmentHeader::Checksummed(ChainLink { first_seq: 1, prev_seal: 0 }))
}

fn get(reader: &Reader, seq: u64) -> Result<Option<String>> {
    Ok(reader.get::<Box<serde_json::value::RawValue>>(seq)?.map(|record| {
        assert_eq!(record.seq, seq);
        record.value.get().to_owned()
    }))
}

/// Returns a reader whose index covers the journal.
fn warm_reader(files: &JournalFiles, records: u64) -> Reader {
    let reader = files.reader();
    for seq in (1..=records).rev() {
        get(&reader, seq).unwrap().unwrap();
    }
    assert!(reader.index_bytes() > 0);
    reader
}
