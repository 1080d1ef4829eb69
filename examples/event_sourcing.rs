//! Event sourcing with snapshots: accounts whose state is what their events add up to. `cargo run --example event_sourcing`.
//!
//! A command is checked against the state, and becomes an event; the event is made durable, then applied. The state is
//! rebuilt from the newest snapshot and the events behind it. A snapshot says which event it stands for: both are in one
//! file, which is replaced atomically. Only once it is durable are the events before it released.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use ministore_uring::{JournalOptions, MiniStore, Reader};
use serde::{Deserialize, Serialize};

type Error = Box<dyn std::error::Error>;

/// A snapshot after so many events.
const SNAPSHOT_EVERY: u64 = 500;

/// What happened. Past tense: it is not refused any more.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Event {
    Opened { account: String },
    Deposited { account: String, cents: u64 },
    Withdrawn { account: String, cents: u64 },
}

/// What the events up to a number add up to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Accounts {
    /// The number of the last event in it; 0 for none.
    seq: u64,
    cents: BTreeMap<String, u64>,
}

impl Accounts {
    /// Never fails, and depends on nothing but the event: it is done again whenever the state is rebuilt.
    fn apply(&mut self, seq: u64, event: &Event) {
        assert_eq!(seq, self.seq + 1, "an event is missing");
        match event {
            Event::Opened { account } => {
                self.cents.insert(account.clone(), 0);
            }
            Event::Deposited { account, cents } => *self.cents.entry(account.clone()).or_default() += cents,
            Event::Withdrawn { account, cents } => *self.cents.entry(account.clone()).or_default() -= cents,
        }
        self.seq = seq;
    }

    fn balance(&self, account: &str) -> Result<u64, Error> {
        self.cents.get(account).copied().ok_or_else(|| format!("there is no account {account}").into())
    }
}

/// The accounts, their events and their snapshot.
struct Bank {
    accounts: Accounts,
    store: MiniStore,
    snapshot: PathBuf,
    /// The event that the newest snapshot stands for.
    snapshot_seq: u64,
    /// Events that were read when the state was rebuilt.
    replayed: u64,
}

impl Bank {
    /// Rebuilds the state: the newest snapshot, and every event behind it.
    fn open(dir: &Path) -> Result<Self, Error> {
        let (journal, snapshot) = (dir.join("events.jsonl"), dir.join("accounts.json"));
        // Opened first: nobody else writes from here on, and what a crash left unfinished is mended.
        let store = JournalOptions::new().max_segment_bytes(16 << 10).open_blocking(&journal)?;
        let mut accounts: Accounts = match fs::read(&snapshot) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Accounts::default(),
            Err(error) => return Err(error.into()),
        };
        let snapshot_seq = accounts.seq;
        for event in Reader::open(&journal)?.records_from::<Event>(snapshot_seq + 1) {
            let event = event?;
            accounts.apply(event.seq, &event.value);
        }
        let replayed = accounts.seq - snapshot_seq;
        Ok(Self { accounts, store, snapshot, snapshot_seq, replayed })
    }

    fn open_account(&mut self, account: &str) -> Result<(), Error> {
        if self.accounts.balance(account).is_ok() {
            return Err(format!("there is an account {account} already").into());
        }
        self.record(Event::Opened { account: account.into() })
    }

    fn deposit(&mut self, account: &str, cents: u64) -> Result<(), Error> {
        self.accounts.balance(account)?;
        self.record(Event::Deposited { account: account.into(), cents })
    }

    fn withdraw(&mut self, account: &str, cents: u64) -> Result<(), Error> {
        let balance = self.accounts.balance(account)?;
        if cents > balance {
            return Err(format!("{account} has {balance} cents, not {cents}").into());
        }
        self.record(Event::Withdrawn { account: account.into(), cents })
    }

    /// First the journal, then the state: what can be seen is durable.
    fn record(&mut self, event: Event) -> Result<(), Error> {
        let seq = self.store.blocking().submit(&event)?.wait()?.seq;
        self.accounts.apply(seq, &event);
        if seq - self.snapshot_seq >= SNAPSHOT_EVERY {
            self.take_snapshot()?;
        }
        Ok(())
    }

    /// A crash at any point leaves the old snapshot with all events behind it, or the new one with at least those.
    fn take_snapshot(&mut self) -> Result<(), Error> {
        let bytes = serde_json::to_vec(&self.accounts)?;
        replace(&self.snapshot, &bytes)?;
        self.snapshot_seq = self.accounts.seq;
        self.store.blocking().trim_before(self.snapshot_seq + 1)?;
        Ok(())
    }
}

/// Replaces a file so that, whatever happens, the old bytes or the new ones are found, whole.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    // The name, too.
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn main() -> Result<(), Error> {
    let dir = tempfile::tempdir_in(".")?;
    let mut seen = Accounts::default();
    for life in 0..4 {
        let mut bank = Bank::open(dir.path())?;
        assert_eq!(bank.accounts, seen, "the state is what it was");
        assert!(bank.replayed < SNAPSHOT_EVERY, "only what is behind the snapshot is read");
        println!(
            "life {life}: {} events, {} of them read; the oldest still there is number {}",
            bank.accounts.seq,
            bank.replayed,
            bank.store.first_seq()
        );
        live(&mut bank, life)?;
        seen = bank.accounts.clone();
        // The first lives end without a goodbye: the store closes when its last handle is dropped.
        if life == 3 {
            assert!(bank.store.first_seq() > 1, "old events were released");
            bank.store.blocking().close()?;
        }
    }
    Ok(())
}

/// Some business.
fn live(bank: &mut Bank, life: u64) -> Result<(), Error> {
    let name = format!("account-{life}");
    bank.open_account(&name)?;
    for n in 0..300 {
        bank.deposit(&name, 100 + n)?;
        bank.withdraw(&name, 50 + n)?;
    }
    let before = bank.accounts.clone();
    let refused = bank.withdraw(&name, 1_000_000);
    assert!(refused.is_err_and(|error| error.to_string().contains("has 15000 cents")));
    assert_eq!(bank.accounts, before, "a command that is refused leaves no event");
    Ok(())
}
