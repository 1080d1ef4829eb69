//! `ministore ingest`: appends JSON lines from files or standard input; every counted record is durable.
//!
//! One thread reads, decompresses and splits the input into blocks of complete lines ([`line_reader`]). The main thread checks
//! the lines ([`pipeline`]) and appends them in batches ([`batch`]), which the writer thread commits concurrently. The main thread
//! never reads, so that a signal ends the run even if a read blocks.

mod args;
pub(crate) mod bad_lines;
pub(crate) mod batch;
mod checkpoint;
mod duplicates;
mod finish;

pub(crate) mod line;
mod line_reader;
pub(crate) mod pipeline;
mod progress;
mod resume_check;
pub(crate) mod start;
pub(crate) mod summary;

use std::{
    sync::{Arc, atomic::AtomicU64},
    thread,
    time::Instant,
};

use crossbeam_channel::{Receiver, Sender, bounded};

pub(crate) use args::Args;

use crate::{
    exit::{CliError, ExitStatus, warn},
    input::Input,
    signals::SignalHandler,
};
use line_reader::InputEvent;
use pipeline::Pipeline;
use progress::InputProgress;
use start::IngestRun;

/// The limit of a record in the journals that are written here. A longer line is a bad line.
pub(crate) const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The number of blocks that are read ahead: enough for a full batch after each commit, even if the blocks are small.
const BLOCKS_AHEAD: usize = 32;

/// Why a run stopped before the end of its input.
#[derive(Debug)]
pub(crate) enum StopReason {
    Interrupted(ExitStatus),
    Failed(CliError),
}

impl From<CliError> for StopReason {
    fn from(failure: CliError) -> Self {
        Self::Failed(failure)
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitStatus, CliError> {
    let started = Instant::now();
    let (sender, events) = bounded(BLOCKS_AHEAD);
    let wake = sender.clone();
    // If the channel is full, the main thread is not waiting for it and checks for signals anyway.
    let signals = SignalHandler::listen(move || drop(wake.try_send(InputEvent::Wake)))?;
    let IngestRun { inputs, store, bad, resume_check, checkpoint } = start::start(args)?;

    inputs.iter().for_each(Input::announce_terminal);
    let progress = InputProgress::new(&inputs);
    spawn_reader(inputs, progress.counter(), sender)?;
    let mut pipeline = Pipeline::new(&store, bad, resume_check, signals);
    let processed = process_events(&events, &mut pipeline, &progress);
    progress.clear();
    let (totals, warnings, flushed) = pipeline.finish();
    warnings.iter().for_each(warn);
    finish::finish(args, started, &store, checkpoint, totals, processed, flushed)
}

/// Starts the reading thread. It is never joined: it may be blocked in a read, and it owns nothing that must be kept.
fn spawn_reader(
    inputs: Vec<Input>,
    counter: Arc<AtomicU64>,
    events: Sender<InputEvent>,
) -> Result<(), CliError> {
    let read = move || line_reader::read(&inputs, &counter, &events);
    let started = thread::Builder::new().name("ministore-input".into()).spawn(read);
    started
        .map(drop)
        .map_err(|error| CliError::new(ExitStatus::Temporary, format_args!("cannot start a thread: {error}")))
}

/// Processes events of the reading thread until the input ends or something stops the run.
fn process_events(
    events: &Receiver<InputEvent>,
    pipeline: &mut Pipeline<'_>,
    progress: &InputProgress,
) -> Result<(), StopReason> {
    loop {
        pipeline.check_signals()?;
        if events.is_empty() {
            pipeline.flush()?;
            progress.show(pipeline.records());
        }
        match events.recv() {
            Ok(InputEvent::End) => return pipeline.input_ended(),
            Ok(InputEvent::Failed(failure)) => return Err(failure.into()),
            Ok(event) => {
                let processed = pipeline.process(event);
                let warnings = pipeline.take_warnings();
                if !warnings.is_empty() {
                    progress.suspend(|| warnings.iter().for_each(warn));
                }
                processed?;
            }
            Err(_) => {
                return Err(CliError::new(ExitStatus::Internal, "the reading thread panicked").into());
            }
        }
        progress.show(pipeline.records());
    }
}
