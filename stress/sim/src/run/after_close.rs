//! Checks a closed journal.

use ministore_uring::internals::CrashKind;

use super::Run;
use crate::{config::FaultMode, corruption, model::Checked, read::read_all};

impl Run {
    /// Checks that a closed journal is complete, that corruption is detected, and that a crash takes nothing.
    pub(super) fn check_closed(&mut self) -> Checked {
        let found = read_all(&self.disk, &self.path, "read after closing")?;
        self.shared.lock().check(&found, 0)?;
        if self.config.checksums && self.config.fault_mode != FaultMode::Faults {
            for _ in 0..self.rng.below(4) {
                self.stats.corruptions += 1;
                let seed = self.rng.number();
                let is_detected = corruption::check_random(&self.disk, &self.path, &found, seed)?;
                self.stats.detected_corruptions += u64::from(is_detected);
            }
        }
        if self.config.checksums && self.rng.chance(20) {
            let seed = self.rng.number();
            self.stats.corruptions += 1;
            self.stats.detected_corruptions += 1;
            corruption::check_foreign_next(&self.disk, &self.path, &found, seed)?;
        }
        if self.rng.chance(30) {
            self.disk.stop_now(if self.rng.chance(50) { CrashKind::PowerCut } else { CrashKind::Kill });
            self.crash()?;
        }
        Ok(())
    }
}
