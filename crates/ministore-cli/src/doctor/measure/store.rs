//! The method of a journal: one caller appends and waits until its record is durable.

use std::{io, path::Path};

use bytes::Bytes;
use ministore_uring::{Backend, JournalOptions, MiniStore};

use super::WriteMethod;

/// Small, so that the measurement needs little space.
const SEGMENT_BYTES: u64 = 4 << 20;

const SEGMENTS_KEPT: usize = 2;

#[derive(Debug)]
pub(super) struct StoreMethod {
    store: MiniStore,
    record: Bytes,
}

impl StoreMethod {
    pub(super) fn open(path: &Path, backend: Backend) -> io::Result<Self> {
        let options = JournalOptions::new().backend(backend);
        let options = options.max_segment_bytes(SEGMENT_BYTES).max_segments(SEGMENTS_KEPT);
        let store = options.open_blocking(path).map_err(io::Error::other)?;
        Ok(Self { store, record: Bytes::new() })
    }
}

impl WriteMethod for StoreMethod {
    /// The record fills this size together with its line end and seal.
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
    use ministore_uring::Reader;

    use super::*;

    #[test]
    fn records_have_the_given_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let mut method = StoreMethod::open(&path, Backend::Blocking).unwrap();
        for bytes in [4096, 65536] {
            method.ready(bytes).unwrap();
            method.write(bytes).unwrap();
        }
        method.store.blocking().close().unwrap();
        let records = Reader::open(&path).unwrap().records::<String>();
        let lengths: Vec<_> = records.map(|record| record.unwrap().value.len()).collect();
        assert_eq!(lengths, [4096 - 37, 65536 - 37]);
    }
}
