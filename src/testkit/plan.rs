//! What is to go wrong, and when.

use super::{directory::DirEntriesAfterCrash, rng::Rng};

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The power is cut: what was not synced may be lost, in any part.
    PowerCut,
    /// The process is killed: the page cache stays, and is no more durable than before.
    Kill,
}

/// Whether files can be written past the page cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectIo {
    /// They can.
    Works,
    /// Opening them so is refused, as some file systems do.
    RefusedAtOpen,
    /// Opening them so works, and the first write is refused.
    RefusedAtWrite,
}

/// How fast the work beside the commits gets on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Only when it is waited for.
    Starved,
    /// An operation now and then.
    Slow,
    /// About as fast as the commits.
    Even,
    /// Much faster.
    Eager,
}

#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The operation in the middle of which the life ends, counted from 1.
    pub(super) stop_at: Option<(u64, Stop)>,
    /// Writes that fail, counted from 1.
    pub(super) failing_writes: Vec<u64>,
    /// Syncs that fail, of files and directories, counted from 1.
    pub(super) failing_syncs: Vec<u64>,
    /// Renames that fail, made or not, counted from 1.
    pub(super) failing_renames: Vec<u64>,
    /// Bytes by which files may still grow.
    pub(super) room: Option<u64>,
    /// The process has no descriptors left.
    pub(super) no_descriptors: bool,
    /// The kernel has little memory left.
    pub(super) no_memory: bool,
    /// A write finds room in memory, and only a sync finds that the disk has none.
    pub(super) allocates_late: bool,
    /// A write is made in up to so many pieces, with operations of others in between.
    pub(super) pieces_max: u64,
    pub(super) direct_io: DirectIo,
    /// A write with `O_DSYNC` is durable when it returns.
    pub(super) honors_dsync: bool,
    pub(super) dir_entries_after_crash: DirEntriesAfterCrash,
    pub(super) beside: Beside,
    /// Whether a rename can be asked not to replace a file.
    pub(super) renames_without_replacing: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            stop_at: None,
            failing_writes: Vec::new(),
            failing_syncs: Vec::new(),
            failing_renames: Vec::new(),
            room: None,
            no_descriptors: false,
            no_memory: false,
            allocates_late: false,
            pieces_max: 1,
            direct_io: DirectIo::Works,
            honors_dsync: true,
            dir_entries_after_crash: DirEntriesAfterCrash::Any,
            beside: Beside::Even,
            renames_without_replacing: true,
        }
    }
}

impl Plan {
    pub(super) fn stops(&self, operation: u64) -> Option<Stop> {
        self.stop_at.filter(|(at, _)| *at <= operation).map(|(_, stop)| stop)
    }

    pub(super) fn write_fails(&self, nth: u64) -> bool {
        self.failing_writes.contains(&nth)
    }

    pub(super) fn sync_fails(&self, nth: u64) -> bool {
        self.failing_syncs.contains(&nth)
    }

    /// On a full disk a directory may or may not have room for another name.
    pub(super) fn names_are_full(&self, rng: &mut Rng) -> bool {
        self.room == Some(0) && rng.chance(50)
    }

    /// How many of `bytes` there is room for.
    pub(super) fn take_room(&mut self, bytes: u64) -> u64 {
        let Some(room) = &mut self.room else { return bytes };
        let granted = bytes.min(*room);
        *room -= granted;
        granted
    }

    pub(super) fn give_room_back(&mut self, bytes: u64) {
        if let Some(room) = &mut self.room {
            *room += bytes;
        }
    }

    /// Where a write of `count` bytes is divided: the ends of its pieces.
    pub(super) fn pieces(&self, count: usize, rng: &mut Rng) -> Vec<usize> {
        let pieces = if self.pieces_max > 1 && rng.chance(40) { rng.range(1, self.pieces_max) } else { 1 };
        let mut ends: Vec<usize> = (1..pieces).map(|_| rng.below(count as u64) as usize).collect();
        ends.retain(|end| *end > 0);
        ends.push(count);
        ends.sort_unstable();
        ends.dedup();
        ends
    }
}
