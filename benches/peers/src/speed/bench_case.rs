//! The measured cases: the calls of ministore-uring, the peers, and the limits of the machine.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::versions;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum BenchCase {
    /// Ours: one task per caller, `append` awaited.
    Append,
    /// Ours: one thread per caller, `blocking().append`.
    AppendBlocking,
    /// Ours: `append`, while other tasks use half of each worker.
    AppendHalfBusy,
    /// Ours: `append` without spinning.
    AppendNoSpin,
    /// Ours: `append` without spinning, while other tasks use half of each worker.
    AppendHalfBusyNoSpin,
    /// Ours: two tasks, thousands of `submit`s in flight.
    Submit,
    /// Ours: batches of about 1 MiB.
    AppendBatch,
    /// Ours: two tasks that append raw JSON.
    AppendJson,
    AppendSmallSegments,
    /// Ours: `append`, into one segment that is neither preallocated nor rotated.
    AppendOneSegment,
    Ministore,
    /// `okaywal`, with checkpoints that keep nothing.
    Okaywal,
    /// `wal-db`, `append_and_sync`.
    WalDb,
    /// `walrus-rust`, `FsyncSchedule::SyncEach`.
    WalrusRust,
    /// `raft-engine`, `write(batch, true)`.
    RaftEngine,
    /// `raft-log`, whose flush calls back.
    RaftLog,
    /// `RocksDB`'s log: `put` with synced writes.
    Rocksdb,
    /// `SQLite`: WAL, `synchronous=FULL`, one insert per transaction, one connection in a mutex.
    Sqlite,
    /// The same with one connection per caller.
    SqliteConnections,
    /// The same line written to a buffered file that is synced once a second.
    WrittenOnly,
    /// The same line sent to a thread and acknowledged, without I/O.
    Echo,
    /// Written in place on the caller's thread: whole blocks, `O_DIRECT` and `O_DSYNC`.
    FloorDirect,
    /// Written in place on the caller's thread: only the line's bytes, then `fdatasync`.
    FloorBuffered,
    /// 1 MiB writes in place, `O_DIRECT` and `O_DSYNC`.
    BulkFloorDirect,
    /// 1 MiB writes in place, each followed by `fdatasync`.
    BulkFloorBuffered,
    /// The writes of `submit`, appended to a fresh file, with as many busy threads.
    GrowingSubmit,
    /// The writes of `append_batch`, appended to a fresh file, with as many busy threads.
    GrowingBatch,
    /// The writes of `append_json`, appended to a fresh file, with as many busy threads.
    GrowingJson,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Ours,
    Peer,
    /// Acknowledges what is not on the disk: the price of durability.
    NotDurable,
    Limit,
}

/// The numbers of callers that a case is measured with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Callers,
    One,
    /// A fixed number of tasks, independent of the number of callers.
    Bulk,
    /// Only the number that a target needs.
    Target,
}

impl BenchCase {
    /// Returns the cases that this program was built with and measures by default.
    pub fn usual() -> Vec<Self> {
        let unusual = |case: &Self| match case {
            Self::Rocksdb => !cfg!(feature = "rocksdb"),
            Self::SqliteConnections => true,
            _ => false,
        };
        Self::value_variants().iter().copied().filter(|case| !unusual(case)).collect()
    }

    /// Returns the label in tables and charts, the role in comparisons, and the numbers of callers that the case is
    /// measured with.
    fn properties(self) -> (&'static str, Role, Shape) {
        match self {
            Self::Append => ("ours: append", Role::Ours, Shape::Callers),
            Self::AppendBlocking => ("ours: blocking append", Role::Ours, Shape::Callers),
            Self::AppendHalfBusy => ("ours: append, half-busy workers", Role::Ours, Shape::One),
            Self::AppendNoSpin => ("ours: append, no spinning", Role::Ours, Shape::One),
            Self::AppendHalfBusyNoSpin => {
                ("ours: append, half-busy workers, no spinning", Role::Ours, Shape::One)
            }
            Self::Submit => ("ours: submit, 2 tasks", Role::Ours, Shape::Bulk),
            Self::AppendBatch => ("ours: append_batch, 1 MiB each", Role::Ours, Shape::Bulk),
            Self::AppendJson => ("ours: append_json, 2 tasks", Role::Ours, Shape::Bulk),
            Self::AppendSmallSegments => ("ours: append, 4 MiB segments", Role::Ours, Shape::Target),
            Self::AppendOneSegment => {
                ("ours: append, one segment, not preallocated", Role::Ours, Shape::Target)
            }
            Self::Ministore => ("ministore", Role::Peer, Shape::Callers),
            Self::Okaywal => ("okaywal", Role::Peer, Shape::Callers),
            Self::WalDb => ("wal-db", Role::Peer, Shape::Callers),
            Self::WalrusRust => ("walrus-rust", Role::Peer, Shape::Callers),
            Self::RaftEngine => ("raft-engine", Role::Peer, Shape::Callers),
            Self::RaftLog => ("raft-log", Role::Peer, Shape::Callers),
            Self::Rocksdb => ("RocksDB", Role::Peer, Shape::Callers),
            Self::Sqlite => ("SQLite", Role::Peer, Shape::Callers),
            Self::SqliteConnections => ("SQLite, a connection a caller", Role::Peer, Shape::Callers),
            Self::WrittenOnly => {
                ("not durable: written, synced once a second", Role::NotDurable, Shape::Callers)
            }
            Self::Echo => ("limit: echo", Role::Limit, Shape::Callers),
            Self::FloorDirect => ("limit: floor, direct", Role::Limit, Shape::One),
            Self::FloorBuffered => ("limit: floor, buffered", Role::Limit, Shape::One),
            Self::BulkFloorDirect => ("limit: 1 MiB writes, direct", Role::Limit, Shape::Bulk),
            Self::BulkFloorBuffered => ("limit: 1 MiB writes, buffered", Role::Limit, Shape::Bulk),
            Self::GrowingSubmit => ("limit: growing file, submit's writes", Role::Limit, Shape::Bulk),
            Self::GrowingBatch => ("limit: growing file, append_batch's writes", Role::Limit, Shape::Bulk),
            Self::GrowingJson => ("limit: growing file, append_json's writes", Role::Limit, Shape::Bulk),
        }
    }

    /// Returns the limit that makes the same writes to a growing file.
    pub fn growing_floor(self) -> Option<Self> {
        match self {
            Self::Submit => Some(Self::GrowingSubmit),
            Self::AppendBatch => Some(Self::GrowingBatch),
            Self::AppendJson => Some(Self::GrowingJson),
            _ => None,
        }
    }

    /// Returns whether the rate of a peer grows with the number of its callers. The others serve one at a time and are
    /// never the best with more than one.
    pub fn is_grouping_peer(self) -> bool {
        let one_at_a_time = [Self::Ministore, Self::WalrusRust, Self::Sqlite, Self::SqliteConnections];
        self.role() == Role::Peer && !one_at_a_time.contains(&self)
    }

    /// Returns the name on the command line and in the JSON.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    pub fn label(self) -> &'static str {
        self.properties().0
    }

    pub fn role(self) -> Role {
        self.properties().1
    }

    pub fn shape(self) -> Shape {
        self.properties().2
    }

    /// Returns the name and the version in the lock file; `None` for code of this package.
    pub fn version(self) -> Option<String> {
        let package = |name: &str| format!("{name} {}", versions::of(name));
        match (self.role(), self) {
            (Role::Ours, _) => Some(package("ministore-uring")),
            (Role::Limit | Role::NotDurable, _) => None,
            (Role::Peer, Self::Sqlite | Self::SqliteConnections) => {
                Some(format!("SQLite {} ({})", rusqlite::version(), package("rusqlite")))
            }
            (Role::Peer, Self::Rocksdb) => {
                Some(format!("RocksDB ({}, {})", package("rocksdb"), package("librocksdb-sys")))
            }
            (Role::Peer, other) => Some(package(&other.name())),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::{BenchCase, Role};

    #[test]
    fn each_log_has_a_version() {
        for case in BenchCase::value_variants() {
            match case.version() {
                Some(version) => assert!(
                    !version.contains('?') && version.contains(|c: char| c.is_ascii_digit()),
                    "{version}"
                ),
                None => assert!(matches!(case.role(), Role::Limit | Role::NotDurable)),
            }
        }
    }
}
