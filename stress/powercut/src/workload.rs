//! The workload that a power cut interrupts: several journals at once, each with several clients, opened and closed
//! repeatedly with every combination of options, with segments so small that rotations are frequent, and unrelated
//! files in the same file system.
//!
//! It runs as a separate process (`work`). A client logs a marker for each acknowledgement before it continues.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use bytes::Bytes;
use fastrand::Rng;
use ministore_uring::{Backend, Header, JournalOptions, MiniStore, SyncMode};
use serde::{Deserialize, Serialize};

use crate::{
    filesystem::FileSystem,
    marker::Marker,
    test_record::{TestRecord, rng},
};

/// The number of journals written at once.
pub(crate) const JOURNALS: u64 = 3;

/// Concurrent clients of each journal.
const CLIENTS: u64 = 3;

/// The number of unrelated files, and their maximum size.
const UNRELATED_FILES: u64 = 6;
const UNRELATED_FILE_BYTES: usize = 64 << 10;

/// Configuration of a recording.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct RecordingConfig {
    pub(crate) file_system: FileSystem,
    pub(crate) seed: u64,
    /// The number of power cuts before this recording.
    pub(crate) generation: u64,
    /// How often each journal is opened and closed.
    pub(crate) rounds: u64,
    /// The number of operations of each client in a round.
    pub(crate) steps: u64,
    /// Whether io_uring may be used.
    pub(crate) uring: bool,
    /// Acknowledge records before they are durable, which the checker must detect: a control.
    pub(crate) early: bool,
}

/// Configuration of the workload process, passed as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WorkloadPlan {
    pub(crate) config: RecordingConfig,
    /// The mounted file system under test.
    pub(crate) dir: PathBuf,
    /// The file system with the recorded disk, which receives the markers.
    pub(crate) recorder: PathBuf,
}

/// The result of a step of the workload.
type WorkloadResult<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Returns the path of a journal.
pub(crate) fn path(dir: &Path, journal: u64) -> PathBuf {
    dir.join(format!("journal-{journal}")).join("log.jsonl")
}

/// Returns the number of segments that a journal keeps, or `None` if it keeps all.
pub(crate) fn max_segments(journal: u64) -> Option<usize> {
    [Some(4), None, Some(3)][usize::try_from(journal % JOURNALS).unwrap_or_default()]
}

/// Returns whether some segments of a journal have a JSON header, which `ministore` 0.1.7 does not read.
pub(crate) fn has_json_headers(journal: u64) -> bool {
    journal % JOURNALS == 1
}

/// Returns the options of a journal. `variant` selects those that may change between two opens.
pub(crate) fn options(journal: u64, variant: u64, uring: bool) -> JournalOptions {
    let bytes = [48 << 10, 24 << 10, 6 << 10][usize::try_from(journal % JOURNALS).unwrap_or_default()];
    let backend = match variant & (4 | 64) {
        0 if uring => Backend::Uring,
        64 if uring => Backend::TokioUring,
        _ => Backend::Blocking,
    };
    let sync_mode = match variant >> 4 & 3 {
        0 => SyncMode::Auto,
        2 if backend != Backend::TokioUring => SyncMode::Dsync,
        _ => SyncMode::Fdatasync,
    };
    let options = JournalOptions::new()
        .max_segment_bytes(bytes)
        .header(if has_json_headers(journal) && variant % 5 < 3 { Header::Json } else { Header::Comment })
        .direct_io(variant & 1 == 0)
        .sync_mode(sync_mode)
        // With small groups the writer thread encodes the next one while it writes the current one.
        .max_group_bytes(if variant & 8 == 0 { 1000 } else { 1 << 20 })
        .preallocate(variant & 2 == 0)
        .backend(backend);
    max_segments(journal).into_iter().fold(options, JournalOptions::max_segments)
}

/// Runs the workload. `plan.dir` may contain the journals of earlier generations.
pub(crate) fn run(plan: &WorkloadPlan) -> WorkloadResult<()> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let unrelated = scope.spawn(|| write_unrelated_files(plan, &done));
        let journals: Vec<_> =
            (0..JOURNALS).map(|journal| scope.spawn(move || run_journal(plan, journal))).collect();
        let outcomes: Vec<_> = journals.into_iter().map(|thread| thread.join()).collect();
        done.store(true, Ordering::Relaxed);
        unrelated.join().map_err(|_| "the thread of the unrelated files panicked")??;
        for outcome in outcomes {
            outcome.map_err(|_| "the thread of a journal panicked")??;
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    })?;
    log(plan, &Marker::Done)
}

/// Adds a marker to the recording. It is in the recording when this returns.
fn log(plan: &WorkloadPlan, marker: &Marker) -> WorkloadResult<()> {
    Ok(ministore_faultfs::mark(&plan.recorder, &serde_json::to_string(marker)?)?)
}

fn run_journal(plan: &WorkloadPlan, journal: u64) -> WorkloadResult<()> {
    let mut random = rng(&[plan.config.seed, plan.config.generation, journal]);
    let mut clients: Vec<Client<'_>> =
        (0..CLIENTS).map(|client| Client::new(plan, journal, client)).collect();
    let variant = random.u64(..);
    for round in 0..plan.config.rounds {
        // A step of 3 covers all sixteen variants of the low bits in sixteen rounds, and neighbouring rounds differ in several options.
        let options = options(journal, variant.wrapping_add(round * 3), plan.config.uring);
        let store = options.open_blocking(path(&plan.dir, journal))?;
        log(plan, &Marker::Opened { journal, next_seq: store.open_report().next_seq })?;
        thread::scope(|scope| {
            let running: Vec<_> =
                clients.iter_mut().map(|client| scope.spawn(|| client.run_round(&store))).collect();
            for thread in running {
                thread.join().map_err(|_| "a client panicked")??;
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        })?;
        // Otherwise the drop of the last handle closes the journal.
        if random.u32(..100) < 60 {
            store.blocking().close()?;
        }
    }
    Ok(())
}

/// A client that appends to one journal.
#[derive(Debug)]
struct Client<'a> {
    /// The journal, the generation and the client ID.
    id: (u64, u64, u64),
    random: Rng,
    /// The number of its last record.
    number: u64,
    plan: &'a WorkloadPlan,
}

impl<'a> Client<'a> {
    fn new(plan: &'a WorkloadPlan, journal: u64, client: u64) -> Self {
        let random = rng(&[plan.config.seed, plan.config.generation, journal, client]);
        Self { id: (journal, plan.config.generation, client), random, number: 0, plan }
    }

    fn run_round(&mut self, store: &MiniStore) -> WorkloadResult<()> {
        for _ in 0..self.plan.config.steps {
            match self.random.u32(..100) {
                _ if self.plan.config.early => self.acknowledge_early(store)?,
                0..40 => self.append_one(store)?,
                40..65 => self.submit_many(store)?,
                65..85 => self.append_batch(store, 30, 900)?,
                85..95 => self.append_large_batch(store)?,
                _ => store.blocking().rotate()?,
            }
        }
        Ok(())
    }

    fn append_one(&mut self, store: &MiniStore) -> WorkloadResult<()> {
        let record = self.single_record();
        self.issue(1)?;
        let seq = if self.random.bool() {
            store.blocking().append_json(Bytes::from(serde_json::to_vec(&record)?))?
        } else {
            store.blocking().submit(&record)?.wait()?.seq
        };
        self.acknowledge(record.number, 1, Some(seq))
    }

    fn submit_many(&mut self, store: &MiniStore) -> WorkloadResult<()> {
        let count = self.random.u64(2..14);
        self.issue(count)?;
        let mut pending = Vec::new();
        for _ in 0..count {
            let record = self.single_record();
            pending.push((record.number, store.blocking().submit(&record)?));
        }
        for (number, pending) in pending {
            let seq = pending.wait()?.seq;
            self.acknowledge(number, 1, Some(seq))?;
        }
        Ok(())
    }

    fn append_batch(
        &mut self,
        store: &MiniStore,
        max_records: u64,
        max_text_bytes: usize,
    ) -> WorkloadResult<()> {
        let count = self.random.u64(2..=max_records);
        self.issue(count)?;
        let first = self.number + 1;
        let records: Vec<TestRecord> =
            (0..count).map(|index| self.next_record(index, count, max_text_bytes)).collect();
        let seqs = store.blocking().append_batch(&records)?;
        if seqs.end - seqs.start != count {
            return Err(format!("a batch of {count} received the numbers {seqs:?}").into());
        }
        self.acknowledge(first, count, Some(seqs.start))
    }

    /// Appends a batch whose commit needs many disk writes. Only journal 0 gets the largest ones, because its retention
    /// soon deletes them and images must stay fast to check.
    fn append_large_batch(&mut self, store: &MiniStore) -> WorkloadResult<()> {
        match self.id.0 {
            0 => self.append_batch(store, 24, 12_000),
            _ => self.append_batch(store, 60, 300),
        }
    }

    fn acknowledge_early(&mut self, store: &MiniStore) -> WorkloadResult<()> {
        let record = self.single_record();
        self.issue(1)?;
        let pending = store.blocking().submit(&record)?;
        self.acknowledge(record.number, 1, None)?;
        pending.wait()?;
        Ok(())
    }

    fn single_record(&mut self) -> TestRecord {
        let max_text_bytes = if self.random.u32(..100) < 10 { 6000 } else { 700 };
        self.next_record(0, 1, max_text_bytes)
    }

    fn next_record(&mut self, index: u64, batch_len: u64, max_text_bytes: usize) -> TestRecord {
        self.number += 1;
        let text_bytes = self.random.usize(..max_text_bytes);
        TestRecord::new(self.id, self.number, index, batch_len, text_bytes)
    }

    /// Logs that the next `count` records will be submitted.
    fn issue(&self, count: u64) -> WorkloadResult<()> {
        let (journal, generation, client) = self.id;
        log(self.plan, &Marker::Issued { journal, generation, client, upto: self.number + count })
    }

    fn acknowledge(&self, number: u64, count: u64, seq: Option<u64>) -> WorkloadResult<()> {
        let (journal, generation, client) = self.id;
        log(self.plan, &Marker::Acknowledged { journal, generation, client, number, count, seq })
    }
}

/// Creates, writes, renames and deletes unrelated files, and rarely syncs. This makes more writes pending, and puts the
/// names of the journals into the same file system transactions as other names.
fn write_unrelated_files(plan: &WorkloadPlan, done: &AtomicBool) -> io::Result<()> {
    let dir = plan.dir.join("unrelated");
    fs::create_dir_all(&dir)?;
    let mut random = rng(&[plan.config.seed, plan.config.generation, u64::MAX]);
    while !done.load(Ordering::Relaxed) {
        let file = dir.join(random.u64(..UNRELATED_FILES).to_string());
        match random.u32(..10) {
            0..6 => {
                let bytes = random.usize(..UNRELATED_FILE_BYTES);
                fs::write(&file, vec![b'b'; bytes])?;
            }
            6..8 => ignore_missing(fs::rename(&file, dir.join(random.u64(..UNRELATED_FILES).to_string())))?,
            8 => ignore_missing(fs::remove_file(&file))?,
            _ => ignore_missing(File::open(&file).and_then(|file| file.sync_data()))?,
        }
        thread::yield_now();
    }
    Ok(())
}

fn ignore_missing(outcome: io::Result<()>) -> io::Result<()> {
    outcome.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
