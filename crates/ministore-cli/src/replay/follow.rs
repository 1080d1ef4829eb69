//! `replay --follow`: writes records as they become durable, until it is interrupted or its output is closed.

use std::{io, io::Write, os::fd::OwnedFd, thread};

use ministore_uring::{MiniStoreError, RawFollower, RawRecord, StopHandle};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

use super::{Args, selection::RangeFilter};
use crate::{
    exit::{CliError, ExitStatus},
    reader,
    signals::SignalHandler,
};

/// Follows the journal. Flushes the output whenever no further record is available.
pub(super) fn run(args: &Args, out: &mut impl Write) -> Result<ExitStatus, CliError> {
    let reader = reader::open_existing(&args.journal)?;
    let failed = |error: MiniStoreError| CliError::store(&args.journal, &error);
    let mut selection = RangeFilter::of(args, &reader)?;
    let mut follower = reader.follow_raw(selection.from).map_err(failed)?;
    let stop_handle = follower.stop_handle();
    let signals = SignalHandler::listen(move || stop_handle.stop())?;
    stop_when_output_closes(follower.stop_handle());
    while !selection.is_over()
        && let Some(record) = next(&mut follower, out, failed)?
    {
        selection.write(&record, out)?;
    }
    Ok(signals.received().unwrap_or(ExitStatus::Ok))
}

/// Returns the next record. Flushes the lines before it if it has to wait.
fn next<'a>(
    follower: &'a mut RawFollower,
    out: &mut impl Write,
    failed: impl Fn(MiniStoreError) -> CliError,
) -> Result<Option<RawRecord<'a>>, CliError> {
    if !follower.is_ready().map_err(&failed)? {
        out.flush().map_err(CliError::output)?;
    }
    follower.next_record().map_err(failed)
}

/// Stops the follower when the output is closed, without waiting for the next record.
fn stop_when_output_closes(stop_handle: StopHandle) {
    let Ok(out) = rustix::io::dup(io::stdout()) else { return };
    let watch = move || {
        if wait_for_hangup(&out) {
            stop_handle.stop();
        }
    };
    // Without the thread, a closed output is noticed at the next record.
    let _ = thread::Builder::new().name("ministore-out".into()).spawn(watch);
}

/// Waits until the other end of the output is closed. Returns `false` if that cannot be observed.
fn wait_for_hangup(out: &OwnedFd) -> bool {
    loop {
        let mut fds = [PollFd::new(out, PollFlags::empty())];
        match poll(&mut fds, None) {
            Ok(_) => return fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP),
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}
