//! Clients that use the store in different ways until it is closed or the run stops. The ledger identifies each client.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use futures_lite::future::poll_once;
use ministore_uring::{MiniStore, MiniStoreError, PendingAppend, Result};

use crate::ledger::{Ledger, TestRecord};

/// Maximum number of submitted appends that one client has not awaited.
const MAX_IN_FLIGHT: usize = 3000;

/// One client of a store.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    store: MiniStore,
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
    client_id: u64,
    next: u64,
}

impl Client {
    pub(crate) fn new(store: &MiniStore, ledger: &Arc<Ledger>, stop: &Arc<AtomicBool>) -> Self {
        let (store, ledger) = (store.clone(), Arc::clone(ledger));
        let client_id = ledger.register_client();
        Self { store, ledger, stop: Arc::clone(stop), client_id, next: 0 }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn issue(&mut self) -> TestRecord {
        let record = TestRecord::new(self.client_id, self.next);
        self.ledger.issue(self.client_id, self.next);
        self.next += 1;
        record
    }

    fn issue_batch(&mut self, count: u64) -> Vec<TestRecord> {
        (0..count).map(|_| self.issue()).collect()
    }

    /// Enters the outcome into the ledger. Returns `false` if the store is closed.
    fn record_outcome<T>(&self, index: u64, outcome: Result<T>, seq: impl FnOnce(T) -> Option<u64>) -> bool {
        match outcome {
            Ok(value) => self.ledger.acknowledge(self.client_id, index, seq(value)),
            Err(MiniStoreError::Closed) => {
                self.ledger.reject(self.client_id, index);
                return false;
            }
            Err(error) => panic!("record {index} of client {}: {error}", self.client_id),
        }
        true
    }

    fn record_batch_outcome(&self, records: &[TestRecord], outcome: Result<std::ops::Range<u64>>) -> bool {
        match outcome {
            Ok(range) => records
                .iter()
                .zip(range)
                .all(|(record, seq)| self.record_outcome(record.index, Ok(seq), Some)),
            Err(error) => {
                assert!(matches!(error, MiniStoreError::Closed), "{error}");
                records.iter().for_each(|record| self.ledger.reject(self.client_id, record.index));
                false
            }
        }
    }

    /// Appends one record. Returns `false` if the store is closed.
    async fn append_one(&mut self) -> bool {
        let record = self.issue();
        let outcome = self.store.append(&record).await;
        self.record_outcome(record.index, outcome, |()| None)
    }

    /// Awaits each append.
    pub(crate) async fn append_one_by_one(mut self) {
        while !self.is_stopped() && self.append_one().await {}
    }

    /// Appends raw JSON, and batches of several sizes.
    pub(crate) async fn append_json_and_batches(mut self) {
        for round in 0_u64.. {
            if self.is_stopped() {
                return;
            }
            let record = self.issue();
            let line = Bytes::from(serde_json::to_vec(&record).unwrap());
            let outcome = self.store.append_json(line).await;
            if !self.record_outcome(record.index, outcome, Some) {
                return;
            }
            let records = self.issue_batch(round * 37 % 101);
            let outcome = self.store.append_batch(&records).await;
            if !self.record_batch_outcome(&records, outcome) {
                return;
            }
        }
    }

    /// Keeps thousands of appends in flight and drops one percent of them without awaiting the outcome.
    pub(crate) async fn append_pipelined(mut self) {
        let mut pending = VecDeque::new();
        while !self.is_stopped() {
            let record = self.issue();
            match self.store.submit(&record).await {
                Ok(append) => pending.push_back((record.index, append)),
                error => {
                    self.record_outcome(record.index, error, |_| None);
                    break;
                }
            }
            if pending.len() >= MAX_IN_FLIGHT {
                for (index, append) in pending.drain(..MAX_IN_FLIGHT / 2) {
                    self.finish(index, append).await;
                }
            }
        }
        for (index, append) in pending {
            self.finish(index, append).await;
        }
    }

    async fn finish(&self, index: u64, append: PendingAppend) {
        if index.is_multiple_of(100) {
            drop(append);
            self.ledger.abandon(self.client_id, index);
        } else {
            self.record_outcome(index, append.await, |receipt| Some(receipt.seq));
        }
    }

    /// Drops append futures that are not complete after one or two polls.
    pub(crate) async fn cancel_appends(mut self) {
        while !self.is_stopped() {
            // Without an occasional await the client would keep its thread busy with appends that it cancels.
            if self.next.is_multiple_of(8) && !self.append_one().await {
                return;
            }
            let record = self.issue();
            match poll_up_to(self.store.append(&record), 1 + record.index % 2).await {
                None => self.ledger.abandon(self.client_id, record.index),
                Some(outcome) => {
                    if !self.record_outcome(record.index, outcome, |()| None) {
                        return;
                    }
                }
            }
        }
    }

    /// Polls some append futures once and keeps them unpolled while it awaits another append. Then it awaits half of
    /// them and drops the others.
    pub(crate) async fn keep_unpolled(mut self) {
        while !self.is_stopped() {
            let store = self.store.clone();
            let (mut unpolled, mut is_open) = (Vec::new(), true);
            for _ in 0..3 {
                let record = self.issue();
                let mut future = Box::pin(store.append(&record));
                match poll_once(&mut future).await {
                    None => unpolled.push((record.index, future)),
                    Some(outcome) => is_open &= self.record_outcome(record.index, outcome, |()| None),
                }
            }
            is_open &= self.append_one().await;
            for (index, future) in unpolled {
                if index.is_multiple_of(2) {
                    is_open &= self.record_outcome(index, future.await, |()| None);
                } else {
                    drop(future);
                    self.ledger.abandon(self.client_id, index);
                }
            }
            if !is_open {
                return;
            }
        }
    }

    /// Runs on a thread without a runtime and makes each kind of blocking call in turn.
    pub(crate) fn append_blocking(mut self) {
        for round in 0_u64.. {
            if self.is_stopped() {
                return;
            }
            let is_open = match round % 3 {
                0 => {
                    let record = self.issue();
                    let outcome = self.store.blocking().append(&record);
                    self.record_outcome(record.index, outcome, |()| None)
                }
                1 => {
                    let records = self.issue_batch(round % 11);
                    let outcome = self.store.blocking().append_batch(&records);
                    self.record_batch_outcome(&records, outcome)
                }
                _ => {
                    let record = self.issue();
                    let line = Bytes::from(serde_json::to_vec(&record).unwrap());
                    let outcome = self.store.blocking().append_json(line);
                    self.record_outcome(record.index, outcome, Some)
                }
            };
            if !is_open {
                return;
            }
        }
    }

    /// Submits on one thread and waits on another.
    pub(crate) fn wait_on_other_thread(mut self) {
        let (sender, submitted) = mpsc::sync_channel::<(u64, PendingAppend)>(500);
        let waiter = thread::spawn({
            let client = self.clone();
            move || {
                for (index, pending) in submitted {
                    client.record_outcome(index, pending.wait(), |receipt| Some(receipt.seq));
                }
            }
        });
        while !self.is_stopped() {
            let record = self.issue();
            match self.store.blocking().submit(&record) {
                Ok(pending) => sender.send((record.index, pending)).unwrap(),
                error => {
                    self.record_outcome(record.index, error, |_| None);
                    break;
                }
            }
        }
        drop(sender);
        waiter.join().unwrap();
    }

    /// Requests a rotation every 150 ms. Returns the number of rotations.
    pub(crate) fn rotate_repeatedly(self) -> u64 {
        let mut count = 0;
        while !self.is_stopped() {
            match self.store.blocking().rotate() {
                Ok(()) => count += 1,
                Err(MiniStoreError::Closed) => break,
                Err(error) => panic!("{error}"),
            }
            thread::sleep(Duration::from_millis(150));
        }
        count
    }
}

/// Polls a future at most `polls` times, then drops it. Returns its output if it completed.
async fn poll_up_to<T>(future: impl Future<Output = T>, polls: u64) -> Option<T> {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        if let Some(output) = poll_once(&mut future).await {
            return Some(output);
        }
        futures_lite::future::yield_now().await;
    }
    None
}
