//! The writer thread's end of the queue.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    adaptive_spin::AdaptiveSpin,
    command::{Command, Recv},
    commit_queue::{CommitQueue, QueueState, RETAINED_BUFFERS, WriterState},
    completion::GroupOutcome,
    group::Group,
};
use crate::{
    seeded_bugs::{Bug, seeded},
    sync::{MutexGuard, PoisonError},
};

/// The writer thread's end of the queue. Dropping it rejects all appends that are queued or wait.
#[derive(Debug)]
pub(crate) struct QueueReceiver {
    queue: Arc<CommitQueue>,
    /// For how long the commit of a group is delayed at most.
    pub(super) delay: Duration,
    adaptive_spin: AdaptiveSpin,
}

impl QueueReceiver {
    pub(crate) fn new(queue: Arc<CommitQueue>, delay: Duration) -> Self {
        Self { queue, delay, adaptive_spin: AdaptiveSpin::new() }
    }

    /// Spins after a commit until the `woken` callers append again, where that has paid before.
    pub(crate) fn spin_for_appends(&mut self, woken: u64) {
        let Self { queue, adaptive_spin, .. } = self;
        let last_commit_latency = queue.status().last_commit_latency().unwrap_or_default();
        adaptive_spin.wait_for(woken, last_commit_latency, || queue.appends());
    }

    /// Waits for an event.
    pub(crate) fn wait(&self) -> Recv {
        let mut state = self.queue.lock();
        loop {
            if !self.delay.is_zero() && self.queue.may_delay(&state) {
                state = self.delay_commit(state);
            }
            if let Some(received) = self.queue.take(&mut state) {
                return received;
            }
            if seeded(Bug::ParkWithoutRecheck) {
                drop(state);
                state = self.queue.lock();
            }
            state.writer = WriterState::Parked;
            let changed = self.queue.changed.wait_while(state, |state| state.writer == WriterState::Parked);
            state = changed.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Returns the next event if there is one now.
    #[cfg(any(test, feature = "_sim", shuttle))]
    pub(crate) fn poll(&self) -> Option<Recv> {
        self.queue.take(&mut self.queue.lock())
    }

    /// Takes the oldest group if it accepts no more appends.
    pub(crate) fn take_full_group(&self) -> Option<Group> {
        self.queue.take_full_group()
    }

    /// Gives the group that is being filled some time to become full.
    fn delay_commit<'a>(&self, mut state: MutexGuard<'a, QueueState>) -> MutexGuard<'a, QueueState> {
        let still = |state: &mut QueueState| {
            let may_delay = self.queue.may_delay(state);
            // The append that woke this thread may have been cancelled since: the next caller must wake it again.
            state.writer = if may_delay { WriterState::Delaying } else { WriterState::Busy };
            may_delay
        };
        let waited = self.queue.changed.wait_timeout_while(state, self.delay, still);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.writer = WriterState::Busy;
        state
    }

    /// Completes a group: frees its capacity, notifies its callers, and keeps its buffers for later groups.
    pub(crate) fn complete(&self, mut group: Group, outcome: GroupOutcome) {
        let permits = group.take_permits();
        if !seeded(Bug::PermitsNeverReleased) {
            // First: a caller that is notified finds the capacity free.
            self.queue.free(permits);
        }
        group.complete(outcome);
        let buffers = group.take_buffers();
        let mut state = self.queue.lock();
        if state.spare.len() < RETAINED_BUFFERS {
            state.spare.push(buffers);
        }
    }

    /// Rejects appends and commands from now on. Returns the commands that were accepted before.
    pub(crate) fn close(&self) -> VecDeque<Command> {
        self.queue.close()
    }
}

impl Drop for QueueReceiver {
    fn drop(&mut self) {
        // Outside the lock: dropping a group wakes its callers.
        drop(self.close());
        // No thread frees capacity any more, and a writer thread that panicked has not closed the queue.
        self.queue.close_to_appends();
        self.queue.status().watermark.close();
    }
}
