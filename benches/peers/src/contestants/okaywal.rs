//! `okaywal` 0.3.1, one entry of one chunk a record.
//!
//! Acknowledgement: `EntryWriter::commit` returns `Ok`. Promise (its documentation): "Once this call returns, all data is
//! atomically updated and synchronized to disk". Damage: `Entry::read_all_chunks` gives an error where a checksum fails, and
//! nothing for an entry that "wasn't completely written", which is to be ignored.
//!
//! okaywal empties its segments through checkpoints, into a storage of the caller's: what is checkpointed is no longer in
//! the log. Here nothing is ever checkpointed, the one segment grows ("Log files may grow to be larger than this size if
//! needed"), so that every record stays in the log and can be asked for.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use okaywal::{Configuration, Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};

use crate::contestant::{Answer, Contestant, Found, Record, Refusal};

/// An open log, and what was in it.
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

impl LogManager for Collect {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        let chunks = entry.read_all_chunks()?;
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
