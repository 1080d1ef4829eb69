//! Owns the way of a journal: one caller that appends, and waits until its record is durable.

use std::{io, path::Path};

use bytes::Bytes;
use ministore_uring::{Backend, JournalOptions, MiniStore};

use super::Way;

/// Small, so that what is measured needs little room.
const SEGMENT_BYTES: u64 = 4 << 20;

const SEGMENTS_KEPT: usize = 2;

#[derive(Debug)]
pub(super) struct StoreWay {
    store: MiniStore,
    record: Bytes,
}

impl StoreWay {
    pub(super) fn open(path: &Path, backend: Backend) -> io::Result<Self> {
        let options = JournalOptions::new().backend(backend);
        let options = options.max_bytes_per_segment(SEGMENT_BYTES).max_segments(SEGMENTS_KEPT);
        let store = options.open_blocking(path).map_err(io::Error::other)?;
        Ok(Self { store, record: Bytes::new() })
    }
}

impl Way for StoreWay {
    /// With line and seal the record fills so many bytes.
    fn ready(&mut self, bytes: usize) -> io::Result<()> {
        const AROUND: usize = "\"\"".len() + 34 + "\n".len();
        let filler = bytes.saturating_sub(AROUND);
        if self.record.len() != filler + 2 {
            self.record = format!("\"{}\"", "x".repeat(filler)).into();
        }
        Ok(())
    }

    fn write(&mut self, _bytes: usize) -> io::Result<()> {
        self.store.blocking().append_json(self.record.clone()).map(drop).map_err(io::Error::other)
    }

    fn end(self: Box<Self>) -> io::Result<()> {
        self.store.blocking().close().map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_the_size_asked_for_are_durable_in_a_journal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let mut way = StoreWay::open(&path, Backend::Blocking).unwrap();
        for bytes in [4096, 65536] {
            way.ready(bytes).unwrap();
            way.write(bytes).unwrap();
        }
        way.store.blocking().close().unwrap();
        let lengths: Vec<_> =
            MiniStore::records::<String>(&path).map(|record| record.unwrap().value.len()).collect();
        assert_eq!(lengths, [4096 - 37, 65536 - 37]);
    }
}
