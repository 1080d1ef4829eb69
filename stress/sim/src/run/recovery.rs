//! Opens the journal and checks what recovery did.

use std::collections::BTreeMap;

use ministore_uring::{
    JournalOptions, MiniStore, MiniStoreError, RecoveryPolicy,
    internals::{CrashKind, SteppedWriter},
};

use super::Run;
use crate::{
    config::Incarnation,
    model::{Checked, Violation, violated},
    read::{count_rotated, read, read_all, segments},
};

/// The number of attempts to open the journal, each of which may be ended by a crash.
const RECOVERIES_MAX: u32 = 20;

impl Run {
    /// Checks that the journal can be read before it is recovered.
    pub(super) fn check_before_recovery(&mut self) -> Checked {
        let (found, error) = read(&self.disk, &self.path);
        if let Some(error) = error.filter(|_| self.config.checksums) {
            return violated(format!("read before recovery, after {} records: {error}", found.len()));
        }
        let checked = self.shared.lock().check(&found, 0);
        checked.map_err(|Violation(text)| Violation(format!("read before recovery: {text}")))?;
        if !self.config.checksums {
            return Ok(());
        }
        match self.disk.verify(&self.path) {
            Ok(report) => match report.faults.first() {
                Some(fault) => violated(format!("before recovery: {fault}")),
                None => Ok(()),
            },
            Err(MiniStoreError::Io { source }) if source.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => violated(format!("before recovery: {error}")),
        }
    }

    /// Opens the journal. If a crash or a fault ends the recovery, another incarnation tries again.
    pub(super) fn open(&mut self, incarnation: &Incarnation) -> Checked<Option<(MiniStore, SteppedWriter)>> {
        let mut stop = incarnation.stop;
        for _ in 0..RECOVERIES_MAX {
            if let Some((after, stop)) = stop {
                match stop {
                    CrashKind::PowerCut => self.disk.power_cut_after(after),
                    CrashKind::Kill => self.disk.kill_after(after),
                }
            }
            let faults = self.disk.faults();
            match self.open_stepped(&self.disk, incarnation.options.clone()) {
                Ok(opened) => return Ok(Some(opened)),
                Err(error @ (MiniStoreError::Corrupt { .. } | MiniStoreError::MissingInitialState)) => {
                    return violated(format!("recovery fails: {error}"));
                }
                Err(_) if self.disk.is_stopped() => {
                    self.stats.interrupted_recoveries += 1;
                    self.crash()?;
                    stop = self.rng.chance(60).then(|| (self.rng.range(1, 10), CrashKind::PowerCut));
                }
                Err(_) if self.disk.faults() > faults => {
                    self.disk.stop_now(if self.rng.chance(50) {
                        CrashKind::Kill
                    } else {
                        CrashKind::PowerCut
                    });
                    self.crash()?;
                }
                Err(error) => return violated(format!("it cannot be opened: {error}")),
            }
        }
        Ok(None)
    }

    /// Checks that recovery found every record, and that another power cut would change nothing.
    pub(super) fn check_recovered(&mut self, store: &MiniStore, incarnation: &Incarnation) -> Checked {
        let next_seq = store.open_report().next_seq;
        // Finish the deletions at open first, so that they cannot overtake the readers of these checks.
        while incarnation.limited_at_open && self.disk.advance_background() {}
        if self.disk.is_stopped() {
            return Ok(());
        }
        let found = read_all(&self.disk, &self.path, "read after recovery");
        if self.disk.is_stopped() {
            return Ok(());
        }
        let found = found?;
        let first_seq = found.first().map_or(next_seq, |(seq, _)| *seq);
        let mut model = self.shared.lock();
        let checked = model
            .check(&found, 0)
            .and_then(|()| model.recovered(&found, next_seq))
            .and_then(|()| model.retention.recovered(&store.holds(), next_seq))
            .and_then(|()| model.retention.check(first_seq, true));
        drop(model);
        checked.map_err(|Violation(text)| Violation(format!("after recovery: {text}")))?;
        if self.config.checksums && store.first_seq() != first_seq {
            return violated(format!("first_seq is {}, and {first_seq} is found", store.first_seq()));
        }
        if count_rotated(&self.disk) < self.rotated_min {
            return violated(format!("of {} rotated segments some are missing", self.rotated_min));
        }
        match self.disk.verify(&self.path) {
            _ if self.disk.is_stopped() => return Ok(()),
            Ok(report) => {
                // A torn tail is no fault here: the file may be padded while it is read.
                if let Some(fault) = report.faults.first() {
                    return violated(format!("after recovery: {fault}"));
                }
            }
            Err(error) => return violated(format!("after recovery: {error}")),
        }
        if self.rng.chance(50) {
            self.check_power_cut(&found, next_seq, &store.holds())?;
        }
        if self.rng.chance(30) {
            self.check_second_recovery(&found)?;
        }
        Ok(())
    }

    /// Checks that everything which is visible after recovery survives a power cut at this moment.
    fn check_power_cut(
        &mut self,
        found: &[(u64, u64)],
        next_seq: u64,
        holds: &BTreeMap<String, u64>,
    ) -> Checked {
        let fork = self.disk.fork(self.rng.number());
        fork.heal();
        fork.restart_after(CrashKind::PowerCut);
        let (store, _writer) = match self.open_stepped(&fork, self.idle_options()) {
            Ok(opened) => opened,
            Err(error) => return violated(format!("a power cut right after recovery: {error}")),
        };
        let left = read_all(&fork, &self.path, "a power cut right after recovery")?;
        if left != found || store.open_report().next_seq != next_seq {
            return violated(format!(
                "a power cut right after recovery: {} records are left of {}, the next is {}, not {next_seq}",
                left.len(),
                found.len(),
                store.open_report().next_seq,
            ));
        }
        if store.holds() != *holds {
            return violated(format!("a power cut right after recovery: {holds:?} are {:?}", store.holds()));
        }
        Ok(())
    }

    /// Checks that another recovery does not change a recovered journal.
    fn check_second_recovery(&mut self, found: &[(u64, u64)]) -> Checked {
        let fork = self.disk.fork(self.rng.number());
        fork.heal();
        fork.forget_dropped();
        fork.restart_after(CrashKind::Kill);
        for round in 0..2 {
            let before = segments(&fork, &self.path);
            let opened = self.open_stepped(&fork, self.idle_options());
            // Only the recovery must run, not the work after it.
            fork.stop_now(CrashKind::Kill);
            if let Err(error) = opened {
                return violated(format!("a second recovery: {error}"));
            }
            drop(opened);
            fork.restart_after(CrashKind::Kill);
            // The first round may undo background work that the current incarnation has started.
            if round == 1 && segments(&fork, &self.path) != before {
                let after = segments(&fork, &self.path);
                let changed = before.iter().zip(&after).find(|(before, after)| before != after);
                let changed = changed.map(|((path, before), (_, after))| {
                    format!("{}, from {} bytes to {}", path.display(), before.len(), after.len())
                });
                return violated(format!("a second recovery changes files: {changed:?}"));
            }
        }
        let torn = fork.verify(&self.path).map(|report| report.torn_tail);
        if !matches!(torn, Ok(None)) {
            return violated(format!("after a second recovery: {torn:?}"));
        }
        if read_all(&fork, &self.path, "after a second recovery")? != found {
            return violated("a second recovery changes the records");
        }
        Ok(())
    }

    /// Returns options under which opening changes nothing except what recovery must.
    fn idle_options(&self) -> JournalOptions {
        let policy =
            if self.config.checksums { RecoveryPolicy::Strict } else { RecoveryPolicy::TruncateAtFirstError };
        JournalOptions::new().checksums(self.config.checksums).recovery(policy)
    }
}
