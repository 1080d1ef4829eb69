//! `okaywal` 0.3.1, one entry of one chunk a record.
//!
//! Acknowledgement: `EntryWriter::commit` returns `Ok`. Promise (its documentation): "Once this call returns, all data is
//! atomically updated and synchronized to disk". Damage (documentation of `Entry::read_chunk`): after a crash an aborted entry,
//! or an unexpected end of the file inside a chunk, is possible, and "the entire entry that was being read should be ignored":
//! so it is here. A checksum that fails is an error of `Entry::read_all_chunks`, which the README's example hands on: so it is
//! here.
//!
//! okaywal empties its segments through checkpoints, into a storage of the caller's: what is checkpointed is no longer in
//! the log. Here nothing is ever checkpointed, the one segment grows ("Log files may grow to be larger than this size if
//! needed"), so that every record stays in the log and can be asked for.

use std::{
    io::{self, ErrorKind},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use okaywal::{Configuration, Entry, EntryId, LogManager, ReadChunkResult, SegmentReader, WriteAheadLog};

use crate::contestant::{Answer, Contestant, Found, Record, Refusal};

/// An open log, and what was in it.
#[derive(Debug)]
pub struct Log {
    log: WriteAheadLog,
    recovered: Arc<Mutex<Recovered>>,
}

#[derive(Debug, Default)]
struct Recovered {
    records: Vec<Found>,
    aborted: usize,
}

/// Takes in what recovery hands over.
#[derive(Debug)]
struct Collect(Arc<Mutex<Recovered>>);

impl Collect {
    /// The chunks of an entry; nothing for one that "should be ignored": aborted, or with the end of the file in it.
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
                // The error that `Entry::read_all_chunks` gives.
                Ok(false) => return Err(io::Error::new(ErrorKind::InvalidData, "crc check failed")),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

impl LogManager for Collect {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        let chunks = Self::chunks(entry)?;
        let mut recovered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match chunks {
            Some(chunks) => recovered.records.extend(chunks.iter().map(|chunk| Found::of_bytes(chunk))),
            None => recovered.aborted += 1,
        }
        Ok(())
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> io::Result<()> {
        Err(io::Error::other("nothing is checkpointed here"))
    }
}

impl Log {
    /// Opens or creates it; recovers what is in it.
    ///
    /// # Errors
    ///
    /// What the crate says.
    pub fn open(dir: &Path) -> Answer<Self> {
        let recovered = Arc::new(Mutex::new(Recovered::default()));
        let log = Configuration::default_for(dir)
            .checkpoint_after_bytes(u64::MAX)
            .open(Collect(Arc::clone(&recovered)))
            .map_err(Refusal::of)?;
        Ok(Self { log, recovered })
    }
}

impl Contestant for Log {
    fn append(&self, record: &Record) -> Answer<()> {
        self.append_many(std::slice::from_ref(record))
    }

    fn append_many(&self, records: &[Record]) -> Answer<()> {
        let mut entry = self.log.begin_entry().map_err(Refusal::of)?;
        for record in records {
            entry.write_chunk(&record.to_bytes()?).map_err(Refusal::of)?;
        }
        entry.commit().map_err(Refusal::of)?;
        Ok(())
    }

    fn replay(&self) -> Answer<Vec<Found>> {
        Ok(self.recovered.lock().unwrap_or_else(PoisonError::into_inner).records.clone())
    }

    fn told(&self) -> Option<String> {
        let aborted = self.recovered.lock().unwrap_or_else(PoisonError::into_inner).aborted;
        (aborted > 0).then(|| format!("{aborted} aborted entries"))
    }

    fn close(self: Box<Self>) -> Answer<()> {
        self.log.shutdown().map_err(Refusal::of)
    }
}
