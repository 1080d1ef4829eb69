//! Crossbeam's unbounded channel, with blocking that the model checker sees.

use std::fmt;

use crossbeam_channel::{RecvError, SendError, TryRecvError};

use super::{Notifier, process_wide, switch};

process_wide! {
    CHANNEL_CHANGED: Notifier;
}

pub(crate) struct ChannelSender<T>(Option<crossbeam_channel::Sender<T>>);

pub(crate) struct ChannelReceiver<T>(crossbeam_channel::Receiver<T>);

pub(crate) fn unbounded<T>() -> (ChannelSender<T>, ChannelReceiver<T>) {
    let (sender, receiver) = crossbeam_channel::unbounded();
    (ChannelSender(Some(sender)), ChannelReceiver(receiver))
}

impl<T> ChannelSender<T> {
    pub(crate) fn send(&self, message: T) -> Result<(), SendError<T>> {
        switch();
        match &self.0 {
            Some(sender) => sender.send(message)?,
            None => return Err(SendError(message)),
        }
        CHANNEL_CHANGED.notify();
        Ok(())
    }
}

impl<T> Clone for ChannelSender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for ChannelSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl<T> fmt::Debug for ChannelReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}

impl<T> Drop for ChannelSender<T> {
    fn drop(&mut self) {
        switch();
        self.0 = None;
        CHANNEL_CHANGED.notify();
    }
}

impl<T> ChannelReceiver<T> {
    pub(crate) fn recv(&self) -> Result<T, RecvError> {
        CHANNEL_CHANGED.wait_for(|| self.attempt())
    }

    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        switch();
        self.0.try_recv()
    }

    pub(crate) fn is_empty(&self) -> bool {
        switch();
        self.0.is_empty()
    }

    fn attempt(&self) -> Option<Result<T, RecvError>> {
        match self.try_recv() {
            Ok(message) => Some(Ok(message)),
            Err(TryRecvError::Disconnected) => Some(Err(RecvError)),
            Err(TryRecvError::Empty) => None,
        }
    }
}

impl<T> IntoIterator for ChannelReceiver<T> {
    type Item = T;
    type IntoIter = Messages<T>;

    fn into_iter(self) -> Messages<T> {
        Messages(self)
    }
}

pub(crate) struct Messages<T>(ChannelReceiver<T>);

impl<T> Iterator for Messages<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}
