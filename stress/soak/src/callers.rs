//! Every kind of caller, each with its own numbers in the ledger, until the store refuses or it is time to stop.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use futures_lite::future::poll_once;
use ministore_uring::{MiniStore, MiniStoreError, PendingAppend, Result};

use crate::ledger::{Event, Ledger};

/// Handed over and not awaited, by one caller.
const IN_FLIGHT_MAX: usize = 3000;

/// One caller of a store.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    store: MiniStore,
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
    given_up: Arc<AtomicU64>,
    who: u64,
    next: u64,
}

impl Caller {
    pub(crate) fn new(
        store: &MiniStore,
        ledger: &Arc<Ledger>,
        stop: &Arc<AtomicBool>,
        given_up: &Arc<AtomicU64>,
    ) -> Self {
        let (store, ledger) = (store.clone(), Arc::clone(ledger));
        let who = ledger.newcomer();
        Self { store, ledger, stop: Arc::clone(stop), given_up: Arc::clone(given_up), who, next: 0 }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn issue(&mut self) -> Event {
        let event = Event::new(self.who, self.next);
        self.ledger.issue(self.who, self.next);
        self.next += 1;
        event
    }

    fn issue_batch(&mut self, count: u64) -> Vec<Event> {
        (0..count).map(|_| self.issue()).collect()
    }

    /// Writes an outcome down; `false` where the store is closed.
    fn note<T>(&self, nth: u64, outcome: Result<T>, seq: impl FnOnce(T) -> Option<u64>) -> bool {
        match outcome {
            Ok(told) => self.ledger.acknowledged(self.who, nth, seq(told)),
            Err(MiniStoreError::Closed) => {
                self.ledger.refused(self.who, nth);
                return false;
            }
            Err(error) => panic!("{}'s {nth}: {error}", self.who),
        }
        true
    }

    fn note_batch(&self, events: &[Event], outcome: Result<std::ops::Range<u64>>) -> bool {
        match outcome {
            Ok(range) => events.iter().zip(range).all(|(event, seq)| self.note(event.nth, Ok(seq), Some)),
            Err(error) => {
                assert!(matches!(error, MiniStoreError::Closed), "{error}");
                events.iter().for_each(|event| self.ledger.refused(self.who, event.nth));
                false
            }
        }
    }

    /// Waits for each append.
    pub(crate) async fn appends(mut self) {
        while !self.stopped() {
            let event = self.issue();
            let outcome = self.store.append(&event).await;
            if !self.note(event.nth, outcome, |()| None) {
                return;
            }
        }
    }

    /// Lines that are JSON already, and batches of several sizes.
    pub(crate) async fn batches(mut self) {
        for turn in 0_u64.. {
            if self.stopped() {
                return;
            }
            let event = self.issue();
            let line = Bytes::from(serde_json::to_vec(&event).unwrap());
            let outcome = self.store.append_json(line).await;
            if !self.note(event.nth, outcome, Some) {
                return;
            }
            let events = self.issue_batch(turn * 37 % 101);
            let outcome = self.store.append_batch(&events).await;
            if !self.note_batch(&events, outcome) {
                return;
            }
        }
    }

    /// Thousands in flight; every hundredth outcome is not waited for.
    pub(crate) async fn submits(mut self) {
        let mut pending = VecDeque::new();
        while !self.stopped() {
            let event = self.issue();
            match self.store.submit(&event).await {
                Ok(accepted) => pending.push_back((event.nth, accepted)),
                refused => {
                    self.note(event.nth, refused, |_| None);
                    break;
                }
            }
            if pending.len() >= IN_FLIGHT_MAX {
                for (nth, accepted) in pending.drain(..IN_FLIGHT_MAX / 2) {
                    self.finish(nth, accepted).await;
                }
            }
        }
        for (nth, accepted) in pending {
            self.finish(nth, accepted).await;
        }
    }

    async fn finish(&self, nth: u64, accepted: PendingAppend) {
        if nth.is_multiple_of(100) {
            drop(accepted);
            self.ledger.forgotten(self.who, nth);
            self.given_up.fetch_add(1, Ordering::Relaxed);
        } else {
            self.note(nth, accepted.await, |receipt| Some(receipt.seq));
        }
    }

    /// Drops appends after a poll or two, unless they are done by then.
    pub(crate) async fn gives_up(mut self) {
        while !self.stopped() {
            if self.next.is_multiple_of(8) {
                // Now and then it waits, or it would keep its thread busy with what nobody reads.
                let event = self.issue();
                let outcome = self.store.append(&event).await;
                if !self.note(event.nth, outcome, |()| None) {
                    return;
                }
            }
            let event = self.issue();
            let told = polled(self.store.append(&event), 1 + event.nth % 2).await;
            match told {
                Some(outcome) => {
                    if !self.note(event.nth, outcome, |()| None) {
                        return;
                    }
                }
                None => {
                    self.ledger.forgotten(self.who, event.nth);
                    self.given_up.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Keeps futures that were polled once, and does not poll them while it awaits another append: then it awaits half of
    /// them and drops the rest.
    pub(crate) async fn parks(mut self) {
        while !self.stopped() {
            let store = self.store.clone();
            let (mut parked, mut is_open) = (Vec::new(), true);
            for _ in 0..3 {
                let event = self.issue();
                let mut future = Box::pin(store.append(&event));
                match poll_once(&mut future).await {
                    None => parked.push((event.nth, future)),
                    Some(outcome) => is_open &= self.note(event.nth, outcome, |()| None),
                }
            }
            let event = self.issue();
            let outcome = store.append(&event).await;
            is_open &= self.note(event.nth, outcome, |()| None);
            for (nth, future) in parked {
                if nth.is_multiple_of(2) {
                    is_open &= self.note(nth, future.await, |()| None);
                } else {
                    drop(future);
                    self.ledger.forgotten(self.who, nth);
                    self.given_up.fetch_add(1, Ordering::Relaxed);
                }
            }
            if !is_open {
                return;
            }
        }
    }

    /// On a thread without a runtime: each kind of blocking call in turn.
    pub(crate) fn blocking(mut self) {
        for turn in 0_u64.. {
            if self.stopped() {
                return;
            }
            let goes_on = match turn % 3 {
                0 => {
                    let event = self.issue();
                    let outcome = self.store.blocking().append(&event);
                    self.note(event.nth, outcome, |()| None)
                }
                1 => {
                    let events = self.issue_batch(turn % 11);
                    let outcome = self.store.blocking().append_batch(&events);
                    self.note_batch(&events, outcome)
                }
                _ => {
                    let event = self.issue();
                    let line = Bytes::from(serde_json::to_vec(&event).unwrap());
                    let outcome = self.store.blocking().append_json(line);
                    self.note(event.nth, outcome, Some)
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Hands over on one thread, waits on another.
    pub(crate) fn waits_elsewhere(mut self) {
        let (sender, accepted) = mpsc::sync_channel::<(u64, PendingAppend)>(500);
        let waiter = thread::spawn({
            let caller = self.clone();
            move || {
                for (nth, pending) in accepted {
                    caller.note(nth, pending.wait(), |receipt| Some(receipt.seq));
                }
            }
        });
        while !self.stopped() {
            let event = self.issue();
            match self.store.blocking().submit(&event) {
                Ok(pending) => sender.send((event.nth, pending)).unwrap(),
                refused => {
                    self.note(event.nth, refused, |_| None);
                    break;
                }
            }
        }
        drop(sender);
        waiter.join().unwrap();
    }

    /// Rotates whatever there is, now and then. How often it did.
    pub(crate) fn rotates(self) -> u64 {
        let mut count = 0;
        while !self.stopped() {
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

/// What a future gives within so many polls. It is dropped after them.
async fn polled<T>(future: impl Future<Output = T>, polls: u64) -> Option<T> {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        if let Some(output) = poll_once(&mut future).await {
            return Some(output);
        }
        futures_lite::future::yield_now().await;
    }
    None
}
