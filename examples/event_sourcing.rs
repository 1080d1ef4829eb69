//! Event sourcing with snapshots: accounts whose state is the sum of their events.
//! `cargo run --example event_sourcing`
//!
//! A command is checked against the state and becomes an event. The event is made durable, then applied. The state is
//! rebuilt from the newest snapshot and the events after it. A snapshot contains the number of its last event, in the
//! same file, which is replaced atomically. The events before a snapshot are trimmed only after it is durable.

#![expect(clippy::print_stdout, reason = "an example prints its results")]

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use ministore_uring::{JournalOptions, MiniStore, Reader};
use serde::{Deserialize, Serialize};

type BankError = Box<dyn std::error::Error>;

/// Events between two snapshots.
const SNAPSHOT_EVERY: u64 = 500;

/// An event, named in the past tense because it can no longer be rejected.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum AccountEvent {
    Opened { account: String },
    Deposited { account: String, cents: u64 },
    Withdrawn { account: String, cents: u64 },
}

/// The state after the events up to `seq`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Accounts {
    /// The number of the last applied event; 0 for none.
    seq: u64,
    cents: BTreeMap<String, u64>,
}

impl Accounts {
    /// Applies an event. This cannot fail and depends only on the state and the event, because every rebuild repeats
    /// it.
    fn apply(&mut self, seq: u64, event: &AccountEvent) {
        assert_eq!(seq, self.seq + 1, "an event is missing");
        match event {
            AccountEvent::Opened { account } => {
                self.cents.insert(account.clone(), 0);
            }
            AccountEvent::Deposited { account, cents } => {
                *self.cents.entry(account.clone()).or_default() += cents
            }
            AccountEvent::Withdrawn { account, cents } => {
                *self.cents.entry(account.clone()).or_default() -= cents
            }
        }
        self.seq = seq;
    }

    fn balance(&self, account: &str) -> Result<u64, BankError> {
        self.cents.get(account).copied().ok_or_else(|| format!("account {account} does not exist").into())
    }
}

/// The accounts, their events and their snapshot.
struct Bank {
    accounts: Accounts,
    store: MiniStore,
    snapshot: PathBuf,
    /// The number of the last event in the newest snapshot.
    snapshot_seq: u64,
    /// The number of events read to rebuild the state.
    replayed: u64,
}

impl Bank {
    /// Rebuilds the state from the newest snapshot and the events after it.
    fn open(dir: &Path) -> Result<Self, BankError> {
        let (journal, snapshot) = (dir.join("events.jsonl"), dir.join("accounts.json"));
        // Open the store first: it locks the journal against other writers and recovers it after a crash.
        let store = JournalOptions::new().max_segment_bytes(16 << 10).open_blocking(&journal)?;
        let mut accounts: Accounts = match fs::read(&snapshot) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Accounts::default(),
            Err(error) => return Err(error.into()),
        };
        let snapshot_seq = accounts.seq;
        for event in Reader::open(&journal)?.records_from::<AccountEvent>(snapshot_seq + 1) {
            let event = event?;
            accounts.apply(event.seq, &event.value);
        }
        let replayed = accounts.seq - snapshot_seq;
        Ok(Self { accounts, store, snapshot, snapshot_seq, replayed })
    }

    fn open_account(&mut self, account: &str) -> Result<(), BankError> {
        if self.accounts.balance(account).is_ok() {
            return Err(format!("account {account} exists already").into());
        }
        self.record(AccountEvent::Opened { account: account.into() })
    }

    fn deposit(&mut self, account: &str, cents: u64) -> Result<(), BankError> {
        self.accounts.balance(account)?;
        self.record(AccountEvent::Deposited { account: account.into(), cents })
    }

    fn withdraw(&mut self, account: &str, cents: u64) -> Result<(), BankError> {
        let balance = self.accounts.balance(account)?;
        if cents > balance {
            return Err(format!("{account} has {balance} cents, not {cents}").into());
        }
        self.record(AccountEvent::Withdrawn { account: account.into(), cents })
    }

    /// Appends the event, then applies it, so that the visible state is durable.
    fn record(&mut self, event: AccountEvent) -> Result<(), BankError> {
        let seq = self.store.blocking().submit(&event)?.wait()?.seq;
        self.accounts.apply(seq, &event);
        if seq - self.snapshot_seq >= SNAPSHOT_EVERY {
            self.take_snapshot()?;
        }
        Ok(())
    }

    /// Writes a snapshot and trims the events before it. A crash at any point leaves the old or the new snapshot, and
    /// all events after it.
    fn take_snapshot(&mut self) -> Result<(), BankError> {
        let bytes = serde_json::to_vec(&self.accounts)?;
        replace(&self.snapshot, &bytes)?;
        self.snapshot_seq = self.accounts.seq;
        self.store.blocking().trim_before(self.snapshot_seq + 1)?;
        Ok(())
    }
}

/// Replaces a file atomically: after a crash it contains the old bytes or the new ones.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    // Make the new directory entry durable, too.
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn main() -> Result<(), BankError> {
    let dir = tempfile::tempdir_in(".")?;
    let mut expected = Accounts::default();
    for run in 0..4 {
        let mut bank = Bank::open(dir.path())?;
        assert_eq!(bank.accounts, expected, "a restart keeps the state");
        assert!(bank.replayed < SNAPSHOT_EVERY, "only events after the snapshot are read");
        println!(
            "run {run}: {} events, {} of them read; the oldest stored event is number {}",
            bank.accounts.seq,
            bank.replayed,
            bank.store.first_seq()
        );
        make_transactions(&mut bank, run)?;
        expected = bank.accounts.clone();
        // The first runs do not call `close`: the store closes when its last handle is dropped.
        if run == 3 {
            assert!(bank.store.first_seq() > 1, "old events were trimmed");
            bank.store.blocking().close()?;
        }
    }
    Ok(())
}

/// Opens an account and makes some transactions on it.
fn make_transactions(bank: &mut Bank, run: u64) -> Result<(), BankError> {
    let name = format!("account-{run}");
    bank.open_account(&name)?;
    for n in 0..300 {
        bank.deposit(&name, 100 + n)?;
        bank.withdraw(&name, 50 + n)?;
    }
    let before = bank.accounts.clone();
    let result = bank.withdraw(&name, 1_000_000);
    assert!(result.is_err_and(|error| error.to_string().contains("has 15000 cents")));
    assert_eq!(bank.accounts, before, "a rejected command appends no event");
    Ok(())
}
