//! Owns the check of room: bytes, files, and the largest file that is allowed.

use std::path::Path;

use procfs::process::{LimitValue, Process};
use serde::Serialize;

use super::finding::Finding;
use crate::{machine::FileSystem, units};

/// What the measurements write at most.
pub(super) const MEASURED_BYTES: u64 = 64 << 20;

/// The size at which a segment is rotated unless told otherwise.
pub(super) const SEGMENT_BYTES: u64 = 64 << 20;

/// Fewer segments than this leave a journal little time before its disk is full.
const SEGMENTS_COMFORTABLE: u64 = 16;

/// Files that a journal makes soon: segments, lock, holds.
const FILES_NEEDED: u64 = 64;

/// What is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Room {
    pub(super) free_bytes: u64,
    pub(super) size_bytes: u64,
    /// `None` where the file system makes them as they are needed.
    pub(super) free_files: Option<u64>,
    /// The largest file that this process may write, where there is a limit.
    pub(super) file_bytes_max: Option<u64>,
}

impl Room {
    pub(super) fn of(directory: &Path, file_system: &FileSystem) -> Self {
        let files = rustix::fs::statvfs(directory).ok().filter(|room| room.f_files > 0);
        let limits = Process::myself().ok().and_then(|process| process.limits().ok());
        Self {
            free_bytes: file_system.free_bytes,
            size_bytes: file_system.size_bytes,
            free_files: files.map(|room| room.f_favail),
            file_bytes_max: limits.and_then(|limits| match limits.max_file_size.soft_limit {
                LimitValue::Value(bytes) => Some(bytes),
                LimitValue::Unlimited => None,
            }),
        }
    }

    /// Whether there is room for the measurements.
    pub(super) fn is_enough(&self) -> bool {
        self.free_bytes >= MEASURED_BYTES && self.file_bytes_max.is_none_or(|bytes| bytes >= MEASURED_BYTES)
    }

    /// Bytes that a journal may take and still leave half of what is free.
    pub(super) fn advised_bytes(&self) -> u64 {
        self.free_bytes / 2
    }

    /// A smaller segment, where the usual ones would be few. A power of two.
    pub(super) fn advised_segment_bytes(&self) -> Option<u64> {
        if self.free_bytes / SEGMENT_BYTES >= SEGMENTS_COMFORTABLE {
            return None;
        }
        let share = (self.free_bytes / SEGMENTS_COMFORTABLE).max(1 << 20);
        Some(1 << share.ilog2())
    }
}

pub(super) fn check(room: &Room) -> Vec<Finding> {
    let found = format!("{} free of {}", units::bytes(room.free_bytes), units::bytes(room.size_bytes));
    let full = "a full disk fails the appends that do not fit; nothing acknowledged is lost, and the store works again once there is room";
    let bytes = match room.advised_segment_bytes() {
        _ if room.free_bytes < MEASURED_BYTES => {
            let needed = units::bytes(MEASURED_BYTES);
            Finding::problem("room", format!("{found}: not enough to measure in ({needed} are needed)"))
                .why(full)
                .advice("make room")
        }
        Some(_) => Finding::note("room", found).why(full).advice("smaller segments, and a limit: see below"),
        None => Finding::ok("room", found),
    };
    let files = room.free_files.filter(|&files| files < FILES_NEEDED).map(|files| {
        Finding::warning("room", format!("{files} more files (inodes)"))
            .why("every segment is a file: a rotation that cannot make one fails the appends behind it")
            .advice("delete files that nobody needs")
    });
    let limit = room.file_bytes_max.filter(|&bytes| bytes < SEGMENT_BYTES).map(|bytes| {
        Finding::warning("room", format!("no file may be larger than {} (ulimit -f)", units::bytes(bytes)))
            .why("the kernel ends a process that writes beyond it, or fails the write")
            .advice("raise the limit, or `max_bytes_per_segment` below it")
    });
    [Some(bytes), files, limit].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    const PLENTY: Room =
        Room { free_bytes: 1 << 40, size_bytes: 1 << 41, free_files: Some(1 << 20), file_bytes_max: None };

    fn levels(room: Room) -> Vec<Level> {
        check(&room).iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn little_room_is_told_by_how_little_it_is() {
        assert_eq!(levels(PLENTY), [Level::Ok]);
        assert_eq!(levels(Room { free_bytes: 500 << 20, ..PLENTY }), [Level::Note]);
        assert_eq!(levels(Room { free_bytes: 63 << 20, ..PLENTY }), [Level::Problem]);
        assert_eq!(levels(Room { free_files: Some(3), ..PLENTY }), [Level::Ok, Level::Warning]);
        assert_eq!(levels(Room { file_bytes_max: Some(1 << 20), ..PLENTY }), [Level::Ok, Level::Warning]);
        assert_eq!(levels(Room { free_files: None, ..PLENTY }), [Level::Ok], "btrfs does not count them");
    }

    #[test]
    fn nothing_is_measured_without_room() {
        assert!(PLENTY.is_enough());
        assert!(!Room { free_bytes: MEASURED_BYTES - 1, ..PLENTY }.is_enough());
        assert!(!Room { file_bytes_max: Some(1 << 20), ..PLENTY }.is_enough());
    }

    #[test]
    fn segments_are_a_sixteenth_of_what_is_free_where_that_is_little() {
        let advised = |free_bytes| Room { free_bytes, ..PLENTY }.advised_segment_bytes();
        assert_eq!([1 << 40, 1 << 30].map(advised), [None; 2]);
        assert_eq!([1000 << 20, 160 << 20, 3].map(advised), [Some(32 << 20), Some(8 << 20), Some(1 << 20)]);
    }
}
