//! A thread that reads ahead for an async reader: files are never read on a runtime's thread, and at most a few
//! blocks wait in memory.

use std::task::{Context, Poll};

use super::cursor::{Blocks, Cursor};
use crate::{
    Result,
    planted::{Bug, planted},
    sync::{mpsc, thread},
};

/// Blocks read ahead.
const BLOCKS_AHEAD: usize = 4;

/// The receiving end. Dropping it ends the thread.
#[derive(Debug)]
pub(super) struct Pump {
    messages: mpsc::Receiver<Result<Message>>,
}

#[derive(Debug)]
enum Message {
    /// The journal is open.
    Opened,
    Block(Cursor),
}

impl Pump {
    /// Reads what `open` opens.
    pub(super) fn start<B: Blocks>(open: impl FnOnce() -> Result<B> + Send + 'static) -> Result<Self> {
        let (sender, messages) = mpsc::channel(BLOCKS_AHEAD);
        thread::Builder::new().name("ministore-reader".into()).spawn(move || {
            let send = |message| sender.blocking_send(message).is_ok();
            let mut feed = match open() {
                Ok(feed) => feed,
                Err(error) => {
                    send(Err(error));
                    return;
                }
            };
            if !send(Ok(Message::Opened)) {
                return;
            }
            loop {
                let mut cursor = Cursor::default();
                let message = match cursor.refill(&mut feed) {
                    Ok(true) => Ok(Message::Block(cursor)),
                    Ok(false) => return,
                    Err(_) if planted(Bug::EndsInsteadOfFailing) => return,
                    Err(error) => Err(error),
                };
                let ended = message.is_err();
                if !send(message) || ended {
                    return;
                }
            }
        })?;
        Ok(Self { messages })
    }

    /// Waits until the journal is open.
    pub(super) async fn opened(&mut self) -> Result<()> {
        match self.messages.recv().await {
            Some(Err(error)) => Err(error),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// The next block; `None` at the end.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Cursor>>> {
        loop {
            match self.messages.poll_recv(context) {
                Poll::Ready(Some(Ok(Message::Opened))) => {}
                Poll::Ready(Some(Ok(Message::Block(cursor)))) => return Poll::Ready(Some(Ok(cursor))),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
