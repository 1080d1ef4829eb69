//! What is left to chance in a run and in a life.

use std::time::Duration;

use ministore_uring::{
    JournalOptions, RecoveryPolicy, SyncMode,
    testkit::{
        DirEntriesAfterCrash, DirectIo, SimDisk,
        sim::{Beside, Rng, Stop},
    },
};

/// What stays the same for a whole run.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub lives: u64,
    pub seals: bool,
    /// What kind of trouble there is beside crashes.
    pub trouble: Trouble,
    /// The largest text of a record, in bytes.
    pub text_bytes_max: u64,
    /// Segments that are written ahead more than once.
    pub large: bool,
    /// Somebody releases records, and somebody holds them.
    pub retains: bool,
    /// The number of a rotated segment that another journal is called like.
    pub foreign: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// Writes and syncs fail.
    Faults,
    /// The disk runs full.
    StorageFull,
    /// The process runs out of descriptors, or the kernel out of memory, for a while.
    Shortage,
}

impl Run {
    pub fn select_backend(rng: &mut Rng) -> Self {
        let large = rng.chance(12);
        Self {
            lives: if large { rng.range(2, 5) } else { rng.range(3, 14) },
            seals: !rng.chance(10),
            trouble: rng.pick(&[
                Trouble::None,
                Trouble::None,
                Trouble::Faults,
                Trouble::StorageFull,
                Trouble::Shortage,
            ]),
            text_bytes_max: if large { 9000 } else { rng.pick(&[10, 60, 60, 700, 3000]) },
            large,
            retains: rng.chance(40),
            foreign: rng.chance(30).then(|| rng.range(1, 4)),
        }
    }
}

/// How one life goes.
#[derive(Debug, Clone)]
pub struct Life {
    pub options: JournalOptions,
    pub segments_kept: usize,
    /// Retention by bytes or by age: also right after opening.
    pub limited_at_open: bool,
    /// Things the callers do.
    pub actions: u64,
    /// Operations until the life ends, where it does not end by itself, and how.
    pub stop: Option<(u64, Stop)>,
}

impl Life {
    pub fn select_backend(run: &Run, rng: &mut Rng) -> Self {
        let segments_kept =
            if run.seals { rng.pick(&[usize::MAX, usize::MAX, 1, 2, 3, 5]) } else { usize::MAX };
        // Without seals a commit that was cut off may look like damage.
        let policy = if run.seals { RecoveryPolicy::Strict } else { RecoveryPolicy::TruncateAtFirstError };
        let segment_bytes = match run {
            // A torn commit in an archived segment without seals cannot be told from its records.
            Run { seals: false, .. } => u64::MAX,
            Run { large: true, .. } => rng.pick(&[70_000, 200_000, 1 << 30]),
            _ => rng.pick(&[150, 400, 1000, 1000, 4000, 20_000, 70_000]),
        };
        let options = JournalOptions::new()
            .recovery(policy)
            .checksums(run.seals)
            .max_segment_bytes(segment_bytes)
            .max_segments(segments_kept)
            .preallocate(rng.chance(75))
            .direct_io(rng.chance(70))
            .sync_mode(rng.pick(&[SyncMode::Auto, SyncMode::Auto, SyncMode::Dsync, SyncMode::Fdatasync]))
            .max_group_bytes(rng.pick(&[1, 200, 2000, 1 << 20, 1 << 20]))
            .max_queue_bytes(rng.pick(&[400, 2000, 64 << 20, 64 << 20]));
        let stops = [Stop::PowerCut, Stop::PowerCut, Stop::Kill];
        let stop = match rng.below(10) {
            // While it recovers.
            0..3 => Some((rng.range(1, 12), rng.pick(&stops))),
            3..7 => Some((rng.range(1, if run.large { 400 } else { 150 }), rng.pick(&stops))),
            _ => None,
        };
        let limited_at_open = run.retains && rng.chance(25);
        let options = if limited_at_open {
            let bytes = rng.pick(&[1, 1000, 20_000, u64::MAX]);
            options.max_total_bytes(bytes).max_age(Duration::from_secs(rng.range(1, 60)))
        } else {
            options
        };
        let actions = if run.large { rng.range(40, 160) } else { rng.pick(&[0, 5, 20, 20, 40, 80]) };
        Self { options, segments_kept, limited_at_open, actions, stop }
    }
}

impl Life {
    /// What matters of it, on one line.
    pub fn describe(&self) -> String {
        let options = format!("{:?}", self.options);
        let options =
            options.trim_start_matches("JournalOptions ").split(", backend").next().unwrap_or_default();
        format!("{options}, {} actions, to be stopped: {:?}", self.actions, self.stop)
    }
}

/// The disk's manners for a life.
pub fn set_up_disk(disk: &SimDisk, rng: &mut Rng) {
    disk.split_writes(rng.pick(&[1, 1, 2, 4]));
    disk.direct_io(rng.pick(&[
        DirectIo::Works,
        DirectIo::Works,
        DirectIo::Works,
        DirectIo::RefusedAtOpen,
        DirectIo::RefusedAtWrite,
    ]));
    disk.dir_entries_after_crash(rng.pick(&[DirEntriesAfterCrash::Any, DirEntriesAfterCrash::Ordered]));
    disk.pace_beside(rng.pick(&[
        Beside::Starved,
        Beside::Slow,
        Beside::Slow,
        Beside::Even,
        Beside::Even,
        Beside::Eager,
    ]));
    disk.delay_allocation(rng.chance(20));
    disk.honor_dsync(rng.chance(75));
    disk.rename_without_replacing(rng.chance(70));
}
