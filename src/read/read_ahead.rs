//! A thread that reads ahead for an async reader: files are never read on a runtime's thread, and at most a few
//! blocks wait in memory.

use std::{
    future::poll_fn,
    mem,
    path::PathBuf,
    task::{Context, Poll, ready},
};

use super::block_cursor::{BlockCursor, BlockSource};
use crate::{
    MiniStoreError, Result,
    journal::fork::ForkGuard,
    seeded_bugs::{Bug, seeded},
    sync::{mpsc, thread},
};

/// Blocks read ahead.
const READ_AHEAD_BLOCKS: usize = 4;

/// The receiving end. Dropping it ends the thread, save in a fork of the process that started it.
#[derive(Debug)]
pub(super) struct ReadAhead {
    /// `None` once a fork has let go of them.
    messages: Option<mpsc::Receiver<Result<Message>>>,
    path: PathBuf,
    process: ForkGuard,
}

#[derive(Debug)]
enum Message {
    /// The journal is open.
    Opened,
    Block(BlockCursor),
}

impl ReadAhead {
    /// Reads what `open` opens, of the journal at `path`.
    pub(super) fn start<B: BlockSource>(
        path: PathBuf,
        open: impl FnOnce() -> Result<B> + Send + 'static,
    ) -> Result<Self> {
        let process = ForkGuard::current()?;
        let (sender, messages) = mpsc::channel(READ_AHEAD_BLOCKS);
        thread::Builder::new().name("ministore-reader".into()).spawn(move || {
            let send = |message| sender.blocking_send(message).is_ok();
            let mut journal_reader = match open() {
                Ok(journal_reader) => journal_reader,
                Err(error) => {
                    send(Err(error));
                    return;
                }
            };
            if !send(Ok(Message::Opened)) {
                return;
            }
            loop {
                let mut block_cursor = BlockCursor::default();
                let message = match block_cursor.next_block(&mut journal_reader) {
                    Ok(true) => Ok(Message::Block(block_cursor)),
                    Ok(false) => return,
                    Err(_) if seeded(Bug::ReadErrorAsEnd) => return,
                    Err(error) => Err(error),
                };
                let ended = message.is_err();
                if !send(message) || ended {
                    return;
                }
            }
        })?;
        Ok(Self { messages: Some(messages), path, process })
    }

    /// Waits until the journal is open.
    pub(super) async fn opened(&mut self) -> Result<()> {
        match poll_fn(|context| self.poll_message(context)).await {
            Some(Err(error)) => Err(error),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// The next block; `None` at the end.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<BlockCursor>>> {
        loop {
            match ready!(self.poll_message(context)) {
                Some(Ok(Message::Opened)) => {}
                Some(Ok(Message::Block(block_cursor))) => return Poll::Ready(Some(Ok(block_cursor))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    /// What the thread sends; in a fork the error that says so, once.
    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Message>>> {
        if self.messages.is_some() && self.abandon_in_fork() {
            let (path, pid) = (self.path.clone(), self.process.id);
            return Poll::Ready(Some(Err(MiniStoreError::Forked { path, pid })));
        }
        self.messages.as_mut().map_or(Poll::Ready(None), |messages| messages.poll_recv(context))
    }

    /// Whether this is a fork. The thread is that of another process: it would never wake anybody here, and whatever it had
    /// locked at that moment stays locked. So the channel is not touched, not even to close it.
    fn abandon_in_fork(&mut self) -> bool {
        let in_forked_child = self.process.in_forked_child();
        if in_forked_child {
            mem::forget(self.messages.take());
        }
        in_forked_child
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.abandon_in_fork();
    }
}
