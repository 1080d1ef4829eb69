//! Counters of what the runs did.

use std::ops::AddAssign;

#[derive(Debug, Clone, Copy, Default)]
pub struct RunStats {
    pub runs: u64,
    pub incarnations: u64,
    pub operations: u64,
    pub power_cuts: u64,
    pub kills: u64,
    pub interrupted_recoveries: u64,
    pub faults: u64,
    pub acknowledged: u64,
    pub rejected: u64,
    pub rotations: u64,
    pub trims: u64,
    pub holds: u64,
    pub trimmed_segments: u64,
    pub reads: u64,
    pub corruptions: u64,
    pub detected_corruptions: u64,
}

impl RunStats {
    /// Returns one line per counter, and the runs per minute.
    pub fn report(&self, seconds: f64) -> String {
        let per_minute = self.runs as f64 * 60.0 / seconds.max(0.001);
        let line = |name: &str, count: u64, note: &str| format!("{name:<25}{count:>12}{note}\n");
        let detected = format!("  ({} detected, the others harmless)", self.detected_corruptions);
        [
            line("runs", self.runs, &format!("  ({per_minute:.0} per minute)")),
            line("incarnations", self.incarnations, ""),
            line("operations on the disk", self.operations, ""),
            line("power cuts", self.power_cuts, ""),
            line("kills", self.kills, ""),
            line("of these, in a recovery", self.interrupted_recoveries, ""),
            line("faults injected", self.faults, ""),
            line("appends acknowledged", self.acknowledged, ""),
            line("appends rejected", self.rejected, ""),
            line("rotations", self.rotations, ""),
            line("trims", self.trims, ""),
            line("holds moved", self.holds, ""),
            line("segments deleted", self.trimmed_segments, ""),
            line("journals read", self.reads, ""),
            line("corruptions tried", self.corruptions, &detected),
        ]
        .concat()
    }
}

impl AddAssign for RunStats {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.incarnations += other.incarnations;
        self.operations += other.operations;
        self.power_cuts += other.power_cuts;
        self.kills += other.kills;
        self.interrupted_recoveries += other.interrupted_recoveries;
        self.faults += other.faults;
        self.acknowledged += other.acknowledged;
        self.rejected += other.rejected;
        self.rotations += other.rotations;
        self.trims += other.trims;
        self.holds += other.holds;
        self.trimmed_segments += other.trimmed_segments;
        self.reads += other.reads;
        self.corruptions += other.corruptions;
        self.detected_corruptions += other.detected_corruptions;
    }
}
