//! Requests to trim records and to move holds.

use std::time::Duration;

use ministore_uring::{MiniStoreError, Result};

use super::{BoxFuture, Workload, poll};
use crate::{
    model::{Checked, violated},
    retention::HoldOutcome,
};

/// A request to retention without a known outcome.
pub(super) enum RetentionOp {
    Trim,
    /// The name of the hold, and the number of the request in the model.
    Hold(&'static str, u64),
}

impl Workload<'_> {
    /// Trims, sets or moves a hold, releases a hold, or lets time pass.
    pub(super) fn change_retention(&mut self) {
        let (store, next) = (self.store.clone(), self.store.durable_seq() + 3);
        let name = self.rng.pick(&["a", "b"]);
        match self.rng.below(10) {
            0..4 => {
                let before = self.rng.below(next);
                self.shared.lock().retention.request_trim(before);
                let trim = Box::pin(async move { store.trim_before(before).await });
                self.start_retention(RetentionOp::Trim, trim);
            }
            4..8 => {
                let first = store.first_seq().saturating_sub(self.rng.pick(&[0, 0, 0, 2]));
                let seq = first + self.rng.below(next.saturating_sub(first) + 1);
                let request = self.shared.lock().retention.request_hold(name, Some(seq));
                let hold = Box::pin(async move { store.hold(name, seq).await.map(|()| 0) });
                self.start_retention(RetentionOp::Hold(name, request), hold);
            }
            8 => {
                let request = self.shared.lock().retention.request_hold(name, None);
                let release_hold = Box::pin(async move { store.release_hold(name).await.map(u64::from) });
                self.start_retention(RetentionOp::Hold(name, request), release_hold);
            }
            _ => self.disk.advance_clock(Duration::from_secs(self.rng.range(1, 40))),
        }
    }

    /// Polls a request for the first time, which queues it.
    fn start_retention(&mut self, op: RetentionOp, mut future: BoxFuture<u64>) {
        match poll(&mut future) {
            None => self.retention_ops.push((op, future)),
            // An outcome at the first poll is a rejection: the request was not queued.
            Some(_) => {
                if let RetentionOp::Hold(name, request) = op {
                    self.shared.lock().retention.resolve_hold(name, request, HoldOutcome::Rejected);
                }
            }
        }
    }

    pub(super) fn poll_retention(&mut self) -> Checked {
        let mut unresolved = Vec::new();
        for (op, mut future) in std::mem::take(&mut self.retention_ops) {
            match poll(&mut future) {
                None => unresolved.push((op, future)),
                Some(outcome) => self.on_retention(op, outcome)?,
            }
        }
        self.retention_ops = unresolved;
        Ok(())
    }

    fn on_retention(&mut self, op: RetentionOp, outcome: Result<u64>) -> Checked {
        let may_fail = self.had_fault() || self.disk.is_stopped();
        let had_shortage = self.had_shortage();
        let hold_outcome = match &outcome {
            Ok(_) => HoldOutcome::Done,
            Err(MiniStoreError::Closed | MiniStoreError::Trimmed { .. }) => HoldOutcome::Rejected,
            Err(MiniStoreError::InvalidArgument(_)) if !self.config.checksums => HoldOutcome::Rejected,
            Err(MiniStoreError::StorageFull { .. } | MiniStoreError::Io { .. }) if may_fail => {
                HoldOutcome::Rejected
            }
            Err(MiniStoreError::Io { .. }) if had_shortage => HoldOutcome::Rejected,
            Err(MiniStoreError::Poisoned { .. }) if may_fail => {
                self.poisoned = true;
                HoldOutcome::Unknown
            }
            Err(MiniStoreError::WriterPanicked) if may_fail => HoldOutcome::Unknown,
            Err(error) => return violated(format!("retention failed: {error}")),
        };
        match (op, outcome) {
            (RetentionOp::Trim, Ok(first_seq)) => {
                self.stats.trims += 1;
                self.shared.lock().retention.trimmed(first_seq);
            }
            (RetentionOp::Trim, Err(_)) => {}
            (RetentionOp::Hold(name, request), _) => {
                self.stats.holds += u64::from(hold_outcome == HoldOutcome::Done);
                self.shared.lock().retention.resolve_hold(name, request, hold_outcome);
            }
        }
        Ok(())
    }
}
