//! Polls the futures of the callers and passes their outcomes to the model.

use std::pin::Pin;

use ministore_uring::{MiniStoreError, Result};

use super::{AcceptedAppend, Workload, poll};
use crate::model::{Ack, Checked, violated};

impl Workload<'_> {
    /// Polls every future except the parked ones.
    pub(super) fn poll_outcomes(&mut self) -> Checked {
        self.poll_waiting()?;
        let mut unresolved = Vec::new();
        for (append, mut pending) in std::mem::take(&mut self.pending) {
            match poll_accepted(&mut pending)? {
                None => unresolved.push((append, pending)),
                Some(outcome) => self.on_outcome(append, outcome)?,
            }
        }
        self.pending = unresolved;
        let mut rotations = std::mem::take(&mut self.rotations);
        rotations.retain_mut(|rotation| poll(rotation).is_none());
        self.rotations = rotations;
        self.poll_retention()
    }

    fn poll_waiting(&mut self) -> Checked {
        let mut unresolved = Vec::new();
        for mut waiting in std::mem::take(&mut self.waiting) {
            let polled = if waiting.is_parked { None } else { poll(&mut waiting.future) };
            match polled {
                None => unresolved.push(waiting),
                Some(outcome) => self.on_accepted(waiting.append, outcome)?,
            }
        }
        self.waiting = unresolved;
        Ok(())
    }

    /// Handles the end of an append's wait for capacity.
    pub(super) fn on_accepted(&mut self, append: usize, outcome: Result<AcceptedAppend>) -> Checked {
        match outcome {
            Ok(accepted) => {
                self.pending.push((append, accepted));
                Ok(())
            }
            // It was never in the queue.
            Err(
                MiniStoreError::Closed | MiniStoreError::Poisoned { .. } | MiniStoreError::WriterPanicked,
            ) => self.shared.lock().set_ack(append, Ack::Rejected),
            Err(error) => violated(format!("an append was not accepted: {error}")),
        }
    }

    fn on_outcome(&mut self, append: usize, outcome: Result<u64>) -> Checked {
        let ack = match outcome {
            Ok(first) => {
                self.stats.acknowledged += 1;
                Ack::Durable(first)
            }
            Err(MiniStoreError::StorageFull { .. } | MiniStoreError::Closed) => {
                self.stats.rejected += 1;
                Ack::Rejected
            }
            // Not counted: it does not indicate a lack of space.
            Err(MiniStoreError::SeqMismatch { .. }) => Ack::Rejected,
            Err(MiniStoreError::Unavailable { .. }) if self.had_shortage() || self.disk.is_stopped() => {
                self.stats.rejected += 1;
                Ack::Rejected
            }
            Err(error @ MiniStoreError::Poisoned { .. }) => {
                if !self.had_fault() && !self.disk.is_stopped() {
                    return violated(format!("the store is poisoned without a fault: {error}"));
                }
                self.poisoned = true;
                Ack::Unknown
            }
            Err(MiniStoreError::WriterPanicked) => Ack::Unknown,
            Err(error) => return violated(format!("an append failed: {error}")),
        };
        self.shared.lock().set_ack(append, ack)
    }
}

/// Returns the first sequence number or the error, if there is an outcome. Checks that it fits the expected number.
fn poll_accepted(accepted: &mut AcceptedAppend) -> Checked<Option<Result<u64>>> {
    let (wanted, outcome) = match accepted {
        AcceptedAppend::Any(pending) => {
            return Ok(poll(&mut Pin::new(pending)).map(|outcome| outcome.map(|receipt| receipt.seq)));
        }
        AcceptedAppend::Expecting(wanted, pending) => (*wanted, poll(&mut Pin::new(pending))),
    };
    match &outcome {
        Some(Ok(receipt)) if receipt.seq != wanted => {
            violated(format!("an append that expects number {wanted} got {receipt:?}"))
        }
        Some(Err(MiniStoreError::SeqMismatch { expected, actual }))
            if *expected != wanted || *actual == wanted =>
        {
            violated(format!(
                "an append that expects number {wanted} was rejected: {expected} expected, {actual} next"
            ))
        }
        _ => Ok(outcome.map(|outcome| outcome.map(|receipt| receipt.seq))),
    }
}
