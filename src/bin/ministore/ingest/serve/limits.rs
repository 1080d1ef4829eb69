//! Owns the limits of the service that are not on its command line, and how many files it may open.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::exit::warn;

/// Read from a client at a time, and so the size of the batches that a fast one makes.
pub(super) const CHUNK_BYTES: usize = 16 * 1024;

/// Batches of one client that are on their way, and bad lines between them.
pub(super) const ANSWERS_AHEAD: usize = 8;

/// Answers are gathered up to this size.
pub(super) const ANSWER_BYTES: usize = 8 * 1024;

/// All lines that do not fit in a chunk take their memory from this much, or from what a few of the longest need.
pub(super) const LONG_LINES_BYTES: usize = 64 * 1024 * 1024;

/// A client that must name a token has so long for it.
pub(super) const HELLO_TIME: Duration = Duration::from_secs(10);

/// After the first signal: what has arrived is still read, until nothing more comes for a moment, or for so long.
pub(super) const DRAIN_TIME: Duration = Duration::from_secs(1);
pub(super) const DRAIN_QUIET: Duration = Duration::from_millis(100);

/// A connection that the service closes is read from for so long, so that the last answer is not lost on its way.
pub(super) const LINGER_TIME: Duration = Duration::from_secs(1);

/// Refused clients that are read from at a time, for the same reason.
pub(super) const REFUSED_LINGERING: usize = 64;

/// Files beside the connections: segments, listeners, readers of metrics.
const OTHER_FILES: u64 = 128;

/// As many files as the clients need, as far as the system allows it.
pub(super) fn raise_open_files(clients: u32) {
    let wanted = u64::from(clients) + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    let (Some(soft), hard) = (limit.current, limit.maximum) else { return };
    if soft >= wanted {
        return;
    }
    let raised = hard.map_or(wanted, |hard| hard.min(wanted)).max(soft);
    let set = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: hard });
    if set.is_err() || raised < wanted {
        warn(format_args!("{clients} clients need {wanted} open files, and {raised} are allowed"));
    }
}
