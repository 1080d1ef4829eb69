//! Owns `ministore replay --follow`: records as they become durable, until somebody has seen enough.

use std::{io, io::Write, os::fd::OwnedFd, thread};

use ministore_uring::{FollowLines, Line, MiniStore, MiniStoreError, Stopper};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

use crate::{
    exit::{Code, Failure},
    replay::{Args, check_there, write_record},
    signals::Interrupts,
};

/// What was written is flushed whenever there is nothing more at the moment.
pub(crate) fn run(args: &Args, out: &mut impl Write) -> Result<Code, Failure> {
    check_there(&args.journal)?;
    let failed = |error: MiniStoreError| Failure::store(&args.journal, &error);
    // 0 stands for the oldest record that is there.
    let mut lines = MiniStore::follow_lines(&args.journal, args.from.unwrap_or(0)).map_err(failed)?;
    let stopper = lines.stopper();
    let interrupts = Interrupts::listen(move || stopper.stop())?;
    end_with_the_reader(lines.stopper());
    for _ in 0..args.limit.unwrap_or(u64::MAX) {
        let Some(line) = next(&mut lines, out, failed)? else { break };
        write_record(line.seq, line.json, args.with_seq, out).map_err(Failure::output)?;
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
