//! The writer thread's end of the queue: its mailbox.
//!
//! It has two lanes: commits, which are the groups of the queue, and control, a channel for all other messages. Control
//! messages come first. A rotation and a close follow the appends that were accepted before them: such a message is
//! delivered when their groups are complete.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    commit_queue::{CommitQueue, ControlMessage},
    completion::AppendOutcome,
    group::Group,
    message::WriterMessage,
    queue_state::{QueueState, RETAINED_BUFFERS, WriterState},
};
use crate::{
    JournalOptions,
    background::{job::JobResult, requests::RetentionRequest},
    caller_code::catch_caller_panic,
    journal::status::StoreStatus,
    spin::WriterSpin,
    sync::{MutexGuard, PoisonError, Receiver},
};

/// The writer thread's end of the queue. Dropping it rejects all appends that are queued or wait, and drops all other
/// messages: their callers get the reason from the status.
#[derive(Debug)]
pub(crate) struct Mailbox {
    queue: Arc<CommitQueue>,
    control: Receiver<ControlMessage>,
    /// Control messages that were received and not delivered yet.
    deferred: VecDeque<ControlMessage>,
    /// Groups that are complete.
    completed: u64,
    /// For how long the commit of a group is delayed at most.
    pub(super) delay: Duration,
    spin: WriterSpin,
}

impl Mailbox {
    /// Returns the mailbox of a new queue of `capacity_bytes`, with the limits of the options.
    pub(crate) fn with_queue(
        status: Arc<StoreStatus>,
        capacity_bytes: u32,
        options: &JournalOptions,
    ) -> (Arc<CommitQueue>, Self) {
        let goal_bytes = options.commit_delay_bytes.unwrap_or(u64::MAX);
        let (queue, control) = CommitQueue::new(status, capacity_bytes, options.max_group_bytes, goal_bytes);
        let mailbox = Self {
            queue: Arc::clone(&queue),
            control,
            deferred: VecDeque::new(),
            completed: 0,
            delay: options.commit_delay,
            spin: WriterSpin::new(options.spin),
        };
        (queue, mailbox)
    }

    /// Spins after a commit until the `woken` callers append again, where that has paid before.
    pub(crate) fn spin_for_appends(&mut self, woken: u64) {
        let Self { queue, spin, .. } = self;
        let last_commit_latency = queue.status().caller_spin.last_commit_latency().unwrap_or_default();
        spin.wait_for(woken, last_commit_latency, || queue.appends());
    }

    /// Waits for a message.
    pub(crate) fn recv(&mut self) -> WriterMessage {
        loop {
            if let Some(message) = self.poll_control() {
                return message;
            }
            let mut state = self.queue.lock();
            if !self.delay.is_zero() && self.queue.may_delay(&state) {
                state = self.delay_commit(state);
            }
            // Control messages are sent under the lock: none is missed before this thread parks.
            if !self.control.is_empty() {
                continue;
            }
            if let Some(message) = self.queue.take(&mut state) {
                return message;
            }
            state.writer = WriterState::Parked;
            let changed = self.queue.changed.wait_while(state, |state| state.writer == WriterState::Parked);
            drop(changed.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Returns the next control message that can be delivered now. Never waits.
    pub(crate) fn poll_control(&mut self) -> Option<WriterMessage> {
        let completed = self.completed;
        self.take_deferred(|(groups_before, _)| *groups_before <= completed)
    }

    /// Returns the oldest group if there is one now, or the end of the commit lane. Never waits.
    #[cfg(any(test, feature = "unstable-internals", shuttle))]
    pub(crate) fn poll_commits(&self) -> Option<WriterMessage> {
        self.queue.take(&mut self.queue.lock())
    }

    /// Takes the oldest group if it accepts no more appends, has records to write and no condition.
    pub(crate) fn take_full_group(&self) -> Option<Group> {
        self.queue.take_full_group()
    }

    /// Returns the oldest job result that was received. Never waits.
    pub(crate) fn poll_result(&mut self) -> Option<JobResult> {
        match self.take_deferred(|(_, message)| matches!(message, WriterMessage::JobDone(_)))? {
            WriterMessage::JobDone(result) => Some(result),
            _ => None,
        }
    }

    /// Waits for a job result. The caller knows that a job is in flight.
    pub(crate) fn recv_result(&mut self) -> Option<JobResult> {
        loop {
            if let Some(result) = self.poll_result() {
                return Some(result);
            }
            let received = self.control.recv().ok()?;
            self.deferred.push_back(received);
        }
    }

    /// Returns the oldest retention request that was received. Never waits.
    pub(crate) fn poll_retention(&mut self) -> Option<RetentionRequest> {
        match self.take_deferred(|(_, message)| matches!(message, WriterMessage::Retention(_)))? {
            WriterMessage::Retention(request) => Some(request),
            _ => None,
        }
    }

    /// Removes and returns the oldest control message that is `wanted`.
    fn take_deferred(&mut self, wanted: impl Fn(&ControlMessage) -> bool) -> Option<WriterMessage> {
        while let Ok(received) = self.control.try_recv() {
            self.deferred.push_back(received);
        }
        let index = self.deferred.iter().position(wanted)?;
        self.deferred.remove(index).map(|(_, message)| message)
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

    /// Completes a group with one outcome for all its appends: frees its capacity, notifies its callers, and keeps its
    /// buffers for later groups.
    pub(crate) fn complete(&mut self, group: Group, outcome: AppendOutcome) {
        self.complete_by(group, |group| group.complete(outcome));
    }

    /// Completes a group with the outcome of each append, in order.
    pub(crate) fn complete_each(&mut self, group: Group, outcomes: Vec<AppendOutcome>) {
        self.complete_by(group, |group| group.complete_each(outcomes));
    }

    fn complete_by(&mut self, mut group: Group, complete: impl FnOnce(&Group)) {
        self.completed += 1;
        // First: a caller that is notified finds the capacity free.
        drop(group.take_capacity());
        complete(&group);
        let buffers = group.take_buffers();
        let mut state = self.queue.lock();
        if state.spare.len() < RETAINED_BUFFERS {
            state.spare.push(buffers);
        }
    }

    /// Rejects all appends and messages, those that were accepted before and those from now on.
    pub(crate) fn close(&mut self) {
        let groups = self.queue.close();
        // Outside the lock, and one by one: dropping them wakes their callers.
        groups.into_iter().for_each(drop);
        while let Some(message) = self.take_deferred(|_| true) {
            catch_caller_panic(|| drop(message));
        }
        // No thread frees capacity any more, and a writer thread that panicked has not closed the queue.
        self.queue.close_to_appends();
        self.queue.status().watermark.close();
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.close();
    }
}
