//! The sizes in which journals are read.

#![allow(unreachable_pub, missing_docs, reason = "only the module `internals` exports it")]

/// The sizes in which a journal is read, each in bytes. A file system gives them to its files when it opens them.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimits {
    /// The first read of a scan: enough for a header or a small journal.
    pub first_read_bytes: usize,
    /// A later read.
    pub read_bytes: usize,
    /// The lines of a larger group, or of a larger plain segment, are not kept in memory during verification.
    pub buffered_group_bytes: usize,
    /// The size at which a block of records is full.
    pub block_bytes: usize,
    /// The bytes that a follower verifies at once, where groups arrive one by one.
    pub follow_bytes_min: u64,
    /// The bytes that a follower verifies at once, where there is a backlog.
    pub follow_bytes_max: u64,
    /// The minimum distance between two index points.
    pub index_distance_bytes: u64,
}

impl ReadLimits {
    pub const LARGE: Self = Self {
        first_read_bytes: 4 << 10,
        read_bytes: 256 << 10,
        buffered_group_bytes: 8 << 20,
        block_bytes: 256 << 10,
        follow_bytes_min: 64 << 10,
        follow_bytes_max: 1 << 20,
        index_distance_bytes: 32 << 10,
    };

    /// With these a small journal has lines across read boundaries, groups that are too large, and many blocks.
    pub const SMALL: Self = Self {
        first_read_bytes: 512,
        read_bytes: 512,
        buffered_group_bytes: 16 << 10,
        block_bytes: 4 << 10,
        follow_bytes_min: 512,
        follow_bytes_max: 16 << 10,
        index_distance_bytes: 200,
    };
}

/// The limits of real files: large, and small in unit tests, models and fuzz targets.
impl Default for ReadLimits {
    fn default() -> Self {
        if cfg!(any(test, shuttle, fuzzing)) { Self::SMALL } else { Self::LARGE }
    }
}
