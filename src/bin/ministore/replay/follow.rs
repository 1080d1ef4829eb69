//! Owns `ministore replay --follow`: records as they become durable, until somebody has seen enough.

use std::{io, io::Write, os::fd::OwnedFd, thread};

use ministore_uring::{FollowLines, Line, MiniStore, MiniStoreError, Stopper};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

use super::{
    Args, check_there,
    selection::{Selection, Wanted},
};
use crate::{
    exit::{Code, Failure},
    signals::Interrupts,
};

/// What was written is flushed whenever there is nothing more at the moment.
pub(super) fn run(args: &Args, out: &mut impl Write) -> Result<Code, Failure> {
    check_there(&args.journal)?;
    let failed = |error: MiniStoreError| Failure::store(&args.journal, &error);
    let mut selection = Selection::of(args, true)?;
    let mut lines = MiniStore::follow_lines(&args.journal, selection.from).map_err(failed)?;
    let stopper = lines.stopper();
    let interrupts = Interrupts::listen(move || stopper.stop())?;
    end_with_the_reader(lines.stopper());
    while selection.wanted() == Wanted::More
        && let Some(line) = next(&mut lines, out, failed)?
    {
        if selection.take(&line, out).map_err(|taken| taken.failure(args))? == Wanted::Enough {
            break;
        }
    }
    Ok(interrupts.raised().unwrap_or(Code::Ok))
}

/// The next line. Where it is to be waited for, the lines before it are shown first.
fn next<'a>(
    lines: &'a mut FollowLines,
    out: &mut impl Write,
    failed: impl Fn(MiniStoreError) -> Failure,
) -> Result<Option<Line<'a>>, Failure> {
    if !lines.is_ready().map_err(&failed)? {
        out.flush().map_err(Failure::output)?;
    }
    lines.next_line().map_err(failed)
}

/// A reader that goes while there is nothing to be written would not be missed before the next record.
fn end_with_the_reader(stopper: Stopper) {
    let Ok(out) = rustix::io::dup(io::stdout()) else { return };
    let watch = move || {
        if wait_for_hang_up(&out) {
            stopper.stop();
        }
    };
    // Without the thread the next record notices.
    let _ = thread::Builder::new().name("output".into()).spawn(watch);
}

/// Waits until nobody reads any more what is written here. `false` where that cannot be known.
fn wait_for_hang_up(out: &OwnedFd) -> bool {
    loop {
        let mut fds = [PollFd::new(out, PollFlags::empty())];
        match poll(&mut fds, None) {
            Ok(_) => return fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP),
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}
