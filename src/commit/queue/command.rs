//! The messages that the queue carries to the writer thread.

use super::group::Group;
use crate::sync::oneshot;

/// A command to the writer thread.
#[derive(Debug)]
pub(crate) enum Command {
    Commit(Group),
    Rotate(oneshot::Sender<crate::Result<()>>),
    Close(oneshot::Sender<crate::Result<()>>),
}

/// What the writer thread receives from the queue.
#[derive(Debug)]
pub(crate) enum Recv {
    Command(Command),
    /// [`CommitQueue::wake_writer`](super::CommitQueue::wake_writer) was called.
    Wakeup,
    /// Every handle was dropped, and the queue is empty.
    Disconnected,
}

/// The error of a queue that accepts no more commands.
#[derive(Debug)]
pub(crate) struct Disconnected;
