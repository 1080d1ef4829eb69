//! The measured cases: the calls of ministore-uring, the peers, and the limits of the machine.

use serde::{Deserialize, Serialize};

use crate::versions;

/// A row of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BenchCase {
    /// Ours: one task per caller, `append` awaited.
    Append,
    /// Ours: one thread per caller, `blocking().append`.
    AppendBlocking,
    /// Ours: two tasks, thousands of `submit`s in flight.
    Submit,
    /// Ours: batches of about 1 MiB.
    AppendBatch,
    /// Ours: two tasks that append raw JSON.
    AppendJson,
    /// Ours: `append`, with segments of 4 MiB.
    AppendSmallSegments,
    /// Ours: `append`, into one segment that is never rotated.
    AppendOneSegment,
    /// `ministore` in a mutex of tokio.
    Ministore,
    /// `okaywal`, with checkpoints that keep nothing.
    Okaywal,
    /// `wal-db`, `append_and_sync`.
    WalDb,
    /// `walrus-rust`, `FsyncSchedule::SyncEach`.
    WalrusRust,
    /// `raft-engine`, `write(batch, true)`.
    RaftEngine,
    /// `RocksDB`'s log: `put` with synced writes.
    Rocksdb,
    /// `SQLite`: WAL, `synchronous=FULL`, one insert per transaction, one connection in a mutex.
    Sqlite,
    /// The same with one connection per caller.
    SqliteConnections,
    /// The same line sent to a thread and acknowledged, without I/O.
    Echo,
    /// The messages alone: no line is serialized.
    EchoEmpty,
    /// Written in place on the caller's thread: whole blocks, `O_DIRECT` and `O_DSYNC`.
    FloorDirect,
    /// Written in place on the caller's thread: only the line's bytes, then `fdatasync`.
    FloorBuffered,
    /// 1 MiB writes in place, `O_DIRECT` and `O_DSYNC`.
    BulkFloorDirect,
    /// 1 MiB writes in place, each followed by `fdatasync`.
    BulkFloorBuffered,
}

/// The role of a row in comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// This crate.
    Ours,
    /// Another log.
    Peer,
    /// A limit of the machine.
    Limit,
}

/// The numbers of callers that a case is measured with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Each requested number.
    Callers,
    /// One caller only.
    One,
    /// A fixed number of tasks, independent of the number of callers.
    Bulk,
    /// Only the number that a target needs.
    Target,
}

impl BenchCase {
    /// All cases in the order of the tables.
    pub const ALL: [Self; 21] = [
        Self::Append,
        Self::AppendBlocking,
        Self::Submit,
        Self::AppendBatch,
        Self::AppendJson,
        Self::AppendSmallSegments,
        Self::AppendOneSegment,
        Self::Ministore,
        Self::Okaywal,
        Self::WalDb,
        Self::WalrusRust,
        Self::RaftEngine,
        Self::Rocksdb,
        Self::Sqlite,
        Self::SqliteConnections,
        Self::Echo,
        Self::EchoEmpty,
        Self::FloorDirect,
        Self::FloorBuffered,
        Self::BulkFloorDirect,
        Self::BulkFloorBuffered,
    ];

    /// Returns the cases that this program was built with and measures by default.
    pub fn usual() -> Vec<Self> {
        let unusual = |case: &Self| match case {
            Self::Rocksdb => !cfg!(feature = "rocksdb"),
            Self::SqliteConnections => true,
            _ => false,
        };
        Self::ALL.into_iter().filter(|case| !unusual(case)).collect()
    }

    /// Returns the name on the command line and in the JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::AppendBlocking => "append-blocking",
            Self::Submit => "submit",
            Self::AppendBatch => "append-batch",
            Self::AppendJson => "append-json",
            Self::AppendSmallSegments => "append-small-segments",
            Self::AppendOneSegment => "append-one-segment",
            Self::Ministore => "ministore",
            Self::Okaywal => "okaywal",
            Self::WalDb => "wal-db",
            Self::WalrusRust => "walrus-rust",
            Self::RaftEngine => "raft-engine",
            Self::Rocksdb => "rocksdb",
            Self::Sqlite => "sqlite",
            Self::SqliteConnections => "sqlite-connections",
            Self::Echo => "echo",
            Self::EchoEmpty => "echo-empty",
            Self::FloorDirect => "floor-direct",
            Self::FloorBuffered => "floor-buffered",
            Self::BulkFloorDirect => "bulk-floor-direct",
            Self::BulkFloorBuffered => "bulk-floor-buffered",
        }
    }

    /// Returns the name in tables and charts.
    pub fn label(self) -> &'static str {
        match self {
            Self::Append => "ours: append",
            Self::AppendBlocking => "ours: blocking append",
            Self::Submit => "ours: submit, 2 tasks",
            Self::AppendBatch => "ours: append_batch, 1 MiB each",
            Self::AppendJson => "ours: append_json, 2 tasks",
            Self::AppendSmallSegments => "ours: append, 4 MiB segments",
            Self::AppendOneSegment => "ours: append, one segment",
            Self::Sqlite => "SQLite",
            Self::SqliteConnections => "SQLite, a connection a caller",
            Self::Rocksdb => "RocksDB",
            Self::Echo => "limit: echo",
            Self::EchoEmpty => "limit: echo of nothing",
            Self::FloorDirect => "limit: floor, direct",
            Self::FloorBuffered => "limit: floor, buffered",
            Self::BulkFloorDirect => "limit: 1 MiB writes, direct",
            Self::BulkFloorBuffered => "limit: 1 MiB writes, buffered",
            other => other.name(),
        }
    }

    /// Returns the case with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|case| case.name() == name)
    }

    /// Returns its role in comparisons.
    pub fn role(self) -> Role {
        match self {
            Self::Append
            | Self::AppendBlocking
            | Self::Submit
            | Self::AppendBatch
            | Self::AppendJson
            | Self::AppendSmallSegments
            | Self::AppendOneSegment => Role::Ours,
            Self::Ministore
            | Self::Okaywal
            | Self::WalDb
            | Self::WalrusRust
            | Self::RaftEngine
            | Self::Rocksdb
            | Self::Sqlite
            | Self::SqliteConnections => Role::Peer,
            _ => Role::Limit,
        }
    }

    /// Returns the numbers of callers that it is measured with.
    pub fn shape(self) -> Shape {
        match self {
            Self::Submit
            | Self::AppendBatch
            | Self::AppendJson
            | Self::BulkFloorDirect
            | Self::BulkFloorBuffered => Shape::Bulk,
            Self::AppendSmallSegments | Self::AppendOneSegment => Shape::Target,
            Self::FloorDirect | Self::FloorBuffered => Shape::One,
            _ => Shape::Callers,
        }
    }

    /// Returns the name and the version in the lock file; `None` for code of this package.
    pub fn version(self) -> Option<String> {
        let package = |name: &str| format!("{name} {}", versions::of(name));
        match (self.role(), self) {
            (Role::Ours, _) => Some(package("ministore-uring")),
            (Role::Limit, _) => None,
            (Role::Peer, Self::Sqlite | Self::SqliteConnections) => {
                Some(format!("SQLite {} ({})", rusqlite::version(), package("rusqlite")))
            }
            (Role::Peer, Self::Rocksdb) => {
                Some(format!("RocksDB ({}, {})", package("rocksdb"), package("librocksdb-sys")))
            }
            (Role::Peer, other) => Some(package(other.name())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BenchCase, Role};

    #[test]
    fn case_has_unique_name_and_log_has_version() {
        for case in BenchCase::ALL {
            assert_eq!(BenchCase::from_name(case.name()), Some(case));
            match case.version() {
                Some(version) => assert!(
                    !version.contains('?') && version.contains(|c: char| c.is_ascii_digit()),
                    "{version}"
                ),
                None => assert_eq!(case.role(), Role::Limit),
            }
        }
    }
}
