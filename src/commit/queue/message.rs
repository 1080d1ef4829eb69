//! The messages to the writer thread.

use super::group::Group;
use crate::{
    Result,
    background::{job::JobResult, requests::RetentionRequest},
    sync::oneshot,
};

/// Replies to the caller of a rotation or of a close.
pub(crate) type ReplySender = oneshot::Sender<Result<()>>;

/// A message to the writer thread. Groups come through the commit lane of its mailbox, everything else through the
/// control lane.
#[derive(Debug)]
pub(crate) enum WriterMessage {
    Commit(Group),
    Rotate(ReplySender),
    /// Closes the journal. Without a sender, every handle was dropped: the commit lane has ended.
    Close(Option<ReplySender>),
    Retention(RetentionRequest),
    JobDone(JobResult),
}

/// The error of a queue that accepts no more messages.
#[derive(Debug)]
pub(crate) struct Disconnected;
