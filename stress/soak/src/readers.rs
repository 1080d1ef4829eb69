//! Everything that reads: the one who reads each record once and compares it with the ledger, and those who read
//! whatever is there, in this process and in another.

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

use crate::ledger::{Event, Ledger};

/// Between two passes: readers are not to leave writers without a processor.
const BREATH: Duration = Duration::from_millis(10);

/// Reads every record once, right behind the writer.
#[derive(Debug)]
pub(crate) struct Verifier {
    path: PathBuf,
    ledger: Arc<Ledger>,
    pub(crate) next_seq: u64,
    order: Order,
}

impl Verifier {
    pub(crate) fn new(path: &Path, ledger: Arc<Ledger>) -> Self {
        Self { path: path.into(), ledger, next_seq: 1, order: Order::default() }
    }

    /// Reads what is there by now.
    pub(crate) fn catch_up(&mut self) {
        for record in Reader::open(&self.path).unwrap().records_from::<Event>(self.next_seq) {
            let Record { seq, value } = record.unwrap();
            assert_eq!(seq, self.next_seq, "a number is missing or repeated");
            self.next_seq += 1;
            self.order.check(&value);
            self.ledger.read(value.who, value.nth, seq);
        }
    }

    /// The callers of this generation will not come again.
    pub(crate) fn forget_callers(&mut self) {
        self.order = Order::default();
    }
}

/// Each caller's records come in the order in which they were issued.
#[derive(Debug, Default)]
struct Order(HashMap<u64, u64>);

impl Order {
    fn check(&mut self, event: &Event) {
        event.verify();
        let before = self.0.insert(event.who, event.nth);
        assert!(before < Some(event.nth), "{}'s {} came after {before:?}", event.who, event.nth);
    }
}

/// Reads all segments from somewhere on, again and again. How many records.
pub(crate) fn records(path: &Path, stop: &AtomicBool, durable: &AtomicU64) -> u64 {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(BREATH);
        let from = durable.load(Ordering::Relaxed).saturating_sub(2000).max(1);
        let (mut order, mut expected) = (Order::default(), None);
        for record in Reader::open(path).unwrap().records_from::<Event>(from) {
            let Record { seq, value } = record.unwrap();
            assert!(expected.is_none_or(|expected| expected == seq), "{seq} came, not {expected:?}");
            expected = Some(seq + 1);
            order.check(&value);
            count += 1;
        }
    }
    count
}

/// Streams the active segment, and now and then collects all of them. How many records.
pub(crate) fn streams(path: &Path, stop: &AtomicBool) -> u64 {
    let mut count = 0;
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            return count;
        }
        thread::sleep(BREATH);
        let mut order = Order::default();
        if turn % 16 == 0 {
            let all = block_on(MiniStore::replay::<Event, _>(path)).unwrap();
            count += all.len() as u64;
            all.iter().for_each(|event| order.check(event));
            continue;
        }
        count += block_on(async {
            let mut stream = match MiniStore::stream::<Event>(path).await {
                // One file only: in the midst of a rotation nothing has the active name.
                Err(MiniStoreError::Io { source }) if source.kind() == io::ErrorKind::NotFound => return 0,
                stream => stream.unwrap(),
            };
            let mut count = 0;
            while let Some(event) = stream.next().await {
                order.check(&event.unwrap());
                count += 1;
                // One in three streams is given up on.
                if turn % 3 == 0 && count == 500 {
                    break;
                }
            }
            count
        });
    }
    count
}

/// Readings of the store's figures never go back. How many readings.
pub(crate) fn stats(store: &MiniStore, stop: &AtomicBool, durable: &AtomicU64) -> u64 {
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
        thread::sleep(BREATH);
    }
    count
}

/// The same program, reading as another process.
#[derive(Debug)]
pub(crate) struct OtherProcess(Child);

impl OtherProcess {
    pub(crate) fn start(path: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--read").arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Stops it; how many records it read.
    pub(crate) fn finish(&mut self) -> u64 {
        drop(self.0.stdin.take());
        let mut text = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(self.0.wait().unwrap().success(), "the reading process failed");
        text.trim().parse().unwrap()
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Follows the journal until standard input ends; then says how many records it read.
pub(crate) fn process(path: &Path) {
    let done = Arc::new(AtomicBool::new(false));
    thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let _ = io::stdin().read_to_end(&mut Vec::new());
            done.store(true, Ordering::Relaxed);
        }
    });
    let (mut next_seq, mut count, mut order) = (1, 0_u64, Order::default());
    while !done.load(Ordering::Relaxed) {
        thread::sleep(BREATH);
        let mut first = true;
        for record in Reader::open(path).unwrap().records_from::<Event>(next_seq) {
            let record = match record {
                // Not created yet.
                Err(MiniStoreError::Io { source })
                    if count == 0 && source.kind() == io::ErrorKind::NotFound =>
                {
                    break;
                }
                record => record.unwrap(),
            };
            // The oldest segments may have gone since the last pass, and only since then.
            assert!(
                record.seq == next_seq || (first && record.seq > next_seq),
                "{} came, not {next_seq}",
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
