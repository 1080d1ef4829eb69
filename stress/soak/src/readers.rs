//! The readers: a verifier that reads each record once and compares it with the ledger, and readers that scan the
//! journal repeatedly, in this process and in another.

use std::{
    collections::HashMap,
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use futures_lite::future::block_on;
use ministore_uring::{MiniStore, MiniStoreError, Reader, Record};

use crate::ledger::{Ledger, TestRecord};

/// Pause between two scans, so that the readers do not starve the writers of CPU time.
const SCAN_PAUSE: Duration = Duration::from_millis(10);

/// Reads every record once, soon after it was written.
#[derive(Debug)]
pub(crate) struct Verifier {
    path: PathBuf,
    ledger: Arc<Ledger>,
    pub(crate) next_seq: u64,
    order: SeqOrder,
}

impl Verifier {
    pub(crate) fn new(path: &Path, ledger: Arc<Ledger>) -> Self {
        Self { path: path.into(), ledger, next_seq: 1, order: SeqOrder::default() }
    }

    /// Reads the records written since the last call.
    pub(crate) fn catch_up(&mut self) {
        for record in Reader::open(&self.path).unwrap().records_from::<TestRecord>(self.next_seq) {
            let Record { seq, value } = record.unwrap();
            assert_eq!(seq, self.next_seq, "a number is missing or repeated");
            self.next_seq += 1;
            self.order.check(&value);
            self.ledger.record_read(value.client_id, value.index, seq);
        }
    }

    /// Discards the per-client order, because the next instance has new clients.
    pub(crate) fn reset_order(&mut self) {
        self.order = SeqOrder::default();
    }
}

/// Checks that the records of each client appear in the order in which the client issued them.
#[derive(Debug, Default)]
struct SeqOrder(HashMap<u64, u64>);

impl SeqOrder {
    fn check(&mut self, record: &TestRecord) {
        record.verify();
        let TestRecord { client_id, index, .. } = *record;
        let before = self.0.insert(client_id, index);
        assert!(before < Some(index), "client {client_id}: record {index} follows {before:?}");
    }
}

/// Scans the newest records repeatedly. Returns the number of records read.
pub(crate) fn scan_records(path: &Path, stop: &AtomicBool, durable: &AtomicU64) -> u64 {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(SCAN_PAUSE);
        let from = durable.load(Ordering::Relaxed).saturating_sub(2000).max(1);
        let (mut order, mut expected) = (SeqOrder::default(), None);
        for record in Reader::open(path).unwrap().records_from::<TestRecord>(from) {
            let Record { seq, value } = record.unwrap();
            assert!(expected.is_none_or(|expected| expected == seq), "read {seq}, expected {expected:?}");
            expected = Some(seq + 1);
            order.check(&value);
            count += 1;
        }
    }
    count
}

/// Streams the active segment, and replays all segments on every 16th scan. Returns the number of records read.
pub(crate) fn stream_records(path: &Path, stop: &AtomicBool) -> u64 {
    let mut count = 0;
    for scan in 0.. {
        if stop.load(Ordering::Relaxed) {
            return count;
        }
        thread::sleep(SCAN_PAUSE);
        let mut order = SeqOrder::default();
        if scan % 16 == 0 {
            let all = block_on(MiniStore::replay::<TestRecord, _>(path)).unwrap();
            count += all.len() as u64;
            all.iter().for_each(|record| order.check(record));
            continue;
        }
        count += block_on(async {
            let mut stream = match MiniStore::stream::<TestRecord>(path).await {
                // `stream` reads only the active segment. During a rotation no file has its name.
                Err(MiniStoreError::Io { source }) if source.kind() == io::ErrorKind::NotFound => return 0,
                stream => stream.unwrap(),
            };
            let mut count = 0;
            while let Some(record) = stream.next().await {
                order.check(&record.unwrap());
                count += 1;
                // One in three streams is dropped early.
                if scan % 3 == 0 && count == 500 {
                    break;
                }
            }
            count
        });
    }
    count
}

/// Samples the statistics of the store and checks that no counter decreases. Returns the number of samples.
pub(crate) fn sample_stats(store: &MiniStore, stop: &AtomicBool, durable: &AtomicU64) -> u64 {
    let mut before = store.stats();
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let now = store.stats();
        assert!(now.durable_seq >= before.durable_seq && now.records >= before.records);
        assert!(
            now.groups >= before.groups && now.bytes >= before.bytes && now.rotations >= before.rotations
        );
        durable.store(now.durable_seq, Ordering::Relaxed);
        before = now;
        count += 1;
        thread::sleep(SCAN_PAUSE);
    }
    count
}

/// This program as a reader in another process.
#[derive(Debug)]
pub(crate) struct ReaderProcess(Child);

impl ReaderProcess {
    pub(crate) fn start(path: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--read").arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Stops the process and returns the number of records it read.
    pub(crate) fn finish(&mut self) -> u64 {
        drop(self.0.stdin.take());
        let mut text = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(self.0.wait().unwrap().success(), "the reading process failed");
        text.trim().parse().unwrap()
    }
}

impl Drop for ReaderProcess {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Reads new records until standard input ends, then prints the number of records read.
pub(crate) fn run_reader_process(path: &Path) {
    let done = Arc::new(AtomicBool::new(false));
    thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let _ = io::stdin().read_to_end(&mut Vec::new());
            done.store(true, Ordering::Relaxed);
        }
    });
    let (mut next_seq, mut count, mut order) = (1, 0_u64, SeqOrder::default());
    while !done.load(Ordering::Relaxed) {
        thread::sleep(SCAN_PAUSE);
        let mut first = true;
        for record in Reader::open(path).unwrap().records_from::<TestRecord>(next_seq) {
            let record = match record {
                // Not created yet.
                Err(MiniStoreError::Io { source })
                    if count == 0 && source.kind() == io::ErrorKind::NotFound =>
                {
                    break;
                }
                record => record.unwrap(),
            };
            // Retention may have deleted the oldest segments since the previous scan, but not within a scan.
            assert!(
                record.seq == next_seq || (first && record.seq > next_seq),
                "read {}, expected {next_seq}",
                record.seq
            );
            first = false;
            next_seq = record.seq + 1;
            order.check(&record.value);
            count += 1;
        }
    }
    println!("{count}");
}
