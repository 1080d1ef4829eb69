//! Owns `ministore ingest`: lines of JSON into a journal, each one durable when it is counted.
//!
//! The input is read, decompressed and cut into blocks of whole lines on one thread ([`blocks`]); the main thread
//! checks the lines ([`feed`]) and hands them over in batches ([`batch`]), which the journal's writer commits beside
//! it. The main thread never reads, so that a signal ends the run even where a read would wait for ever.
//!
//! With `--listen` the lines come from clients instead: [`serve`].

mod args;
mod bad;
pub(crate) mod batch;
mod blocks;
mod feed;
mod finish;
pub(crate) mod input;
pub(crate) mod line;
mod pass_over;
mod progress;
mod serve;
mod sidecar;
mod start;
mod summary;
mod zstd;

use std::{
    sync::{Arc, atomic::AtomicU64},
    thread,
    time::Instant,
};

use crossbeam_channel::{Receiver, Sender, bounded};

pub(crate) use args::Args;

use crate::{
    exit::{Code, Failure},
    signals::Interrupts,
};
use blocks::Event;
use feed::Feed;
use finish::Remains;
use input::Input;
use pass_over::PassOver;
use progress::Progress;
use start::Started;

/// The limit of a record in the journals that are written here. A longer line is a bad line.
pub(crate) const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Blocks read ahead of the journal: enough that a commit finds a full batch behind it, also where a terminal or a
/// writer that flushes every line makes them small.
const BLOCKS_AHEAD: usize = 32;

/// Why a run ended before the end of its input.
#[derive(Debug)]
enum Stop {
    Interrupted(Code),
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

pub(crate) fn run(args: &Args) -> Result<Code, Failure> {
    if args.serve.listen.is_empty() { from_files(args) } else { serve::run(args) }
}

fn from_files(args: &Args) -> Result<Code, Failure> {
    let begun = Instant::now();
    let (sender, events) = bounded(BLOCKS_AHEAD);
    let wake = sender.clone();
    // Where the channel is full, the main thread is not waiting for it and sees the signal by itself.
    let interrupts = Interrupts::listen(move || drop(wake.try_send(Event::Wake)))?;
    let Started { inputs, store, bad, pass_over, sidecar, run } = start::start(args)?;
    let owns_tail = pass_over.as_ref().is_none_or(PassOver::may_append);

    let progress = Progress::new(&inputs);
    read_on_a_thread(inputs, progress.counter(), sender)?;
    let mut feed = Feed::new(&store, bad, pass_over, interrupts);
    let pumped = pump(&events, &mut feed, &progress);
    progress.clear();
    let (fed, settled) = feed.finish();
    let remains = Remains { begun, store, sidecar, run, owns_tail };
    finish::finish(args, remains, fed, pumped, settled)
}

/// The thread is never waited for: it may be in a read that does not end, and it owns nothing that must be saved.
fn read_on_a_thread(
    inputs: Vec<Input>,
    counter: Arc<AtomicU64>,
    events: Sender<Event>,
) -> Result<(), Failure> {
    let read = move || blocks::read(&inputs, &counter, &events);
    match thread::Builder::new().name("input".into()).spawn(read) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::new(Code::Temporary, format_args!("cannot start a thread: {error}"))),
    }
}

/// From the reading thread to the journal, until the input ends or something stops it.
fn pump(events: &Receiver<Event>, feed: &mut Feed<'_>, progress: &Progress) -> Result<(), Stop> {
    loop {
        feed.check_signals()?;
        if events.is_empty() {
            feed.flush()?;
            progress.show(feed.records());
        }
        match events.recv() {
            Ok(Event::End) => return feed.input_ended(),
            Ok(Event::Failed(failure)) => return Err(failure.into()),
            Ok(event) => feed.take(event)?,
            Err(_) => {
                return Err(Failure::new(Code::Internal, "the reading thread ended without an answer").into());
            }
        }
        progress.show(feed.records());
    }
}
