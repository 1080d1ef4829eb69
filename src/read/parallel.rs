//! Replay on every core: some threads take blocks of records in turn, and parse them side by side.
//!
//! Owns the order: what comes out is in the order of the journal, up to the first fault, whichever thread was faster.
//! Beyond the result it holds a block a thread.

use std::{
    collections::BTreeMap, num::NonZero, panic::resume_unwind, sync::Arc, thread::available_parallelism,
};

use serde::de::DeserializeOwned;

use super::{block_cursor::BlockCursor, journal_reader::JournalReader};
use crate::{
    MiniStoreError, Result,
    seeded_bugs::{Bug, seeded},
    sync::{Mutex, PoisonError, mpsc, thread},
};

/// More threads than this would wait for the one that reads: it checks about ten times as fast as one parses.
pub(super) const THREADS_MAX: usize = 8;

/// Returns how many threads a replay uses by default.
pub(super) fn default_threads() -> usize {
    available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX)
}

/// All records of what `open` opens, parsed on so many threads.
pub(super) async fn replay<R, O>(open: O, threads: usize) -> Result<Vec<R>>
where
    R: DeserializeOwned + Send + 'static,
    O: FnOnce() -> Result<JournalReader> + Send + 'static,
{
    let mut parts = ParsedBlocks::start(open, threads)?;
    let mut records = Vec::new();
    while let Some(mut part) = parts.next().await {
        records.append(&mut part.records);
        match part.fault {
            None => {}
            Some(MiniStoreError::Record { source, .. }) => {
                // As the original counts: the first header is line 1, later ones are not counted.
                return Err(MiniStoreError::Deserialize { line: records.len() + 2, source });
            }
            Some(fault) => return Err(fault),
        }
    }
    parts.finish();
    Ok(records)
}

/// The records of one block, up to the first that is at fault.
#[derive(Debug)]
struct ParsedBlock<R> {
    records: Vec<R>,
    fault: Option<MiniStoreError>,
}

/// Parts in the order of the journal. Dropping it ends the threads.
struct ParsedBlocks<R> {
    arriving: mpsc::Receiver<(u64, ParsedBlock<R>)>,
    /// Whose turn has not come.
    early: BTreeMap<u64, ParsedBlock<R>>,
    turn: u64,
    threads: Vec<thread::JoinHandle<()>>,
}

impl<R: DeserializeOwned + Send + 'static> ParsedBlocks<R> {
    fn start<O>(open: O, threads: usize) -> Result<Self>
    where
        O: FnOnce() -> Result<JournalReader> + Send + 'static,
    {
        let (sender, arriving) = mpsc::channel(threads);
        let source = Arc::new(Mutex::new(SharedReader { state: ReaderState::Fresh(open), turn: 0 }));
        let mut started = Self { arriving, early: BTreeMap::new(), turn: 0, threads: Vec::new() };
        for _ in 0..threads {
            let (source, sender) = (Arc::clone(&source), sender.clone());
            let thread = thread::Builder::new().name("ministore-reader".into());
            started.threads.push(thread.spawn(move || parse_blocks(&source, &sender))?);
        }
        Ok(started)
    }

    /// The next part; `None` where all were given, or a thread broke off.
    async fn next(&mut self) -> Option<ParsedBlock<R>> {
        loop {
            if let Some(part) = self.early.remove(&self.turn) {
                self.turn += 1;
                return Some(part);
            }
            let (turn, part) = self.arriving.recv().await?;
            let turn = if seeded(Bug::PartsInParseOrder) { self.turn } else { turn };
            self.early.insert(turn, part);
        }
    }

    /// Hands on the panic of a thread, if there was one: what it should have parsed is missing.
    fn finish(self) {
        for thread in self.threads {
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        }
    }
}

/// Where all threads take their blocks from.
struct SharedReader<O> {
    state: ReaderState<O>,
    /// The next block's place in the journal.
    turn: u64,
}

enum ReaderState<O> {
    Fresh(O),
    Reading(Box<JournalReader>),
    Ended,
}

impl<O: FnOnce() -> Result<JournalReader>> SharedReader<O> {
    /// The next block, or what stands in its place, and whose turn it is; `None` once there was an end or a fault.
    fn take(&mut self, block_cursor: &mut BlockCursor) -> Option<(u64, Result<()>)> {
        let mut journal_reader = match std::mem::replace(&mut self.state, ReaderState::Ended) {
            ReaderState::Fresh(open) => match open() {
                Ok(journal_reader) => Box::new(journal_reader),
                Err(error) => return Some((self.turn, Err(error))),
            },
            ReaderState::Reading(journal_reader) => journal_reader,
            ReaderState::Ended => return None,
        };
        let turn = self.turn;
        match block_cursor.next_block(&mut journal_reader) {
            Ok(true) => {
                self.state = ReaderState::Reading(journal_reader);
                self.turn += 1;
                Some((turn, Ok(())))
            }
            Ok(false) => None,
            Err(error) => Some((turn, Err(error))),
        }
    }
}

/// What each thread does, until there are no more blocks or nobody wants them.
fn parse_blocks<R, O>(source: &Mutex<SharedReader<O>>, parts: &mpsc::Sender<(u64, ParsedBlock<R>)>)
where
    R: DeserializeOwned,
    O: FnOnce() -> Result<JournalReader>,
{
    let mut block_cursor = BlockCursor::default();
    loop {
        let taken = source.lock().unwrap_or_else(PoisonError::into_inner).take(&mut block_cursor);
        let (turn, part) = match taken {
            Some((turn, Ok(()))) => (turn, parse(&mut block_cursor)),
            Some((turn, Err(fault))) => (turn, ParsedBlock { records: Vec::new(), fault: Some(fault) }),
            None => return,
        };
        let ended = part.fault.is_some();
        if parts.blocking_send((turn, part)).is_err() || ended {
            return;
        }
    }
}

fn parse<R: DeserializeOwned>(block_cursor: &mut BlockCursor) -> ParsedBlock<R> {
    let mut records = Vec::with_capacity(block_cursor.len());
    while let Some(record) = block_cursor.next::<R>(0) {
        match record {
            Ok(record) => records.push(record.value),
            Err(fault) => return ParsedBlock { records, fault: Some(fault) },
        }
    }
    ParsedBlock { records, fault: None }
}
