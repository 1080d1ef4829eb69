//! `okaywal` 0.3.1, one entry of one chunk per record.
//!
//! Acknowledgement: `EntryWriter::commit` returns `Ok`. Promise (its documentation): "Once this call returns, all
//! data is atomically updated and synchronized to disk". Damage (documentation of `Entry::read_chunk`): after a
//! crash an aborted entry, or an unexpected end of the file inside a chunk, is possible, and "the entire entry that
//! was being read should be ignored": this module ignores it. A wrong checksum is an error of
//! `Entry::read_all_chunks`, which the README's example returns: so does this module.
//!
//! okaywal empties its segments through checkpoints into the caller's storage; checkpointed records are no longer in
//! the log. Nothing is checkpointed here and the only segment grows ("Log files may grow to be larger than this size
//! if needed"), so that every record stays in the log.

use std::{
    io::{self, ErrorKind},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use okaywal::{Configuration, Entry, EntryId, LogManager, ReadChunkResult, SegmentReader, WriteAheadLog};

use crate::log_under_test::{LogError, LogResult, LogUnderTest, Record, ReplayedItem};

/// An open log, and the entries found in it.
#[derive(Debug)]
pub struct OkaywalLog {
    log: WriteAheadLog,
    recovered: Arc<Mutex<RecoveredEntries>>,
}

#[derive(Debug, Default)]
struct RecoveredEntries {
    records: Vec<ReplayedItem>,
    aborted: usize,
}

/// Collects the entries found by recovery.
#[derive(Debug)]
struct EntryCollector(Arc<Mutex<RecoveredEntries>>);

impl EntryCollector {
    /// Returns the chunks of an entry, or `None` for one that "should be ignored": aborted, or cut off by the end of
    /// the file.
    fn chunks(entry: &mut Entry<'_>) -> io::Result<Option<Vec<Vec<u8>>>> {
        let mut chunks = Vec::new();
        loop {
            let mut chunk = match entry.read_chunk() {
                Ok(ReadChunkResult::Chunk(chunk)) => chunk,
                Ok(ReadChunkResult::EndOfEntry) => return Ok(Some(chunks)),
                Ok(ReadChunkResult::AbortedEntry) => return Ok(None),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            };
            let bytes = match chunk.read_all() {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
                bytes => bytes?,
            };
            if chunk.bytes_remaining() > 0 {
                return Ok(None);
            }
            match chunk.check_crc() {
                Ok(true) => chunks.push(bytes),
                // The error that `Entry::read_all_chunks` returns.
                Ok(false) => return Err(io::Error::new(ErrorKind::InvalidData, "crc check failed")),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

impl LogManager for EntryCollector {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        let chunks = Self::chunks(entry)?;
        let mut recovered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match chunks {
            Some(chunks) => {
                recovered.records.extend(chunks.iter().map(|chunk| ReplayedItem::of_bytes(chunk)))
            }
            None => recovered.aborted += 1,
        }
        Ok(())
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> io::Result<()> {
        Err(io::Error::other("nothing is checkpointed here"))
    }
}

impl OkaywalLog {
    /// Opens or creates the log and recovers its entries.
    pub fn open(dir: &Path) -> LogResult<Self> {
        let recovered = Arc::new(Mutex::new(RecoveredEntries::default()));
        let log = Configuration::default_for(dir)
            .checkpoint_after_bytes(u64::MAX)
            .open(EntryCollector(Arc::clone(&recovered)))?;
        Ok(Self { log, recovered })
    }
}

impl LogUnderTest for OkaywalLog {
    fn append(&self, record: &Record) -> LogResult<()> {
        let mut entry = self.log.begin_entry()?;
        entry.write_chunk(&record.to_bytes()?)?;
        entry.commit()?;
        Ok(())
    }

    fn replay(&self) -> LogResult<Vec<ReplayedItem>> {
        Ok(self.recovered.lock().unwrap_or_else(PoisonError::into_inner).records.clone())
    }

    fn recovery_message(&self) -> Option<String> {
        let aborted = self.recovered.lock().unwrap_or_else(PoisonError::into_inner).aborted;
        (aborted > 0).then(|| format!("{aborted} aborted entries"))
    }

    fn close(self: Box<Self>) -> LogResult<()> {
        self.log.shutdown().map_err(LogError::from)
    }
}
