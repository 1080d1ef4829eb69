//! One run of a store, from open to close, with all clients and readers at once.

use std::{
    fmt,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use futures_lite::future::block_on;
use ministore_uring::{Backend, JournalOptions, MiniStore, SyncMode};

use crate::{
    clients::Client,
    ledger::Ledger,
    readers::{self, Verifier},
};

const SEGMENT_BYTES: u64 = 2 << 20;

/// Enough that retention deletes no segment before the verifier has read it: more than the ledger lets clients be
/// ahead.
const MAX_SEGMENTS: usize = 12;

/// Maximum duration of an instance.
const MAX_DURATION: Duration = Duration::from_millis(2500);

type BoxedClient = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How an instance ends.
#[derive(Debug, Clone, Copy)]
enum InstanceEnd {
    /// The store is closed while clients use it.
    Closed,
    /// The clients stop, then the last handle is dropped.
    Dropped,
    /// As `Dropped`, but another thread drops the last handle.
    DroppedOnThread,
}

/// Counts of the operations of all instances.
#[derive(Debug, Default)]
pub(crate) struct SoakStats {
    pub(crate) instances: u64,
    closed: u64,
    records: u64,
    bytes: u64,
    groups: u64,
    rotations: u64,
    requested_rotations: u64,
    abandoned: u64,
    rescanned: u64,
    streamed: u64,
    stats_samples: u64,
    pub(crate) other_process_records: u64,
}

impl SoakStats {
    /// Returns `true` if every kind of operation happened at least once.
    pub(crate) fn is_complete(&self) -> bool {
        [
            self.closed,
            self.instances - self.closed,
            self.records,
            self.rotations,
            self.requested_rotations,
            self.abandoned,
            self.rescanned,
            self.streamed,
            self.stats_samples,
            self.other_process_records,
        ]
        .iter()
        .all(|&count| count > 0)
    }
}

impl fmt::Display for SoakStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} instances ({} closed under load), {} records, {} MiB, {} groups, {} rotations ({} requested), \
             {} appends abandoned, read again: {} by records, {} by stream and replay, {} by another process; \
             {} samples of the statistics",
            self.instances,
            self.closed,
            self.records,
            self.bytes >> 20,
            self.groups,
            self.rotations,
            self.requested_rotations,
            self.abandoned,
            self.rescanned,
            self.streamed,
            self.other_process_records,
            self.stats_samples
        )
    }
}

/// One run of a store.
#[derive(Debug)]
pub(crate) struct StoreInstance {
    options: JournalOptions,
    path: PathBuf,
    ledger: Arc<Ledger>,
    duration: Duration,
    end: InstanceEnd,
}

impl StoreInstance {
    pub(crate) fn new(
        backend: Backend,
        path: &Path,
        ledger: &Arc<Ledger>,
        number: u64,
        time_left: Duration,
        random: &mut Rng,
    ) -> Self {
        let queue_bytes = if random.u8(..3) == 0 { 20 << 10 } else { 8 << 20 };
        let dsync = if backend == Backend::TokioUring { SyncMode::Fdatasync } else { SyncMode::Dsync };
        let options = JournalOptions::new()
            .backend(backend)
            .max_segment_bytes(SEGMENT_BYTES)
            .max_segments(MAX_SEGMENTS)
            .preallocate(random.u8(..4) > 0)
            .direct_io(random.u8(..3) > 0)
            .sync_mode([SyncMode::Auto, dsync, SyncMode::Fdatasync][random.usize(..3)])
            .max_queue_bytes(queue_bytes)
            .max_group_bytes(1 << random.u8(10..=20))
            .commit_delay(Duration::from_micros(random.u64(..2) * random.u64(..500)));
        // Each end happens also in a short run.
        let ends = [InstanceEnd::Closed, InstanceEnd::Dropped, InstanceEnd::DroppedOnThread];
        let end = ends[number as usize % ends.len()];
        let duration = MAX_DURATION.min(time_left.max(Duration::from_millis(500)));
        Self { options, path: path.into(), ledger: Arc::clone(ledger), duration, end }
    }

    /// Opens the store, runs the clients and readers, ends the store and checks the journal.
    pub(crate) fn run(self, mut verifier: Verifier, stats: &mut SoakStats) -> Verifier {
        let store = self.options.clone().open_blocking(&self.path).unwrap();
        assert_eq!(
            store.durable_seq() + 1,
            verifier.next_seq,
            "the journal does not end after the last verified record"
        );
        let stop = Arc::new(AtomicBool::new(false));
        let readers_stop = Arc::new(AtomicBool::new(false));
        let durable = Arc::new(AtomicU64::new(store.durable_seq()));
        let clients = self.spawn_clients(&store, &stop);
        let rotator = thread::spawn({
            let client = Client::new(&store, &self.ledger, &stop);
            move || client.rotate_repeatedly()
        });
        let sampler = thread::spawn({
            let (store, stop, durable) = (store.clone(), Arc::clone(&stop), Arc::clone(&durable));
            move || readers::sample_stats(&store, &stop, &durable)
        });
        let scanner = thread::spawn({
            let (path, stop) = (self.path.clone(), Arc::clone(&readers_stop));
            move || readers::scan_records(&path, &stop, &durable)
        });
        let streamer = thread::spawn({
            let (path, stop) = (self.path.clone(), Arc::clone(&readers_stop));
            move || readers::stream_records(&path, &stop)
        });
        let verifier = thread::spawn({
            let stop = Arc::clone(&readers_stop);
            move || {
                while !stop.load(Ordering::Relaxed) {
                    verifier.catch_up();
                    thread::sleep(Duration::from_millis(2));
                }
                verifier
            }
        });
        let deadline = Instant::now() + self.duration;
        while Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        if matches!(self.end, InstanceEnd::Closed) {
            store.blocking().close().unwrap();
            stats.closed += 1;
        }
        stop.store(true, Ordering::Relaxed);
        let last_handle = store.clone();
        drop(store);
        clients.into_iter().for_each(|client| client.join().unwrap());
        stats.requested_rotations += rotator.join().unwrap();
        stats.stats_samples += sampler.join().unwrap();
        let totals = last_handle.stats();
        match self.end {
            InstanceEnd::DroppedOnThread => thread::spawn(move || drop(last_handle)).join().unwrap(),
            InstanceEnd::Closed | InstanceEnd::Dropped => drop(last_handle),
        }
        readers_stop.store(true, Ordering::Relaxed);
        stats.rescanned += scanner.join().unwrap();
        stats.streamed += streamer.join().unwrap();
        let mut verifier = verifier.join().unwrap();
        // Opening waits until the previous close is complete, so the verifier reads all remaining records.
        drop(self.options.open_blocking(&self.path).unwrap());
        verifier.catch_up();
        verifier.reset_order();
        self.ledger.assert_resolved();
        stats.instances += 1;
        stats.records += totals.records;
        stats.bytes += totals.bytes;
        stats.groups += totals.groups;
        stats.rotations += totals.rotations;
        stats.abandoned = self.ledger.abandoned();
        verifier
    }

    /// Starts threads that run every kind of client, on every kind of runtime.
    fn spawn_clients(&self, store: &MiniStore, stop: &Arc<AtomicBool>) -> Vec<thread::JoinHandle<()>> {
        let client = || Client::new(store, &self.ledger, stop);
        let tasks = |appends: u64| -> Vec<BoxedClient> {
            let mut tasks: Vec<BoxedClient> = vec![
                Box::pin(client().append_pipelined()),
                Box::pin(client().cancel_appends()),
                Box::pin(client().keep_unpolled()),
            ];
            tasks.extend((0..appends).map(|_| -> BoxedClient { Box::pin(client().append_one_by_one()) }));
            tasks
        };
        let (mut multi, single) = (tasks(3), tasks(2));
        multi.push(Box::pin(client().append_json_and_batches()));
        let (no_tokio, no_runtime, two_threads) = (client(), client(), client());
        vec![
            thread::spawn(move || {
                run_tasks(tokio::runtime::Builder::new_multi_thread().worker_threads(2), multi);
            }),
            thread::spawn(move || run_tasks(&mut tokio::runtime::Builder::new_current_thread(), single)),
            thread::spawn(move || block_on(no_tokio.append_json_and_batches())),
            thread::spawn(move || no_runtime.append_blocking()),
            thread::spawn(move || two_threads.wait_on_other_thread()),
        ]
    }
}

fn run_tasks(runtime: &mut tokio::runtime::Builder, clients: Vec<BoxedClient>) {
    let runtime = runtime.build().unwrap();
    let tasks: Vec<_> = clients.into_iter().map(|client| runtime.spawn(client)).collect();
    tasks.into_iter().for_each(|task| runtime.block_on(task).unwrap());
}
