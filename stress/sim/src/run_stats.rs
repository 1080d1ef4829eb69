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
        format!(
            "runs                     {:>12}  ({per_minute:.0} per minute)\n\
             incarnations             {:>12}\n\
             operations on the disk   {:>12}\n\
             power cuts               {:>12}\n\
             kills                    {:>12}\n\
             of these, in a recovery  {:>12}\n\
             faults injected          {:>12}\n\
             appends acknowledged     {:>12}\n\
             appends rejected         {:>12}\n\
             rotations                {:>12}\n\
             trims                    {:>12}\n\
             holds moved              {:>12}\n\
             segments deleted         {:>12}\n\
             journals read            {:>12}\n\
             corruptions tried        {:>12}  ({} detected, the others harmless)\n",
            self.runs,
            self.incarnations,
            self.operations,
            self.power_cuts,
            self.kills,
            self.interrupted_recoveries,
            self.faults,
            self.acknowledged,
            self.rejected,
            self.rotations,
            self.trims,
            self.holds,
            self.trimmed_segments,
            self.reads,
            self.corruptions,
            self.detected_corruptions,
        )
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
