//! A write-ahead log for Linux that makes every record durable before it says so, and stays readable: one
//! line of JSON a record, group-committed with io_uring.
//!
//! It is a drop-in for the crate `ministore` 0.1.7:
//!
//! ```toml
//! [dependencies]
//! ministore = { package = "ministore-uring", version = "0.1", default-features = false }
//! ```
//!
//! # Append and replay
//!
//! ```
//! use ministore_uring::MiniStore;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! enum Mutation {
//!     Set { value: i64 },
//!     Inc { by: i64 },
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # pollster::block_on(async {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("counter.jsonl");
//! let store = MiniStore::open(&path).await?;
//! store.append(&Mutation::Set { value: 100 }).await?;
//! store.append(&Mutation::Inc { by: 25 }).await?; // durable when it returns
//!
//! let mutations: Vec<Mutation> = MiniStore::replay(&path).await?;
//! assert_eq!(mutations, [Mutation::Set { value: 100 }, Mutation::Inc { by: 25 }]);
//! # Ok(()) })
//! # }
//! ```
//!
//! A store is a handle: clone it, share it, append from any number of tasks and threads at once. What is pending
//! together is committed together, as one write and one sync; that is where the rate comes from. From a single
//! task, [`submit`](MiniStore::submit) many records before awaiting any:
//!
//! ```
//! # use ministore_uring::JournalOptions;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # pollster::block_on(async {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("journal.jsonl");
//! let store = JournalOptions::new().open(&path).await?;
//! let mut pending = Vec::new();
//! for number in 0..1000 {
//!     pending.push(store.submit(&number).await?);
//! }
//! for record in pending {
//!     record.await?; // its sequence number, once it is durable
//! }
//! assert_eq!(store.durable_seq(), 1000);
//! store.close().await?;
//! # Ok(()) })
//! # }
//! ```
//!
//! The futures need no particular runtime: tokio, smol, or a `block_on`. Programs without one use
//! [`blocking`](MiniStore::blocking).
//!
//! On other terms: [`append_if`](MiniStore::append_if) writes a record only if nobody was first,
//! [`try_submit`](MiniStore::try_submit) never waits, an [`Entry`] gives a [`Receipt`], and
//! [`submit_then`](MiniStore::submit_then) calls back on the writer thread.
//!
//! # Read, look up, follow
//!
//! [`replay`](MiniStore::replay) gives all records at once, [`records_from`](MiniStore::records_from) one after the
//! other with their sequence numbers. [`get`](MiniStore::get) and [`range`](MiniStore::range) find records by number,
//! without reading the journal from its start; [`reader`](MiniStore::reader) does so without a store.
//! [`follow`](MiniStore::follow) gives the records from a number on, then each that comes, once it is durable;
//! [`follow_journal`](MiniStore::follow_journal) does so in any other process.
//!
//! # Keep and delete
//!
//! [`JournalOptions`] keeps everything unless it is told to delete by [count](JournalOptions::max_segments),
//! [bytes](JournalOptions::max_total_bytes) or [age](JournalOptions::max_age); [`MiniStore::open`] deletes as the
//! original does. A program that takes snapshots calls [`release_before`](MiniStore::release_before). What a consumer
//! still needs a [`hold`](MiniStore::hold) keeps, durably.
//!
//! # Seen from outside
//!
//! [`stats`](MiniStore::stats) tells how long each stage of a commit took. `docs/observing.md` of the repository has the
//! histograms, the metrics and the `tracing` events.
//!
//! # Features
//!
//! | | |
//! | --- | --- |
//! | `cli` (default) | the program `ministore`; a library leaves it out |
//! | `hlog` | interval logs for HdrHistogram's tools: `stats::HlogWriter` |
//! | `metrics` | what is counted also goes to the `metrics` facade |
//! | `testkit` | a simulated disk, see below |
//!
//! # Guarantees
//!
//! | | |
//! | --- | --- |
//! | durable | `Ok` from an append means that its line is on stable storage: data, file size, and every directory entry needed to find it |
//! | atomic | a record, and a [batch](MiniStore::append_batch), is replayed whole or not at all, after any crash |
//! | ordered | replay order is sequence order is the order in which one caller's appends were issued |
//! | numbered | every record has a sequence number, from 1, that never changes, not even when older segments are deleted |
//! | checked | any changed, missing, repeated or reordered byte of what was acknowledged is detected and never returned as data; the one thing a file cannot tell by itself is that its newest groups are gone whole |
//! | readable | live, crashed or closed, the journal is JSON Lines that `jq`, `grep` and `ministore` 0.1.7 read |
//! | bounded | memory does not grow with load: callers wait; open does not slow down with the journal's age |
//! | exclusive | one writer a journal, enforced across processes; readers are free |
//! | honest | after a failed sync nothing more is acknowledged; a full disk fails the appends that did not fit, loses nothing acknowledged, and the store works again once there is room |
//!
//! [`seals(false)`](JournalOptions::seals) gives up *atomic* for batches, *numbered* across deletions, and *checked*.
//!
//! # What is assumed of the disk
//!
//! A completed `fdatasync` (on ext4, xfs and btrfs also an `O_DSYNC` write) survives a power cut; a sector of 512 bytes is written whole or not at
//! all; a rename within a directory is atomic, and durable once the directory is synced. Nothing is assumed about the
//! order in which unsynced sectors, sizes and names become durable. What was done to show it is in `docs/reliability.md` of
//! the repository.
//!
//! # Crash-testing a program
//!
//! With the feature `testkit` there is a simulated disk, `testkit::SimDisk`, on which a program built on this crate can
//! have the power cut at every operation, and see whether its own recovery holds.
//!
//! # Errors
//!
//! There is one error type, [`MiniStoreError`]; it tells what became of the record. The file format is described in
//! `docs/format.md` of the repository, the inner design in `docs/design.md`.

#[cfg(not(target_os = "linux"))]
compile_error!("ministore-uring runs on Linux only: linux-only.md in its repository says why");

// An example that is a test, too, names the crate.
#[cfg(test)]
extern crate self as ministore_uring;

#[cfg(feature = "_bench")]
#[doc(hidden)]
pub mod bench;
mod blocking;
mod device;
mod encode;
mod entry;
mod error;
mod format;
#[cfg(any(test, feature = "_fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod lock;
pub mod maintenance;
#[cfg(shuttle)]
#[path = "../torture/models/src/models/mod.rs"]
pub mod models;
mod names;
mod options;
mod ownership;
mod planted;
mod process;
mod progress;
mod queue;
mod reader;
mod recovery;
mod request;
mod retention;
mod scan;
mod shared;
pub mod stats;
mod store;
mod sync;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
mod validate;
mod writer;

pub use blocking::Blocking;
pub use device::{BackendKind, SyncKind};
pub use entry::{Entry, JsonBatch, PendingReceipt, Receipt};
pub use error::{MiniStoreError, RecordFate, Result};
pub use options::{Backend, JournalOptions, MiniStoreOptions, RecoveryPolicy, SyncMode};
pub use reader::{
    Follow, FollowLines, JournalStream, Line, Lines, Reader, Record, RecordStream, Records, Stopper,
};
pub use recovery::{CutTail, OpenReport};
pub use request::Pending;
pub use stats::Stats;
pub use store::MiniStore;

/// The examples of the documents are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../linux-only.md")]
#[doc = include_str!("../docs/format.md")]
#[doc = include_str!("../docs/observing.md")]
struct Documents;
