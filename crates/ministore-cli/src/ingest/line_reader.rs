//! The reading thread: reads the inputs in order and splits them into blocks of complete lines.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crossbeam_channel::Sender;

use super::LINE_BYTES_MAX;
use crate::{
    exit::CliError,
    input::Input,
    lines::{LineBlock, LineReader},
};

/// An event that the reading thread sends to the main thread.
#[derive(Debug)]
pub(super) enum InputEvent {
    /// The following lines are those of this input.
    Opened(Input),
    Block(LineBlock),
    /// Reading failed; nothing follows.
    Failed(CliError),
    /// Everything was read.
    End,
    /// Sent by another thread: the main thread must check for signals.
    Wake,
}

enum ReadError {
    /// The main thread has dropped the receiver.
    Disconnected,
    Failed(io::Error),
}

/// Reads every input to its end. Returns early if the receiver was dropped.
pub(super) fn read(inputs: &[Input], counter: &Arc<AtomicU64>, events: &Sender<InputEvent>) {
    for input in inputs {
        match read_one(input, counter, events) {
            Ok(()) => {}
            Err(ReadError::Disconnected) => return,
            Err(ReadError::Failed(error)) => {
                drop(events.send(InputEvent::Failed(input.failure(&error))));
                return;
            }
        }
    }
    drop(events.send(InputEvent::End));
}

fn read_one(input: &Input, counter: &Arc<AtomicU64>, events: &Sender<InputEvent>) -> Result<(), ReadError> {
    let counter = Arc::clone(counter);
    let count = move |bytes| {
        counter.fetch_add(bytes, Ordering::Relaxed);
    };
    let send = |event| events.send(event).map_err(|_| ReadError::Disconnected);
    let source = input.open(count).map_err(ReadError::Failed)?;
    send(InputEvent::Opened(input.clone()))?;
    let mut lines = LineReader::new(source, LINE_BYTES_MAX);
    while let Some(block) = lines.next_block().map_err(ReadError::Failed)? {
        send(InputEvent::Block(block))?;
    }
    Ok(())
}
