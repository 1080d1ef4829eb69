//! What was done, counted.

use std::ops::AddAssign;

#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    pub runs: u64,
    pub lives: u64,
    pub operations: u64,
    pub power_cuts: u64,
    pub kills: u64,
    pub recoveries_cut_off: u64,
    pub faults: u64,
    pub acknowledged: u64,
    pub refused: u64,
    pub rotations: u64,
    pub releases: u64,
    pub holds: u64,
    pub trimmed_segments: u64,
    pub reads: u64,
    pub damages: u64,
    pub damages_detected: u64,
}

impl Figures {
    /// A line for each, and the runs a minute.
    pub fn report(&self, seconds: f64) -> String {
        let a_minute = self.runs as f64 * 60.0 / seconds.max(0.001);
        format!(
            "runs                     {:>12}  ({a_minute:.0} a minute)\n\
             lives                    {:>12}\n\
             operations on the disk   {:>12}\n\
             power cuts               {:>12}\n\
             kills                    {:>12}\n\
             of these, in a recovery  {:>12}\n\
             faults injected          {:>12}\n\
             appends acknowledged     {:>12}\n\
             appends refused          {:>12}\n\
             rotations                {:>12}\n\
             records released         {:>12}  times\n\
             holds moved              {:>12}\n\
             segments deleted         {:>12}\n\
             journals read            {:>12}\n\
             damages tried            {:>12}  ({} detected, the others harmless)\n",
            self.runs,
            self.lives,
            self.operations,
            self.power_cuts,
            self.kills,
            self.recoveries_cut_off,
            self.faults,
            self.acknowledged,
            self.refused,
            self.rotations,
            self.releases,
            self.holds,
            self.trimmed_segments,
            self.reads,
            self.damages,
            self.damages_detected,
        )
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, more: Self) {
        self.runs += more.runs;
        self.lives += more.lives;
        self.operations += more.operations;
        self.power_cuts += more.power_cuts;
        self.kills += more.kills;
        self.recoveries_cut_off += more.recoveries_cut_off;
        self.faults += more.faults;
        self.acknowledged += more.acknowledged;
        self.refused += more.refused;
        self.rotations += more.rotations;
        self.releases += more.releases;
        self.holds += more.holds;
        self.trimmed_segments += more.trimmed_segments;
        self.reads += more.reads;
        self.damages += more.damages;
        self.damages_detected += more.damages_detected;
    }
}
