//! The queue between the callers and the writer thread.
//!
//! Callers add appends to the newest [`Group`] under a short lock. The writer thread takes the oldest group from its
//! [`Mailbox`], commits it, and completes it with one [`AppendOutcome`] for all its appends. The queue never waits for a
//! disk, and never runs code of callers under its lock. All other [`WriterMessage`]s to the writer thread come through the same
//! mailbox.
//!
//! The queue's capacity is counted in bytes under the same lock. An append that does not fit, or that arrives while
//! others wait, is added to the end of the waiting list, together with its bytes. The thread that frees capacity moves
//! waiting appends into the queue, first come, first served: no append depends on a future being polled.
//!
//! Invariant, except while a thread is in `CommitQueue::accept_waiting`: the first waiting append does not fit. So as
//! long as one waits, the queue or the writer thread has a group whose completion frees capacity.

mod capacity;
mod commit_queue;
mod completion;
mod enqueue;
mod group;
mod handle;
mod mailbox;
mod message;
mod queue_state;
mod queued_append;
#[cfg(test)]
mod tests;
mod waiting_list;

pub(crate) use self::{
    commit_queue::CommitQueue,
    completion::{AppendOutcome, Callback, CommitInfo, PendingCommit, append_result},
    enqueue::Appended,
    group::Group,
    handle::WriterHandle,
    mailbox::Mailbox,
    message::{Disconnected, ReplySender, WriterMessage},
    queued_append::{Payload, QueuedAppend},
};
