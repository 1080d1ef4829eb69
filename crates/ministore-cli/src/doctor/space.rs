//! Checks free space: bytes, inodes, and the file size limit.

use std::path::Path;

use rustix::process::{Resource, getrlimit};
use serde::Serialize;

use super::finding::Finding;
use crate::{host::FileSystem, units};

/// The maximum that the measurements write.
pub(super) const MEASURED_BYTES: u64 = 64 << 20;

/// The default size of a segment.
pub(super) const SEGMENT_BYTES: u64 = 64 << 20;

/// `doctor` reports space for fewer segments.
const SEGMENTS_COMFORTABLE: u64 = 16;

/// Files that a journal needs soon: segments, lock, holds.
const FILES_NEEDED: u64 = 64;

/// The free space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct FreeSpace {
    pub(super) free_bytes: u64,
    pub(super) size_bytes: u64,
    /// `None` if the file system creates inodes as needed.
    pub(super) free_files: Option<u64>,
    /// The largest file that this process may write, if there is a limit.
    pub(super) max_file_bytes: Option<u64>,
}

impl FreeSpace {
    pub(super) fn of(directory: &Path, file_system: &FileSystem) -> Self {
        let files = rustix::fs::statvfs(directory).ok().filter(|statvfs| statvfs.f_files > 0);
        Self {
            free_bytes: file_system.free_bytes,
            size_bytes: file_system.size_bytes,
            free_files: files.map(|statvfs| statvfs.f_favail),
            max_file_bytes: getrlimit(Resource::Fsize).current,
        }
    }

    /// Whether there is space for the measurements.
    pub(super) fn is_enough(&self) -> bool {
        self.free_bytes >= MEASURED_BYTES && self.max_file_bytes.is_none_or(|bytes| bytes >= MEASURED_BYTES)
    }

    /// Returns half of the free space.
    pub(super) fn advised_bytes(&self) -> u64 {
        self.free_bytes / 2
    }

    /// Returns a smaller segment size, a power of two, if only few segments fit.
    pub(super) fn advised_segment_bytes(&self) -> Option<u64> {
        if self.free_bytes / SEGMENT_BYTES >= SEGMENTS_COMFORTABLE {
            return None;
        }
        let share = (self.free_bytes / SEGMENTS_COMFORTABLE).max(1 << 20);
        Some(1 << share.ilog2())
    }
}

pub(super) fn check(space: &FreeSpace) -> Vec<Finding> {
    let found = format!("{} free of {}", units::bytes(space.free_bytes), units::bytes(space.size_bytes));
    let full = "appends fail while the disk is full; acknowledged records are kept, and appends work again once space is free";
    let bytes = match space.advised_segment_bytes() {
        _ if space.free_bytes < MEASURED_BYTES => {
            let needed = units::bytes(MEASURED_BYTES);
            Finding::problem(
                "free space",
                format!("{found}: not enough for the measurement ({needed} needed)"),
            )
            .detail(full)
            .remedy("free disk space")
        }
        Some(_) => Finding::note("free space", found)
            .detail(full)
            .remedy("use smaller segments and a limit: see below"),
        None => Finding::ok("free space", found),
    };
    let files = space.free_files.filter(|&files| files < FILES_NEEDED).map(|files| {
        Finding::warning("free space", format!("only {files} free inodes"))
            .detail("every segment is a file: appends fail if a rotation cannot create one")
            .remedy("delete unneeded files")
    });
    let limit = space.max_file_bytes.filter(|&bytes| bytes < SEGMENT_BYTES).map(|bytes| {
        Finding::warning("free space", format!("the file size limit is {} (ulimit -f)", units::bytes(bytes)))
            .detail("the kernel kills a process that writes beyond it, or fails the write")
            .remedy(format!("raise the limit, or use `--max-segment-bytes {}`", (bytes / 2).max(1)))
    });
    [Some(bytes), files, limit].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    const PLENTY: FreeSpace = FreeSpace {
        free_bytes: 1 << 40,
        size_bytes: 1 << 41,
        free_files: Some(1 << 20),
        max_file_bytes: None,
    };

    fn levels(space: FreeSpace) -> Vec<Level> {
        check(&space).iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn level_depends_on_free_space() {
        assert_eq!(levels(PLENTY), [Level::Ok]);
        assert_eq!(levels(FreeSpace { free_bytes: 500 << 20, ..PLENTY }), [Level::Note]);
        assert_eq!(levels(FreeSpace { free_bytes: 63 << 20, ..PLENTY }), [Level::Problem]);
        assert_eq!(levels(FreeSpace { free_files: Some(3), ..PLENTY }), [Level::Ok, Level::Warning]);
        assert_eq!(
            levels(FreeSpace { max_file_bytes: Some(1 << 20), ..PLENTY }),
            [Level::Ok, Level::Warning]
        );
        assert_eq!(levels(FreeSpace { free_files: None, ..PLENTY }), [Level::Ok], "btrfs reports no inodes");
    }

    #[test]
    fn measurement_needs_free_space() {
        assert!(PLENTY.is_enough());
        assert!(!FreeSpace { free_bytes: MEASURED_BYTES - 1, ..PLENTY }.is_enough());
        assert!(!FreeSpace { max_file_bytes: Some(1 << 20), ..PLENTY }.is_enough());
    }

    #[test]
    fn small_disk_gets_small_segments() {
        let advised = |free_bytes| FreeSpace { free_bytes, ..PLENTY }.advised_segment_bytes();
        assert_eq!([1 << 40, 1 << 30].map(advised), [None; 2]);
        assert_eq!([1000 << 20, 160 << 20, 3].map(advised), [Some(32 << 20), Some(8 << 20), Some(1 << 20)]);
    }
}
