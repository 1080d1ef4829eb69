//! The faults that are planned for a simulated disk.

use super::{directory::DirEntriesAfterCrash, rng::Rng};
use crate::options::ReadLimits;

/// How an incarnation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashKind {
    /// The power is cut: any part of the unsynced data may be lost.
    PowerCut,
    /// The process is killed: the page cache stays, and is no more durable than before.
    Kill,
}

/// Whether files can be written without the page cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectIo {
    /// They can.
    Works,
    /// Opening them so is refused, as some file systems do.
    RefusedAtOpen,
    /// Opening them so works, and the first write is refused.
    RefusedAtWrite,
}

/// The speed of background work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackgroundPace {
    /// It runs only when the writer waits for it.
    Starved,
    /// An operation now and then.
    Slow,
    /// About as fast as the commits.
    Even,
    /// Much faster.
    Eager,
}

/// The faults, and the properties of the disk and its file system.
#[derive(Debug, Clone)]
pub(super) struct FaultPlan {
    /// The operation in the middle of which the incarnation ends, counted from 1.
    pub(super) crash_at: Option<(u64, CrashKind)>,
    /// Writes that fail, counted from 1.
    pub(super) failing_writes: Vec<u64>,
    /// Syncs of files and directories that fail, counted from 1.
    pub(super) failing_syncs: Vec<u64>,
    /// Renames that fail, counted from 1. They may have been made.
    pub(super) failing_renames: Vec<u64>,
    /// Bytes by which files may still grow.
    pub(super) space: Option<u64>,
    /// The process has no descriptors left.
    pub(super) no_descriptors: bool,
    /// The kernel has little memory left.
    pub(super) no_memory: bool,
    /// A write to a full disk succeeds, and only the sync fails.
    pub(super) delayed_allocation: bool,
    /// The most pieces of a write. Other operations can run between two of them.
    pub(super) pieces_max: u64,
    pub(super) direct_io: DirectIo,
    /// A write with `O_DSYNC` is durable when it returns.
    pub(super) honors_dsync: bool,
    /// The sizes in which files are read that are opened from now on.
    pub(super) read_limits: ReadLimits,
    pub(super) dir_entries_after_crash: DirEntriesAfterCrash,
    pub(super) background_pace: BackgroundPace,
    /// A rename that must not replace a file is supported.
    pub(super) renames_without_replacing: bool,
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self {
            crash_at: None,
            failing_writes: Vec::new(),
            failing_syncs: Vec::new(),
            failing_renames: Vec::new(),
            space: None,
            no_descriptors: false,
            no_memory: false,
            delayed_allocation: false,
            pieces_max: 1,
            direct_io: DirectIo::Works,
            honors_dsync: true,
            read_limits: ReadLimits::default(),
            dir_entries_after_crash: DirEntriesAfterCrash::Any,
            background_pace: BackgroundPace::Even,
            renames_without_replacing: true,
        }
    }
}

impl FaultPlan {
    pub(super) fn crashes_at(&self, operation: u64) -> Option<CrashKind> {
        self.crash_at.filter(|(at, _)| *at <= operation).map(|(_, kind)| kind)
    }

    /// Returns whether a directory cannot store another name. On a full disk it may or may not have space for one.
    pub(super) fn dir_is_full(&self, rng: &mut Rng) -> bool {
        self.space == Some(0) && rng.chance(50)
    }

    /// Takes disk space for `bytes` bytes; returns how many of them it got.
    pub(super) fn take_space(&mut self, bytes: u64) -> u64 {
        let Some(space) = &mut self.space else { return bytes };
        let granted = bytes.min(*space);
        *space -= granted;
        granted
    }

    pub(super) fn free_space(&mut self, bytes: u64) {
        if let Some(space) = &mut self.space {
            *space += bytes;
        }
    }

    /// Splits a write of `count` bytes; returns the ends of its pieces.
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
