//! What callers were told, until the record was read back. Bounded: callers wait while too much was not read back.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};

/// Records that may be issued and not read back yet.
const AHEAD_MAX: u64 = 20_000;

/// A record: who wrote it, and the how-manieth of that caller's it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) who: u64,
    pub(crate) nth: u64,
    /// Of the other two and the text.
    check: u64,
    text: String,
}

impl Event {
    pub(crate) fn new(who: u64, nth: u64) -> Self {
        let length = (who * 7 + nth * 31) % if nth.is_multiple_of(500) { 20_000 } else { 300 };
        let text: String = (0..length).map(|index| char::from(b'a' + ((index + nth) % 26) as u8)).collect();
        Self { who, nth, check: check_of(who, nth, &text), text }
    }

    pub(crate) fn verify(&self) {
        assert_eq!(
            self.check,
            check_of(self.who, self.nth, &self.text),
            "a damaged record was read: {self:?}"
        );
    }
}

fn check_of(who: u64, nth: u64, text: &str) -> u64 {
    let bytes = who.to_le_bytes().into_iter().chain(nth.to_le_bytes()).chain(text.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What is known of a record that was issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Issued,
    /// With its number, where the caller was told one.
    Acknowledged(Option<u64>),
    /// Nobody waits for it: it may be there or not.
    Forgotten,
    /// It must not be there.
    Refused,
    /// It was read back before its caller was told.
    Read(u64),
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    callers: Mutex<HashMap<u64, BTreeMap<u64, Fate>>>,
    read_back: Condvar,
    ahead: Mutex<u64>,
    next_caller: AtomicU64,
    verified: AtomicU64,
}

impl Ledger {
    /// A caller that was never there before.
    pub(crate) fn newcomer(&self) -> u64 {
        self.next_caller.fetch_add(1, Ordering::Relaxed)
    }

    /// Before a record is handed over. Waits while the readers are far behind.
    pub(crate) fn issue(&self, who: u64, nth: u64) {
        {
            let ahead = self.ahead.lock().unwrap();
            *self.read_back.wait_while(ahead, |ahead| *ahead >= AHEAD_MAX).unwrap() += 1;
        }
        let before = self.callers.lock().unwrap().entry(who).or_default().insert(nth, Fate::Issued);
        assert!(before.is_none(), "{who} issued {nth} twice");
    }

    /// `seq` where the caller was told the number.
    pub(crate) fn acknowledged(&self, who: u64, nth: u64, seq: Option<u64>) {
        self.settle(who, nth, Fate::Acknowledged(seq));
    }

    pub(crate) fn refused(&self, who: u64, nth: u64) {
        self.settle(who, nth, Fate::Refused);
    }

    pub(crate) fn forgotten(&self, who: u64, nth: u64) {
        self.settle(who, nth, Fate::Forgotten);
    }

    fn settle(&self, who: u64, nth: u64, fate: Fate) {
        let mut callers = self.callers.lock().unwrap();
        let records = callers.get_mut(&who).unwrap();
        match (records.insert(nth, fate), fate) {
            (Some(Fate::Issued), Fate::Acknowledged(_)) => return,
            (Some(Fate::Issued), _) => {
                // Nobody is going to wait until it is read back.
                drop(callers);
                return self.give_back(1);
            }
            (Some(Fate::Read(found)), Fate::Acknowledged(told)) => {
                assert!(
                    told.is_none_or(|told| told == found),
                    "{who}'s {nth} was told {told:?}, found as {found}"
                );
            }
            (Some(Fate::Read(_)), Fate::Forgotten) => {}
            (before, _) => panic!("{who}'s {nth} was {before:?} and is {fate:?}"),
        }
        records.remove(&nth);
    }

    /// A record was read back, for the first and only time.
    pub(crate) fn read(&self, who: u64, nth: u64, seq: u64) {
        let mut callers = self.callers.lock().unwrap();
        let records = callers.get_mut(&who).unwrap();
        let found = records.get(&nth).copied();
        match found {
            Some(Fate::Acknowledged(told)) => {
                assert!(
                    told.is_none_or(|told| told == seq),
                    "{who}'s {nth} was told {told:?}, found as {seq}"
                );
                records.remove(&nth);
            }
            Some(Fate::Issued) => {
                records.insert(nth, Fate::Read(seq));
            }
            Some(Fate::Forgotten) => {
                records.remove(&nth);
            }
            fate => panic!("{who}'s {nth} was read as {seq}, and is {fate:?}"),
        }
        // One caller's records come in order: what nobody waited for before this one was not written.
        while let Some((&before, &fate)) = records.range(..nth).next() {
            match fate {
                Fate::Forgotten => drop(records.remove(&before)),
                Fate::Issued | Fate::Read(_) => break,
                Fate::Acknowledged(_) | Fate::Refused => {
                    panic!("{who}'s {nth} came before {before}: {fate:?}")
                }
            }
        }
        drop(callers);
        self.verified.fetch_add(1, Ordering::Relaxed);
        if found != Some(Fate::Forgotten) {
            self.give_back(1);
        }
    }

    /// The store is closed and everything in it was read back: nothing that was acknowledged may be left.
    pub(crate) fn settle_all(&self) {
        for (who, records) in self.callers.lock().unwrap().drain() {
            for (nth, fate) in records {
                assert!(
                    matches!(fate, Fate::Forgotten | Fate::Refused),
                    "{who}'s {nth} is missing: {fate:?}"
                );
            }
        }
        assert_eq!(*self.ahead.lock().unwrap(), 0, "the ledger lost count");
    }

    fn give_back(&self, count: u64) {
        *self.ahead.lock().unwrap() -= count;
        self.read_back.notify_all();
    }

    /// Records read back and found right.
    pub(crate) fn verified(&self) -> u64 {
        self.verified.load(Ordering::Relaxed)
    }
}
