//! A store from its opening to its end: everybody uses it at once.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures_lite::future::block_on;
use ministore_uring::{Backend, JournalOptions, MiniStore, SyncMode};

use crate::{
    callers::Caller,
    ledger::Ledger,
    readers::{self, Verifier},
};

const SEGMENT_BYTES: u64 = 2 << 20;

/// Enough that the readers are not overtaken: more than the ledger lets callers be ahead of them.
const SEGMENTS: usize = 12;

/// How long a generation is used at most.
const LENGTH_MAX: Duration = Duration::from_millis(2500);

/// A small generator of numbers, from a seed.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// How a generation ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Closed under the callers' hands.
    Closed,
    /// The callers stop, and the last of them drops the last handle.
    Dropped,
    /// The same, without waiting for the callers: opened again as soon as the last is gone.
    DroppedElsewhere,
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) generations: u64,
    closed: u64,
    records: u64,
    bytes: u64,
    groups: u64,
    rotations: u64,
    asked_rotations: u64,
    given_up: u64,
    read_again: u64,
    streamed: u64,
    readings: u64,
    pub(crate) other_process_records: u64,
}

impl Figures {
    /// Everything was done at least once.
    pub(crate) fn is_whole(&self) -> bool {
        [
            self.closed,
            self.generations - self.closed,
            self.records,
            self.rotations,
            self.asked_rotations,
            self.given_up,
            self.read_again,
            self.streamed,
            self.readings,
            self.other_process_records,
        ]
        .iter()
        .all(|&figure| figure > 0)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} generations ({} closed under load), {} records, {} MiB, {} groups, {} rotations ({} asked for), \
             {} outcomes given up, read again: {} by records, {} by stream and replay, {} by another process; \
             {} readings of the figures",
            self.generations,
            self.closed,
            self.records,
            self.bytes >> 20,
            self.groups,
            self.rotations,
            self.asked_rotations,
            self.given_up,
            self.read_again,
            self.streamed,
            self.other_process_records,
            self.readings
        )
    }
}

#[derive(Debug)]
pub(crate) struct Generation {
    options: JournalOptions,
    path: PathBuf,
    ledger: Arc<Ledger>,
    length: Duration,
    end: End,
}

impl Generation {
    pub(crate) fn new(
        backend: Backend,
        path: &Path,
        ledger: &Arc<Ledger>,
        length: Duration,
        random: &mut Random,
    ) -> Self {
        let queue_bytes = if random.below(3) == 0 { 20 << 10 } else { 8 << 20 };
        let options = JournalOptions::new()
            .backend(backend)
            .max_segment_bytes(SEGMENT_BYTES)
            .max_segments(SEGMENTS)
            .preallocate(random.below(4) > 0)
            .direct_io(random.below(3) > 0)
            .sync_mode([SyncMode::Auto, SyncMode::Dsync, SyncMode::Fdatasync][random.below(3) as usize])
            .max_queue_bytes(queue_bytes)
            .max_group_bytes(1 << (10 + random.below(11)))
            .commit_delay(Duration::from_micros(random.below(2) * random.below(500)));
        let end = [End::Closed, End::Dropped, End::DroppedElsewhere][random.below(3) as usize];
        let length = LENGTH_MAX.min(length.max(Duration::from_millis(500)));
        Self { options, path: path.into(), ledger: Arc::clone(ledger), length, end }
    }

    pub(crate) fn run(self, mut verifier: Verifier, figures: &mut Figures) -> Verifier {
        let store = self.options.clone().open_blocking(&self.path).unwrap();
        assert_eq!(store.durable_seq() + 1, verifier.next_seq, "the journal did not end where it was left");
        let stop = Arc::new(AtomicBool::new(false));
        let given_up = Arc::new(AtomicU64::new(0));
        let readers_stop = Arc::new(AtomicBool::new(false));
        let durable = Arc::new(AtomicU64::new(store.durable_seq()));
        let callers = self.callers(&store, &stop, &given_up);
        let rotates = thread::spawn({
            let caller = Caller::new(&store, &self.ledger, &stop, &given_up);
            move || caller.rotates()
        });
        let stats = thread::spawn({
            let (store, stop, durable) = (store.clone(), Arc::clone(&stop), Arc::clone(&durable));
            move || readers::stats(&store, &stop, &durable)
        });
        let again = thread::spawn({
            let (path, stop) = (self.path.clone(), Arc::clone(&readers_stop));
            move || readers::records(&path, &stop, &durable)
        });
        let streams = thread::spawn({
            let (path, stop) = (self.path.clone(), Arc::clone(&readers_stop));
            move || readers::streams(&path, &stop)
        });
        let verifying = thread::spawn({
            let stop = Arc::clone(&readers_stop);
            move || {
                while !stop.load(Ordering::Relaxed) {
                    verifier.catch_up();
                    thread::sleep(Duration::from_millis(2));
                }
                verifier
            }
        });
        let deadline = Instant::now() + self.length;
        while Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        if matches!(self.end, End::Closed) {
            store.blocking().close().unwrap();
            figures.closed += 1;
        }
        stop.store(true, Ordering::Relaxed);
        let last = store.clone();
        drop(store);
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        figures.asked_rotations += rotates.join().unwrap();
        figures.readings += stats.join().unwrap();
        let done = last.stats();
        match self.end {
            End::DroppedElsewhere => thread::spawn(move || drop(last)).join().unwrap(),
            End::Closed | End::Dropped => drop(last),
        }
        readers_stop.store(true, Ordering::Relaxed);
        figures.read_again += again.join().unwrap();
        figures.streamed += streams.join().unwrap();
        let mut verifier = verifying.join().unwrap();
        // Opening waits for the closing; what is read now is all there is.
        drop(self.options.open_blocking(&self.path).unwrap());
        verifier.catch_up();
        verifier.forget_callers();
        self.ledger.settle_all();
        figures.generations += 1;
        figures.records += done.records;
        figures.bytes += done.bytes;
        figures.groups += done.groups;
        figures.rotations += done.rotations;
        figures.given_up += given_up.load(Ordering::Relaxed);
        verifier
    }

    /// Threads that run every kind of caller, on every kind of runtime.
    fn callers(
        &self,
        store: &MiniStore,
        stop: &Arc<AtomicBool>,
        given_up: &Arc<AtomicU64>,
    ) -> Vec<thread::JoinHandle<()>> {
        let caller = || Caller::new(store, &self.ledger, stop, given_up);
        let on_many = [caller(), caller(), caller()].map(Caller::appends);
        let (batches, submits, gives_up) = (caller().batches(), caller().submits(), caller().gives_up());
        let on_one = [caller(), caller()].map(Caller::appends);
        let (submits_there, gives_up_there) = (caller().submits(), caller().gives_up());
        let (parks, parks_there) = (caller().parks(), caller().parks());
        let (lone, blocking, elsewhere) = (caller(), caller(), caller());
        vec![
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
                let mut tasks: Vec<_> = on_many.into_iter().map(|append| runtime.spawn(append)).collect();
                tasks.extend([runtime.spawn(batches), runtime.spawn(submits), runtime.spawn(gives_up)]);
                tasks.push(runtime.spawn(parks));
                tasks.into_iter().for_each(|task| runtime.block_on(task).unwrap());
            }),
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let mut tasks: Vec<_> = on_one.into_iter().map(|append| runtime.spawn(append)).collect();
                tasks.extend([runtime.spawn(submits_there), runtime.spawn(gives_up_there)]);
                tasks.push(runtime.spawn(parks_there));
                tasks.into_iter().for_each(|task| runtime.block_on(task).unwrap());
            }),
            thread::spawn(move || block_on(lone.batches())),
            thread::spawn(move || blocking.blocking()),
            thread::spawn(move || elsewhere.waits_elsewhere()),
        ]
    }
}
