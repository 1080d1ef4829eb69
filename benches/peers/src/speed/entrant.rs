//! Who is measured: ours in its several ways of being called, the peers, and the limits of the machine.

use serde::{Deserialize, Serialize};

use crate::versions;

/// What stands in a row of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entrant {
    /// Ours: one task a caller, `append` awaited.
    Append,
    /// Ours: one thread a caller, `blocking().append`.
    AppendBlocking,
    /// Ours: two tasks, thousands of `submit`s in flight.
    Submit,
    /// Ours: batches of about 1 MiB.
    AppendBatch,
    /// Ours: two tasks, lines that are JSON already.
    AppendJson,
    /// Ours: `append`, with segments of 4 MiB.
    AppendSmallSegments,
    /// Ours: `append`, into one segment that is never rotated.
    AppendOneSegment,
    /// `ministore`, behind a mutex of tokio.
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
    /// `SQLite`: WAL, `synchronous=FULL`, one insert a transaction, one connection behind a mutex.
    Sqlite,
    /// The same with one connection a caller.
    SqliteConnections,
    /// The same hand-over of the same line to a thread and back, with no I/O.
    Echo,
    /// The hand-over alone: no line is made.
    EchoEmpty,
    /// Written in place on the caller's thread: whole blocks, `O_DIRECT` and `O_DSYNC`.
    FloorDirect,
    /// Written in place on the caller's thread: the line's bytes alone, then `fdatasync`.
    FloorBuffered,
    /// 1 MiB writes in place, `O_DIRECT` and `O_DSYNC`.
    BulkFloorDirect,
    /// 1 MiB writes in place, each followed by `fdatasync`.
    BulkFloorBuffered,
}

/// What a row is compared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// This crate.
    Ours,
    /// Another log.
    Peer,
    /// What the machine can do.
    Limit,
}

/// Which numbers of callers it is measured with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// With each number asked for.
    Callers,
    /// With one caller only.
    One,
    /// In a way of its own, whatever the number of callers.
    Bulk,
    /// Only where a target asks for it.
    Target,
}

impl Entrant {
    /// Everybody, in the order of the tables.
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

    /// Everybody this program was built with and measures unless told otherwise.
    #[must_use]
    pub fn usual() -> Vec<Self> {
        let unusual = |entrant: &Self| match entrant {
            Self::Rocksdb => !cfg!(feature = "rocksdb"),
            Self::SqliteConnections => true,
            _ => false,
        };
        Self::ALL.into_iter().filter(|entrant| !unusual(entrant)).collect()
    }

    /// The name on the command line and in the JSON.
    #[must_use]
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

    /// The name in tables and pictures.
    #[must_use]
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

    /// Who is called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|entrant| entrant.name() == name)
    }

    /// What it is compared as.
    #[must_use]
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

    /// Which numbers of callers it is measured with.
    #[must_use]
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

    /// What it is, with the version of the lock file; nothing for what stands in this package.
    #[must_use]
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
    use super::{Entrant, Role};

    #[test]
    fn everybody_is_found_by_name_and_every_log_has_a_version() {
        for entrant in Entrant::ALL {
            assert_eq!(Entrant::named(entrant.name()), Some(entrant));
            match entrant.version() {
                Some(version) => assert!(
                    !version.contains('?') && version.contains(|c: char| c.is_ascii_digit()),
                    "{version}"
                ),
                None => assert_eq!(entrant.role(), Role::Limit),
            }
        }
    }
}
