//! Random sequences of operations: every lookup returns the record that a scan of the whole journal finds.

use proptest::{collection::vec, prelude::*};

use super::NAME;
use crate::{JournalOptions, MiniStore, MiniStoreError, Reader, Record, Result, testkit::SimDisk};

/// An operation on a journal.
#[derive(Debug, Clone)]
enum JournalOperation {
    Append(usize),
    Batch(Vec<usize>),
    Rotate,
    Reopen,
    /// Loses what recovery truncates.
    Crash,
    /// Sequence numbers to get, in thousandths of the number of records that were ever written.
    Get(Vec<u64>),
    Range(u64, u64),
}

fn operation() -> impl Strategy<Value = JournalOperation> {
    let length = || prop_oneof![8 => 0_usize..80, 1 => 600_usize..1500, 1 => Just(20_000_usize)];
    let position = 0_u64..1100;
    prop_oneof![
        6 => length().prop_map(JournalOperation::Append),
        4 => vec(length(), 1..12).prop_map(JournalOperation::Batch),
        2 => Just(JournalOperation::Rotate),
        1 => Just(JournalOperation::Reopen),
        1 => Just(JournalOperation::Crash),
        4 => vec(position.clone(), 1..6).prop_map(JournalOperation::Get),
        3 => (position.clone(), position).prop_map(|(a, b)| JournalOperation::Range(a, b)),
    ]
}

fn options() -> impl Strategy<Value = JournalOptions> {
    let limits =
        (prop_oneof![Just(700), Just(4000), Just(1 << 20)], prop_oneof![Just(2), Just(4), Just(usize::MAX)]);
    (limits, any::<bool>(), 0..5).prop_map(|((bytes, segments), preallocate, plain)| {
        // Without checksums, each deletion changes the sequence numbers of the remaining records.
        let segments = if plain == 0 { usize::MAX } else { segments };
        JournalOptions::new()
            .max_segment_bytes(bytes)
            .max_segments(segments)
            .preallocate(preallocate)
            .checksums(plain > 0)
    })
}

/// A journal on a simulated disk, with readers that stay open across all operations except crashes.
struct LookupFixture {
    disk: SimDisk,
    options: JournalOptions,
    store: MiniStore,
    reader: Reader,
    written: u64,
}

impl LookupFixture {
    fn new(options: JournalOptions) -> Self {
        let disk = SimDisk::new(1);
        let store = disk.open_blocking(options.clone(), NAME).unwrap();
        let reader = disk.reader(NAME);
        Self { disk, options, store, reader, written: 0 }
    }

    /// Returns the next record. It contains its sequence number, so that a wrong record is noticed.
    fn text(&mut self, length: usize) -> String {
        self.written += 1;
        format!("{}:{}", self.written, "x".repeat(length))
    }

    fn apply(&mut self, operation: &JournalOperation) {
        match operation {
            &JournalOperation::Append(length) => {
                let text = self.text(length);
                self.store.blocking().append(&text).unwrap();
            }
            JournalOperation::Batch(lengths) => {
                let texts: Vec<_> = lengths.iter().map(|&length| self.text(length)).collect();
                self.store.blocking().append_batch(texts).unwrap();
            }
            JournalOperation::Rotate => self.store.blocking().rotate().unwrap(),
            JournalOperation::Reopen => {
                self.store.blocking().close().unwrap();
                self.store = self.disk.open_blocking(self.options.clone(), NAME).unwrap();
            }
            JournalOperation::Crash => {
                self.disk.restart();
                self.store = self.disk.open_blocking(self.options.clone(), NAME).unwrap();
                // The crash ended the process, so the index is lost.
                self.reader = self.disk.reader(NAME);
            }
            JournalOperation::Get(positions) => {
                let seqs: Vec<_> = positions.iter().map(|&position| self.written * position / 1000).collect();
                self.get(&seqs);
            }
            &JournalOperation::Range(a, b) => self.range(self.written * a / 1000, self.written * b / 1000),
        }
    }

    /// Returns the records that a scan finds, and the result of `read`. Retention may delete a segment at any time, so
    /// both are repeated until the scans before and after the read agree.
    fn with_scan<T>(&self, read: impl Fn() -> T) -> (Vec<Record<String>>, T) {
        let scan = || self.disk.reader(NAME).records().collect::<Result<Vec<Record<String>>>>();
        loop {
            let (before, read) = (scan(), read());
            match (before, scan()) {
                (Ok(before), Ok(after)) if before == after => return (after, read),
                (Err(error @ MiniStoreError::Corrupt { .. }), _) => panic!("{error}"),
                _ => {}
            }
        }
    }

    fn get(&self, seqs: &[u64]) {
        assert_eq!(self.reader.last_seq().unwrap(), self.store.durable_seq());
        let (all, found) = self.with_scan(|| {
            let get = |&seq| {
                let of_store = self.store.blocking().get::<String>(seq);
                (seq, [self.reader.get(seq), of_store, pollster::block_on(self.store.get(seq))])
            };
            seqs.iter().map(get).collect::<Vec<_>>()
        });
        let first = all.first().map_or(self.store.durable_seq() + 1, |record| record.seq);
        for (seq, found) in found {
            let expected = all.iter().find(|record| record.seq == seq);
            for (method, found) in found.into_iter().enumerate() {
                match found {
                    Ok(found) => assert_eq!(found.as_ref(), expected, "record {seq}, method {method}"),
                    Err(MiniStoreError::Trimmed { first_seq, .. }) => {
                        assert!(0 < seq && seq < first && first_seq == first, "record {seq} of {first}..");
                    }
                    Err(error) => panic!("record {seq}, method {method}: {error}"),
                }
            }
        }
    }

    fn range(&self, from: u64, to: u64) {
        type RangeResult = Result<Vec<Record<String>>>;
        let (all, found) = self.with_scan(|| -> [RangeResult; 3] {
            let of_store = self.store.blocking().range(from..to);
            [self.reader.range(from..to).collect(), of_store.collect(), self.reader.range(..to).collect()]
        });
        for (method, found) in found.into_iter().enumerate() {
            let wanted = if method == 2 { 0..to } else { from..to };
            let expected: Vec<_> = all.iter().filter(|record| wanted.contains(&record.seq)).collect();
            match found {
                Ok(found) => {
                    assert!(found.iter().eq(expected.iter().copied()), "{from}..{to}, method {method}")
                }
                Err(MiniStoreError::Trimmed { first_seq, .. }) => {
                    let first = all.first().map_or(self.store.durable_seq() + 1, |record| record.seq);
                    assert!(
                        method < 2 && from < to && from < first && first_seq == first,
                        "{from}..{to}, {first}"
                    );
                }
                Err(error) => panic!("{from}..{to}, method {method}: {error}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lookups_match_a_full_scan(options in options(), operations in vec(operation(), 1..50)) {
        let mut fixture = LookupFixture::new(options);
        for operation in &operations {
            fixture.apply(operation);
        }
        fixture.get(&Vec::from_iter(0..=fixture.written + 1));
    }
}
