//! The fixed limits of the service, and its limit of open files.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::exit::warn;

/// The size of a read from a client, which is also the size of the batches of a fast client.
pub(super) const CHUNK_BYTES: usize = 16 * 1024;

/// The maximum number of batches of a client in flight, and bad lines between them.
pub(super) const MAX_PIPELINED_BATCHES: usize = 8;

/// The size of the response buffer of a client.
pub(super) const RESPONSE_BUFFER_BYTES: usize = 8 * 1024;

/// The memory for all lines longer than a chunk, or more if a few of the longest need it.
pub(super) const LONG_LINES_BYTES: usize = 64 * 1024 * 1024;

/// The time in which a client must authenticate.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// After the first signal, arrived data is read for at most this long, or until nothing arrives for the idle timeout.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
pub(super) const DRAIN_IDLE_TIMEOUT: Duration = Duration::from_millis(100);

/// A connection that the service closes is read for this long, so that the last response is not lost.
pub(super) const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// At most this many rejected clients are read at a time, for the same reason.
pub(super) const MAX_LINGERING_REJECTS: usize = 64;

/// A TCP client that has been silent for this long is asked whether it still exists, and again at the interval. After this many
/// unanswered probes it is disconnected, so that clients of dead machines do not occupy connections.
pub(super) const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
pub(super) const KEEPALIVE_PROBES: u32 = 4;

/// Open files other than connections: segments, listeners, metrics clients.
const OTHER_FILES: u64 = 128;

/// Raises the limit of open files as far as the clients need and the system allows.
pub(super) fn raise_open_files(clients: u32) {
    let required = u64::from(clients) + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    let (Some(soft), hard) = (limit.current, limit.maximum) else { return };
    if soft >= required {
        return;
    }
    let raised = hard.map_or(required, |hard| hard.min(required)).max(soft);
    let set = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: hard });
    if set.is_err() || raised < required {
        warn(format_args!("{clients} clients need {required} open files; the limit is {raised}"));
    }
}
