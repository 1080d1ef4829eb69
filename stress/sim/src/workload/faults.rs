//! Faults that the workload injects, and their end.

use std::time::Duration;

use super::Workload;
use crate::{
    config::FaultMode,
    model::{Checked, violated},
};

impl Workload<'_> {
    pub(super) fn inject_fault(&mut self) -> Checked {
        match self.config.fault_mode {
            FaultMode::None => {}
            FaultMode::Faults if self.rng.chance(30) => {
                let nth = self.rng.range(1, 12);
                match self.rng.below(10) {
                    0..4 => self.disk.fail_sync(nth),
                    4..6 => self.disk.fail_write(nth),
                    _ => self.disk.fail_rename(nth.div_ceil(6)),
                }
            }
            FaultMode::Faults => {}
            FaultMode::Shortage if self.has_shortage && self.rng.chance(30) => self.restore_resources()?,
            FaultMode::Shortage => {
                self.has_shortage = true;
                self.shared.lock().may_reject = true;
                self.disk.exhaust_descriptors(self.rng.chance(60));
                self.disk.exhaust_memory(self.rng.chance(50));
                self.disk.advance_clock(Duration::from_millis(self.rng.range(1, 2000)));
            }
            FaultMode::StorageFull if self.has_space_limit => self.restore_resources()?,
            FaultMode::StorageFull => {
                self.has_space_limit = true;
                self.shared.lock().may_reject = true;
                let bytes_max = self.rng.pick(&[0, 1, 30, 100, 1000, 5000, 70_000, 200_000]);
                self.disk.set_space_limit(self.rng.below(bytes_max + 1));
            }
        }
        Ok(())
    }

    /// Ends the shortage of space, descriptors and memory. The store must then work again.
    pub fn restore_resources(&mut self) -> Checked {
        self.has_space_limit = false;
        self.disk.clear_space_limit();
        self.end_shortage();
        self.run_until_idle()?;
        if self.poisoned || self.disk.is_stopped() || self.rng.chance(30) {
            return Ok(());
        }
        let rejected = self.stats.rejected;
        self.submit(1)?;
        self.run_until_idle()?;
        if self.stats.rejected > rejected && !self.poisoned && !self.disk.is_stopped() {
            return violated("an append was rejected for lack of space, and there is space");
        }
        Ok(())
    }

    fn end_shortage(&mut self) {
        if std::mem::take(&mut self.has_shortage) {
            self.disk.exhaust_descriptors(false);
            self.disk.exhaust_memory(false);
            // Longer than the longest back-off: the writer retries everything that failed.
            self.disk.advance_clock(Duration::from_secs(2));
        }
    }
}
