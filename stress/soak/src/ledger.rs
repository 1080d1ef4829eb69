//! The outcomes that clients received, kept until each record has been read back. The ledger is bounded: clients wait
//! while too many records have not been read back.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};

/// Maximum number of records that are issued but not read back.
const MAX_UNREAD: u64 = 20_000;

/// A record with its client, its index among the records of that client, and a checksum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TestRecord {
    pub(crate) client_id: u64,
    pub(crate) index: u64,
    /// Covers the other fields.
    checksum: u64,
    text: String,
}

impl TestRecord {
    pub(crate) fn new(client_id: u64, index: u64) -> Self {
        let length = (client_id * 7 + index * 31) % if index.is_multiple_of(500) { 20_000 } else { 300 };
        let text: String =
            (0..length).map(|offset| char::from(b'a' + ((offset + index) % 26) as u8)).collect();
        Self { client_id, index, checksum: checksum_of(client_id, index, &text), text }
    }

    pub(crate) fn verify(&self) {
        assert_eq!(
            self.checksum,
            checksum_of(self.client_id, self.index, &self.text),
            "a damaged record was read: {self:?}"
        );
    }
}

fn checksum_of(client_id: u64, index: u64, text: &str) -> u64 {
    let bytes = client_id.to_le_bytes().into_iter().chain(index.to_le_bytes()).chain(text.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The state of a record in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RecordState {
    Issued,
    /// Durable, with its number if the call returned one.
    Acknowledged(Option<u64>),
    /// The client dropped the append: the journal may contain the record or not.
    Abandoned,
    /// The journal must not contain the record.
    Rejected,
    /// Read back with this number before the client received its acknowledgement.
    Read(u64),
}

/// The records of all clients that are not yet resolved.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    clients: Mutex<HashMap<u64, BTreeMap<u64, RecordState>>>,
    read_back: Condvar,
    /// The number of records issued and not read back.
    unread: Mutex<u64>,
    next_client: AtomicU64,
    verified: AtomicU64,
    abandoned: AtomicU64,
}

impl Ledger {
    /// Returns a new client ID.
    pub(crate) fn register_client(&self) -> u64 {
        self.next_client.fetch_add(1, Ordering::Relaxed)
    }

    /// Registers a record before the client submits it. Waits while too many records are unread.
    pub(crate) fn issue(&self, client_id: u64, index: u64) {
        {
            let unread = self.unread.lock().unwrap();
            *self.read_back.wait_while(unread, |unread| *unread >= MAX_UNREAD).unwrap() += 1;
        }
        let before =
            self.clients.lock().unwrap().entry(client_id).or_default().insert(index, RecordState::Issued);
        assert!(before.is_none(), "client {client_id} issued record {index} twice");
    }

    /// Registers an acknowledgement, with the number if the call returned one.
    pub(crate) fn acknowledge(&self, client_id: u64, index: u64, seq: Option<u64>) {
        self.set_outcome(client_id, index, RecordState::Acknowledged(seq));
    }

    /// Registers that the store rejected the record.
    pub(crate) fn reject(&self, client_id: u64, index: u64) {
        self.set_outcome(client_id, index, RecordState::Rejected);
    }

    /// Registers that the client dropped the append.
    pub(crate) fn abandon(&self, client_id: u64, index: u64) {
        self.set_outcome(client_id, index, RecordState::Abandoned);
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    fn set_outcome(&self, client_id: u64, index: u64, state: RecordState) {
        let mut clients = self.clients.lock().unwrap();
        let records = clients.get_mut(&client_id).unwrap();
        match (records.insert(index, state), state) {
            (Some(RecordState::Issued), RecordState::Acknowledged(_)) => return,
            (Some(RecordState::Issued), _) => {
                // The record may never be read back, so it no longer counts as unread.
                drop(clients);
                return self.subtract_unread(1);
            }
            (Some(RecordState::Read(found)), RecordState::Acknowledged(acked)) => {
                assert!(
                    acked.is_none_or(|acked| acked == found),
                    "record {index} of client {client_id} was acknowledged as {acked:?}, found as {found}"
                );
            }
            (Some(RecordState::Read(_)), RecordState::Abandoned) => {}
            (before, _) => panic!("record {index} of client {client_id} was {before:?} and is {state:?}"),
        }
        records.remove(&index);
    }

    /// Registers that the verifier has read a record back. Called once per record.
    pub(crate) fn record_read(&self, client_id: u64, index: u64, seq: u64) {
        let mut clients = self.clients.lock().unwrap();
        let records = clients.get_mut(&client_id).unwrap();
        let found = records.get(&index).copied();
        match found {
            Some(RecordState::Acknowledged(acked)) => {
                assert!(
                    acked.is_none_or(|acked| acked == seq),
                    "record {index} of client {client_id} was acknowledged as {acked:?}, found as {seq}"
                );
                records.remove(&index);
            }
            Some(RecordState::Issued) => {
                records.insert(index, RecordState::Read(seq));
            }
            Some(RecordState::Abandoned) => {
                records.remove(&index);
            }
            state => panic!("record {index} of client {client_id} was read as {seq}, and is {state:?}"),
        }
        // The records of one client are in order, so earlier abandoned ones that were not read do not exist.
        while let Some((&before, &state)) = records.range(..index).next() {
            match state {
                RecordState::Abandoned => drop(records.remove(&before)),
                RecordState::Issued | RecordState::Read(_) => break,
                RecordState::Acknowledged(_) | RecordState::Rejected => {
                    panic!("client {client_id}: record {index} precedes {before}: {state:?}")
                }
            }
        }
        drop(clients);
        self.verified.fetch_add(1, Ordering::Relaxed);
        if found != Some(RecordState::Abandoned) {
            self.subtract_unread(1);
        }
    }

    /// Checks that no acknowledged record is missing. Called after the store is closed and all records are read back.
    pub(crate) fn assert_resolved(&self) {
        for (client_id, records) in self.clients.lock().unwrap().drain() {
            for (index, state) in records {
                assert!(
                    matches!(state, RecordState::Abandoned | RecordState::Rejected),
                    "record {index} of client {client_id} is missing: {state:?}"
                );
            }
        }
        assert_eq!(*self.unread.lock().unwrap(), 0, "the ledger counts unread records");
    }

    fn subtract_unread(&self, count: u64) {
        *self.unread.lock().unwrap() -= count;
        self.read_back.notify_all();
    }

    /// Returns the number of appends that clients dropped.
    pub(crate) fn abandoned(&self) -> u64 {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Returns the number of records read back without an error.
    pub(crate) fn verified(&self) -> u64 {
        self.verified.load(Ordering::Relaxed)
    }
}
