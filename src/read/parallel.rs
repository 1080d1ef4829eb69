//! Parallel replay: several threads take blocks of records from one reader and deserialize them concurrently.
//!
//! Owns the order: the result is in journal order, up to the first error, whichever thread finishes first. Besides the
//! result, each thread holds one block.

use std::{
    collections::BTreeMap, num::NonZero, panic::resume_unwind, sync::Arc, thread::available_parallelism,
};

use serde::de::DeserializeOwned;

use super::{block_cursor::BlockCursor, journal_reader::JournalReader};
use crate::{
    MiniStoreError, Result,
    sync::{Mutex, PoisonError, mpsc, thread},
};

/// The maximum number of threads. Only one reads at a time, and it verifies about ten times as fast as one thread
/// deserializes: further threads would wait for it.
pub(super) const THREADS_MAX: usize = 8;

/// Returns the number of threads that a replay uses by default.
pub(super) fn default_threads() -> usize {
    available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX)
}

/// Returns all records of the reader that `open` returns, deserialized on `threads` threads.
pub(super) async fn replay<R, O>(open: O, threads: usize) -> Result<Vec<R>>
where
    R: DeserializeOwned + Send + 'static,
    O: FnOnce() -> Result<JournalReader> + Send + 'static,
{
    let mut blocks = ParsedBlocks::start(open, threads)?;
    let mut records = Vec::new();
    while let Some(mut block) = blocks.next().await {
        records.append(&mut block.records);
        match block.error {
            None => {}
            Some(MiniStoreError::Record { source, .. }) => {
                // As `ministore` 0.1.7 counts: the first header is line 1, later headers are not counted.
                return Err(MiniStoreError::Deserialize { line: records.len() + 2, source });
            }
            Some(error) => return Err(error),
        }
    }
    blocks.finish();
    Ok(records)
}

/// The records of one block, up to the first that could not be deserialized.
#[derive(Debug)]
struct ParsedBlock<R> {
    records: Vec<R>,
    error: Option<MiniStoreError>,
}

/// Yields the deserialized blocks in journal order. Dropping it ends the threads.
struct ParsedBlocks<R> {
    receiver: mpsc::Receiver<(u64, ParsedBlock<R>)>,
    /// Blocks that were deserialized before an earlier one, by their index.
    early: BTreeMap<u64, ParsedBlock<R>>,
    next_index: u64,
    threads: Vec<thread::JoinHandle<()>>,
}

impl<R: DeserializeOwned + Send + 'static> ParsedBlocks<R> {
    fn start<O>(open: O, threads: usize) -> Result<Self>
    where
        O: FnOnce() -> Result<JournalReader> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(threads);
        let reader = Arc::new(Mutex::new(SharedReader { state: ReaderState::Fresh(open), next_index: 0 }));
        let mut blocks = Self { receiver, early: BTreeMap::new(), next_index: 0, threads: Vec::new() };
        for _ in 0..threads {
            let (reader, sender) = (Arc::clone(&reader), sender.clone());
            let thread = thread::Builder::new().name("ministore-reader".into());
            blocks.threads.push(thread.spawn(move || parse_blocks(&reader, &sender))?);
        }
        Ok(blocks)
    }

    /// Returns the next block; `None` after the last one, and where a thread panicked.
    async fn next(&mut self) -> Option<ParsedBlock<R>> {
        loop {
            if let Some(block) = self.early.remove(&self.next_index) {
                self.next_index += 1;
                return Some(block);
            }
            let (block_index, block) = self.receiver.recv().await?;
            self.early.insert(block_index, block);
        }
    }

    /// Joins the threads, and resumes the panic of one that panicked: its block is missing from the result.
    fn finish(self) {
        for thread in self.threads {
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        }
    }
}

/// The reader that all threads take their blocks from.
struct SharedReader<O> {
    state: ReaderState<O>,
    /// The index of the next block in the journal.
    next_index: u64,
}

enum ReaderState<O> {
    Fresh(O),
    Reading(Box<JournalReader>),
    Ended,
}

impl<O: FnOnce() -> Result<JournalReader>> SharedReader<O> {
    /// Reads the next block; returns its index, and the error if it could not be read. `None` after the end or an
    /// error.
    fn take(&mut self, block_cursor: &mut BlockCursor) -> Option<(u64, Result<()>)> {
        let mut journal_reader = match std::mem::replace(&mut self.state, ReaderState::Ended) {
            ReaderState::Fresh(open) => match open() {
                Ok(journal_reader) => Box::new(journal_reader),
                Err(error) => return Some((self.next_index, Err(error))),
            },
            ReaderState::Reading(journal_reader) => journal_reader,
            ReaderState::Ended => return None,
        };
        let block_index = self.next_index;
        match block_cursor.next_block(&mut journal_reader) {
            Ok(true) => {
                self.state = ReaderState::Reading(journal_reader);
                self.next_index += 1;
                Some((block_index, Ok(())))
            }
            Ok(false) => None,
            Err(error) => Some((block_index, Err(error))),
        }
    }
}

/// Runs one thread: deserializes blocks until there are no more, or the receiver was dropped.
fn parse_blocks<R, O>(reader: &Mutex<SharedReader<O>>, sender: &mpsc::Sender<(u64, ParsedBlock<R>)>)
where
    R: DeserializeOwned,
    O: FnOnce() -> Result<JournalReader>,
{
    let mut block_cursor = BlockCursor::default();
    loop {
        let taken = reader.lock().unwrap_or_else(PoisonError::into_inner).take(&mut block_cursor);
        let (block_index, block) = match taken {
            Some((block_index, Ok(()))) => (block_index, parse(&mut block_cursor)),
            Some((block_index, Err(error))) => {
                (block_index, ParsedBlock { records: Vec::new(), error: Some(error) })
            }
            None => return,
        };
        let ended = block.error.is_some();
        if sender.blocking_send((block_index, block)).is_err() || ended {
            return;
        }
    }
}

fn parse<R: DeserializeOwned>(block_cursor: &mut BlockCursor) -> ParsedBlock<R> {
    let mut records = Vec::with_capacity(block_cursor.len());
    while let Some(record) = block_cursor.next::<R>(0) {
        match record {
            Ok(record) => records.push(record.value),
            Err(error) => return ParsedBlock { records, error: Some(error) },
        }
    }
    ParsedBlock { records, error: None }
}
