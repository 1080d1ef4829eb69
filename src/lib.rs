//! A write-ahead log for Linux. An append returns once its record is durable; concurrent appends share one io_uring
//! write and sync; the files are plain, checksummed JSON Lines.
//!
//! ```
//! use ministore_uring::{JournalOptions, Reader};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! enum Mutation {
//!     Set { value: i64 },
//!     Inc { by: i64 },
//! }
//!
//! # fn main() -> ministore_uring::Result<()> {
//! # pollster::block_on(async {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("counter.jsonl");
//! let store = JournalOptions::new().open(&path).await?;
//! store.append(&Mutation::Set { value: 100 }).await?;
//! store.append(&Mutation::Inc { by: 25 }).await?; // durable when it returns
//! store.close().await?;
//!
//! let mutations: Vec<Mutation> = Reader::open(&path)?.replay_parallel().await?;
//! assert_eq!(mutations, [Mutation::Set { value: 100 }, Mutation::Inc { by: 25 }]);
//! # Ok(()) })
//! # }
//! ```
//!
//! # Appending
//!
#![doc = include_str!("../docs/images/data-path.svg")]
//!
//! A [`MiniStore`] is a handle: clone it and append from any number of tasks and threads. Appends that are pending at
//! the same time are committed together, with one write and one sync; that is where the rate comes from. A single task
//! [`submit`](MiniStore::submit)s many records before it awaits any:
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
//! for append in pending {
//!     append.await?; // its receipt, once it is durable
//! }
//! assert_eq!(store.durable_seq(), 1000);
//! store.close().await?;
//! # Ok(()) })
//! # }
//! ```
//!
//! The futures need no particular runtime: tokio, smol, or a `block_on`. Programs without a runtime use
//! [`blocking`](MiniStore::blocking).
//!
//! An [`Append`] is an append with options: [`expect_seq`](Append::expect_seq) appends only if the record gets an
//! expected sequence number, [`on_commit`](Append::on_commit) calls back on the writer thread.
//! [`send`](MiniStore::send) waits for capacity in the queue, [`try_send`](MiniStore::try_send) never waits. The
//! [`Receipt`] has the sequence numbers, the position and the latency.
//!
//! # Reading
//!
//! [`Reader::open`] reads a journal by its path, in any process, open for writing or not: all
//! [`records`](Reader::records), single ones ([`get`](Reader::get)) and ranges ([`range`](Reader::range)) by sequence
//! number, without reading the journal from its start, and [`follow`](Reader::follow), which also returns each new
//! record once it is durable. These methods block; the forms that return a stream do not. The store has
//! [`get`](MiniStore::get), [`range`](MiniStore::range) and [`follow`](MiniStore::follow) for async code.
//!
//! # Retention
//!
//! [`JournalOptions`] keeps every record unless a limit is set: by [number of segments](JournalOptions::max_segments),
//! [bytes](JournalOptions::max_total_bytes) or [age](JournalOptions::max_age). A program that takes snapshots calls
//! [`trim_before`](MiniStore::trim_before). A [`hold`](MiniStore::hold) keeps the records that a consumer still needs,
//! durably.
//!
//! # In place of `ministore` 0.1.7
//!
//! ```toml
//! [dependencies]
//! ministore = { package = "ministore-uring", version = "0.1" }
//! ```
//!
//! Programs compile unchanged, and their journals are read and continued. [`MiniStore::open`] and [`MiniStoreOptions`]
//! keep the default of **deleting all but 3 segments**.
//!
//! # Guarantees
//!
//! | | |
//! | --- | --- |
//! | durable | `Ok` from an append means that its line is on stable storage: data, file size, and every directory entry needed to find it |
//! | atomic | a record, and a [batch](MiniStore::append_batch), is replayed whole or not at all, after any crash |
//! | ordered | replay order = sequence order = the order in which one caller's appends were issued |
//! | numbered | every record has a sequence number, from 1, that never changes, even when older segments are deleted |
//! | checked | any changed, missing, repeated or reordered byte of acknowledged data is detected and never returned as data (a file alone cannot show that its newest groups were removed whole) |
//! | readable | while open, after recovery and when closed, the journal is JSON Lines that `jq` (from line 2), `grep` and `ministore` 0.1.7 read. **After a power cut, until the journal is opened once** (or `ministore repair NAME` has run), these can stop early or meet a torn line at the end of the active segment; this crate's readers return exactly the acknowledged records |
//! | bounded | memory does not grow with load: callers wait; opening does not slow down with the journal's age |
//! | exclusive | one writer per journal, enforced across processes; readers take no lock; files of others are never touched |
//! | honest in failure | after a failed sync nothing more is acknowledged; a full disk rejects the appends that do not fit, loses nothing acknowledged, and the store works again once space is freed; a temporary shortage is reported and retried |
//!
//! [`checksums(false)`](JournalOptions::checksums) gives up *atomic* for batches, *numbered* across deletions, and
//! *checked*.
//!
//! Assumptions about the disk: a completed `fdatasync` (on ext4, xfs and btrfs also an `O_DSYNC` write) survives a
//! power failure; a sector of 512 bytes is written whole or not at all; a rename within a directory is atomic, and
//! durable once the directory is synced. Nothing is assumed about the order in which unsynced sectors, sizes and names
//! become durable.
//!
//! # Errors
//!
//! There is one error type, [`MiniStoreError`], with the path and the offset. [`kind`](MiniStoreError::kind) says what
//! a caller can do, and [`write_outcome`](MiniStoreError::write_outcome) whether the record was written.
//!
//! # Features
//!
//! None is on by default.
//!
//! | | |
//! | --- | --- |
//! | `hlog` | interval logs for the tools of HdrHistogram: `stats::HlogWriter` |
//! | `metrics` | reports the figures of [`stats`](MiniStore::stats) to the `metrics` facade |
//! | `testkit` | a simulated disk, `testkit::SimDisk`, on which a program can cut the power at every operation and test its own recovery |
//!
//! # More
//!
//! The module [`docs`], which exists in this documentation only, has the reference: file format, recovery, options and
//! limits, side files, metrics, log events, platform, glossary. The program `ministore` is the package `ministore-cli`.

#[cfg(not(target_os = "linux"))]
compile_error!("ministore-uring runs on Linux only: linux-only.md in its repository says why");

// An example that is also compiled as a test refers to the crate by its name.
#[cfg(test)]
extern crate self as ministore_uring;

mod api;
mod background;
mod caller_code;
mod commit;
mod error;
mod format;
#[cfg(any(test, feature = "unstable-internals"))]
#[doc(hidden)]
pub mod internals;
mod io;
mod journal;
pub mod maintenance;
#[cfg(shuttle)]
#[path = "../stress/concurrency/src/models/mod.rs"]
pub mod models;
mod options;
mod read;
mod recovery;
mod serialize;
mod spin;
pub mod stats;
mod sync;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;

pub use api::{Append, BlockingStore, JsonBatch, MiniStore, PendingAppend, Receipt};
pub use error::{ErrorKind, MiniStoreError, Result, WriteOutcome};
pub use io::{BackendKind, SyncKind};
pub use options::{Backend, Header, JournalOptions, MiniStoreOptions, RecoveryPolicy, SyncMode};
pub use read::{
    FollowStream, Follower, JournalStream, RawFollower, RawRecord, RawRecords, Reader, Record, RecordRange,
    RecordStream, Records, StopHandle,
};
pub use recovery::{OpenReport, TruncatedTail};
pub use stats::Stats;

/// The reference, as in `docs/reference` of the package. This module exists in the documentation only.
#[cfg(any(doc, doctest))]
pub mod docs {
    // The pages link to each other with reference definitions at their ends. The first of two definitions wins: here
    // the links refer to modules, in the repository to files.

    #[doc = "[accepted]: crate::docs::format#accepted-records\n[glossary]: crate::docs::glossary\n[recovery]: crate::docs::recovery\n[side-files]: crate::docs::side_files\n"]
    #[doc = include_str!("../docs/reference/format.md")]
    pub mod format {}

    #[doc = "[glossary]: crate::docs::glossary\n[ownership]: crate::docs::format#which-files-belong-to-a-journal\n"]
    #[doc = include_str!("../docs/reference/recovery.md")]
    pub mod recovery {}

    #[doc = "[json-header]: crate::docs::format#json-header\n"]
    #[doc = include_str!("../docs/reference/options.md")]
    pub mod options {}

    #[doc = "[holds]: crate::docs::format#holds\n[ownership]: crate::docs::format#which-files-belong-to-a-journal\n"]
    #[doc = include_str!("../docs/reference/side-files.md")]
    pub mod side_files {}

    #[doc = "[events]: crate::docs::events\n"]
    #[doc = include_str!("../docs/reference/metrics.md")]
    pub mod metrics {}

    #[doc = include_str!("../docs/reference/events.md")]
    pub mod events {}

    #[doc = include_str!("../linux-only.md")]
    pub mod platform {}

    #[doc = "[json-header]: crate::docs::format#json-header\n[recovery]: crate::docs::recovery\n[side-files]: crate::docs::side_files\n"]
    #[doc = include_str!("../docs/reference/glossary.md")]
    pub mod glossary {}
}

/// Runs the examples of these pages as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/tutorial/README.md")]
#[doc = include_str!("../docs/how-to/back-up.md")]
#[doc = include_str!("../docs/how-to/embed.md")]
#[doc = include_str!("../docs/how-to/erase-personal-data.md")]
#[doc = include_str!("../docs/how-to/follow.md")]
#[doc = include_str!("../docs/how-to/retention.md")]
struct MarkdownDoctests;
