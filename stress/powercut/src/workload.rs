//! What is running when the power goes: several journals at once, several callers each, opened and closed again and
//! again with every combination of options, segments so small that rotation never stops, and somebody else's files in
//! the same file system.
//!
//! A process of its own (`work`). Every acknowledgement is marked after the caller was told and before the caller goes on.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use bytes::Bytes;
use ministore_uring::{Backend, JournalOptions, MiniStore, SyncMode};
use serde::{Deserialize, Serialize};

use crate::{line::Line, mark::Mark, random::Random};

/// How many journals are written at once.
pub(crate) const JOURNALS: u64 = 3;

/// Concurrent callers of each.
const CALLERS: u64 = 3;

/// Files of somebody else, and how large they become, in bytes.
const BYSTANDER_FILES: u64 = 6;
const BYSTANDER_BYTES: u64 = 64 << 10;

/// What to do. A process gets it as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// How many power cuts came before.
    pub(crate) generation: u64,
    /// The mounted file system under test.
    pub(crate) dir: PathBuf,
    /// Where marks go.
    pub(crate) control: PathBuf,
    /// How often each journal is opened and closed.
    pub(crate) rounds: u64,
    /// What each caller does in a round, in steps.
    pub(crate) steps: u64,
    /// Whether io_uring may be asked for.
    pub(crate) uring: bool,
    /// Acknowledge before the record is durable: the lie that the checker must notice.
    pub(crate) early: bool,
}

/// A failure of the workload: of the engine, mostly.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The path of a journal's active file.
pub(crate) fn path(dir: &Path, journal: u64) -> PathBuf {
    dir.join(format!("journal-{journal}")).join("log.jsonl")
}

/// How many segments a journal keeps; none where all.
pub(crate) fn segments_max(journal: u64) -> Option<usize> {
    [Some(4), None, Some(3)][usize::try_from(journal % JOURNALS).unwrap_or_default()]
}

/// A journal's options; `variant` chooses among those that may differ from one open to the next.
pub(crate) fn options(journal: u64, variant: u64, uring: bool) -> JournalOptions {
    let bytes = [48 << 10, 24 << 10, 6 << 10][usize::try_from(journal % JOURNALS).unwrap_or_default()];
    let backend = if variant & 4 == 0 && uring { Backend::Uring } else { Backend::Blocking };
    let sync_mode = [SyncMode::Auto, SyncMode::Fdatasync, SyncMode::Dsync, SyncMode::Fdatasync]
        [usize::try_from(variant >> 4 & 3).unwrap_or_default()];
    let options = JournalOptions::new()
        .max_segment_bytes(bytes)
        .direct_io(variant & 1 == 0)
        .sync_mode(sync_mode)
        // With small groups the next is laid out while one is being written.
        .max_group_bytes(if variant & 8 == 0 { 1000 } else { 1 << 20 })
        .preallocate(variant & 2 == 0)
        .backend(backend);
    segments_max(journal).into_iter().fold(options, JournalOptions::max_segments)
}

/// Does as planned. The journals of earlier lives are in `plan.dir` already.
pub(crate) fn run(plan: &Plan) -> Outcome<()> {
    let control = &Control { file: OpenOptions::new().write(true).open(&plan.control)? };
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let bystander = scope.spawn(|| bystander(plan, &over));
        let journals: Vec<_> =
            (0..JOURNALS).map(|journal| scope.spawn(move || run_journal(plan, journal, control))).collect();
        let outcomes: Vec<_> = journals.into_iter().map(|thread| thread.join()).collect();
        over.store(true, Ordering::Relaxed);
        bystander.join().map_err(|_| "the bystander panicked")??;
        for outcome in outcomes {
            outcome.map_err(|_| "a journal's thread panicked")??;
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    })?;
    control.mark(&Mark::Done)
}

/// The way into the recorder's log.
#[derive(Debug)]
struct Control {
    file: File,
}

impl Control {
    /// In the log when it returns.
    fn mark(&self, mark: &Mark) -> Outcome<()> {
        let command = format!("mark {}", serde_json::to_string(mark)?);
        let written = (&self.file).write(command.as_bytes())?;
        if written != command.len() {
            return Err("a mark was written in part".into());
        }
        Ok(())
    }
}

fn run_journal(plan: &Plan, journal: u64, control: &Control) -> Outcome<()> {
    let mut random = Random::new(&[plan.seed, plan.generation, journal]);
    let mut callers: Vec<Caller<'_>> =
        (0..CALLERS).map(|caller| Caller::new(plan, journal, caller, control)).collect();
    let variant = random.next();
    for round in 0..plan.rounds {
        // All sixteen in sixteen rounds, neighbours far apart.
        let options = options(journal, variant.wrapping_add(round * 3), plan.uring);
        let store = options.open_blocking(path(&plan.dir, journal))?;
        control.mark(&Mark::Opened { journal, next_seq: store.open_report().next_seq })?;
        thread::scope(|scope| {
            let running: Vec<_> =
                callers.iter_mut().map(|caller| scope.spawn(|| caller.round(&store, plan))).collect();
            for thread in running {
                thread.join().map_err(|_| "a caller panicked")??;
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        })?;
        // The other way to close is to drop the last handle.
        if random.percent(60) {
            store.blocking().close()?;
        }
    }
    Ok(())
}

/// One who appends.
#[derive(Debug)]
struct Caller<'a> {
    who: (u64, u64, u64),
    random: Random,
    /// Its last record's number.
    number: u64,
    control: &'a Control,
}

impl<'a> Caller<'a> {
    fn new(plan: &Plan, journal: u64, caller: u64, control: &'a Control) -> Self {
        let random = Random::new(&[plan.seed, plan.generation, journal, caller]);
        Self { who: (journal, plan.generation, caller), random, number: 0, control }
    }

    fn round(&mut self, store: &MiniStore, plan: &Plan) -> Outcome<()> {
        for _ in 0..plan.steps {
            match self.random.below(100) {
                _ if plan.early => self.submit_and_lie(store)?,
                0..40 => self.append_one(store)?,
                40..65 => self.submit_many(store)?,
                65..85 => self.append_batch(store, 30, 900)?,
                85..95 => self.append_large_batch(store)?,
                _ => store.blocking().rotate()?,
            }
        }
        Ok(())
    }

    fn append_one(&mut self, store: &MiniStore) -> Outcome<()> {
        let line = self.single();
        self.issue(1)?;
        let seq = if self.random.percent(50) {
            store.blocking().append_json(Bytes::from(serde_json::to_vec(&line)?))?
        } else {
            store.blocking().submit(&line)?.wait()?.seq
        };
        self.acknowledge(line.number, 1, Some(seq))
    }

    fn submit_many(&mut self, store: &MiniStore) -> Outcome<()> {
        let count = 2 + self.random.below(12);
        self.issue(count)?;
        let mut pending = Vec::new();
        for _ in 0..count {
            let line = self.single();
            pending.push((line.number, store.blocking().submit(&line)?));
        }
        for (number, pending) in pending {
            let seq = pending.wait()?.seq;
            self.acknowledge(number, 1, Some(seq))?;
        }
        Ok(())
    }

    fn append_batch(&mut self, store: &MiniStore, records_max: u64, text_bytes_max: u64) -> Outcome<()> {
        let count = 2 + self.random.below(records_max - 1);
        self.issue(count)?;
        let first = self.number + 1;
        let lines: Vec<Line> = (0..count).map(|place| self.line(place, count, text_bytes_max)).collect();
        let seqs = store.blocking().append_batch(&lines)?;
        if seqs.end - seqs.start != count {
            return Err(format!("a batch of {count} was numbered {seqs:?}").into());
        }
        self.acknowledge(first, count, Some(seqs.start))
    }

    /// So that one commit is many writes to the disk. Only where retention soon takes it away again: images must stay
    /// quick to check.
    fn append_large_batch(&mut self, store: &MiniStore) -> Outcome<()> {
        match self.who.0 {
            0 => self.append_batch(store, 24, 12_000),
            _ => self.append_batch(store, 60, 300),
        }
    }

    fn submit_and_lie(&mut self, store: &MiniStore) -> Outcome<()> {
        let line = self.single();
        self.issue(1)?;
        let pending = store.blocking().submit(&line)?;
        self.acknowledge(line.number, 1, None)?;
        pending.wait()?;
        Ok(())
    }

    fn single(&mut self) -> Line {
        let text_bytes_max = if self.random.percent(10) { 6000 } else { 700 };
        self.line(0, 1, text_bytes_max)
    }

    fn line(&mut self, place: u64, batch: u64, text_bytes_max: u64) -> Line {
        self.number += 1;
        let text_bytes = usize::try_from(self.random.below(text_bytes_max)).unwrap_or_default();
        Line::new(self.who, self.number, place, batch, text_bytes)
    }

    /// Before anything of the next `count` records is handed over.
    fn issue(&self, count: u64) -> Outcome<()> {
        let (journal, generation, caller) = self.who;
        self.control.mark(&Mark::Issued { journal, generation, caller, upto: self.number + count })
    }

    fn acknowledge(&self, number: u64, count: u64, seq: Option<u64>) -> Outcome<()> {
        let (journal, generation, caller) = self.who;
        self.control.mark(&Mark::Acknowledged { journal, generation, caller, number, count, seq })
    }
}

/// Somebody else, who creates, writes, renames and deletes, and hardly ever syncs: so that more is pending, and the
/// journals' names share the file system's own transactions with other names.
fn bystander(plan: &Plan, over: &AtomicBool) -> io::Result<()> {
    let dir = plan.dir.join("bystander");
    fs::create_dir_all(&dir)?;
    let mut random = Random::new(&[plan.seed, plan.generation, u64::MAX]);
    while !over.load(Ordering::Relaxed) {
        let file = dir.join(random.below(BYSTANDER_FILES).to_string());
        match random.below(10) {
            0..6 => {
                let bytes = usize::try_from(random.below(BYSTANDER_BYTES)).unwrap_or_default();
                fs::write(&file, vec![b'b'; bytes])?;
            }
            6..8 => ignore_missing(fs::rename(&file, dir.join(random.below(BYSTANDER_FILES).to_string())))?,
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
