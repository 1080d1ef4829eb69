//! Random parameters of a run, and of each incarnation of its store.

use std::time::Duration;

use ministore_uring::{
    Header, JournalOptions, RecoveryPolicy, SyncMode,
    internals::{BackgroundPace, CrashKind, ReadLimits, Rng},
    testkit::{DirEntriesAfterCrash, DirectIo, SimDisk},
};

/// The parameters of a whole run.
#[derive(Debug, Clone, Copy)]
pub struct RunConfig {
    pub incarnations: u64,
    pub checksums: bool,
    pub fault_mode: FaultMode,
    /// The largest text of a record, in bytes.
    pub text_bytes_max: u64,
    /// Whether records and segments are large enough for several preallocations per segment.
    pub large: bool,
    /// Whether callers trim records and hold them.
    pub retains: bool,
    /// The number of the rotated segment whose name another journal has.
    pub foreign_number: Option<u64>,
}

/// The faults of a run, in addition to crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultMode {
    None,
    /// Writes and syncs fail.
    Faults,
    /// The disk becomes full.
    StorageFull,
    /// The process temporarily has no descriptors, or the kernel no memory.
    Shortage,
}

impl RunConfig {
    pub fn random(rng: &mut Rng) -> Self {
        let large = rng.chance(12);
        Self {
            incarnations: if large { rng.range(2, 5) } else { rng.range(3, 14) },
            checksums: !rng.chance(10),
            fault_mode: rng.pick(&[
                FaultMode::None,
                FaultMode::None,
                FaultMode::Faults,
                FaultMode::StorageFull,
                FaultMode::Shortage,
            ]),
            text_bytes_max: if large { 9000 } else { rng.pick(&[10, 60, 60, 700, 3000]) },
            large,
            retains: rng.chance(40),
            foreign_number: rng.chance(30).then(|| rng.range(1, 4)),
        }
    }
}

/// The parameters of one incarnation of the store: the time from an open to a close or a crash.
#[derive(Debug, Clone)]
pub struct Incarnation {
    pub options: JournalOptions,
    pub segments_kept: usize,
    /// Whether retention is limited by bytes or age too, which applies when the journal is opened.
    pub limited_at_open: bool,
    /// The number of actions of the callers.
    pub actions: u64,
    /// The number of operations until a crash, and its kind.
    pub stop: Option<(u64, CrashKind)>,
}

impl Incarnation {
    pub fn random(config: &RunConfig, rng: &mut Rng) -> Self {
        let segments_kept =
            if config.checksums { rng.pick(&[usize::MAX, usize::MAX, 1, 2, 3, 5]) } else { usize::MAX };
        // Without checksums an interrupted commit may look like corruption.
        let policy =
            if config.checksums { RecoveryPolicy::Strict } else { RecoveryPolicy::TruncateAtFirstError };
        let segment_bytes = match config {
            // Without checksums a torn commit in a rotated segment cannot be distinguished from its records.
            RunConfig { checksums: false, .. } => u64::MAX,
            RunConfig { large: true, .. } => rng.pick(&[70_000, 200_000, 1 << 30]),
            _ => rng.pick(&[150, 400, 1000, 1000, 4000, 20_000, 70_000]),
        };
        let options = JournalOptions::new()
            .recovery(policy)
            .checksums(config.checksums)
            .header(if config.checksums && rng.chance(40) { Header::Json } else { Header::Comment })
            .max_segment_bytes(segment_bytes)
            .max_segments(segments_kept)
            .preallocate(rng.chance(75))
            .direct_io(rng.chance(70))
            .sync_mode(rng.pick(&[SyncMode::Auto, SyncMode::Auto, SyncMode::Dsync, SyncMode::Fdatasync]))
            .max_group_bytes(rng.pick(&[1, 200, 2000, 1 << 20, 1 << 20]))
            .max_queue_bytes(rng.pick(&[400, 2000, 64 << 20, 64 << 20]));
        let stops = [CrashKind::PowerCut, CrashKind::PowerCut, CrashKind::Kill];
        let stop = match rng.below(10) {
            // During the recovery.
            0..3 => Some((rng.range(1, 12), rng.pick(&stops))),
            3..7 => Some((rng.range(1, if config.large { 400 } else { 150 }), rng.pick(&stops))),
            _ => None,
        };
        let limited_at_open = config.retains && rng.chance(25);
        let options = if limited_at_open {
            let bytes = rng.pick(&[1, 1000, 20_000, u64::MAX]);
            options.max_total_bytes(bytes).max_age(Duration::from_secs(rng.range(1, 60)))
        } else {
            options
        };
        let actions = if config.large { rng.range(40, 160) } else { rng.pick(&[0, 5, 20, 20, 40, 80]) };
        Self { options, segments_kept, limited_at_open, actions, stop }
    }

    /// Returns the options that matter, the number of actions and the crash, on one line.
    pub fn describe(&self) -> String {
        let options = format!("{:?}", self.options);
        let options =
            options.trim_start_matches("JournalOptions ").split(", backend").next().unwrap_or_default();
        format!("{options}, {} actions, crash: {:?}", self.actions, self.stop)
    }
}

/// Sets how the disk behaves during an incarnation.
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
    disk.background_pace(rng.pick(&[
        BackgroundPace::Starved,
        BackgroundPace::Slow,
        BackgroundPace::Slow,
        BackgroundPace::Even,
        BackgroundPace::Even,
        BackgroundPace::Eager,
    ]));
    disk.delay_allocation(rng.chance(20));
    disk.honor_dsync(rng.chance(75));
    disk.rename_without_replacing(rng.chance(70));
    disk.read_limits(rng.pick(&[ReadLimits::LARGE, ReadLimits::SMALL]));
}
