//! Forks while readers are open.

use std::{iter, path::Path, process};

use ministore_crash::fork::ForkedChild;
use ministore_uring::{FollowStream, JournalOptions, JournalStream, MiniStore, RawFollower, Reader, Result};
use serde::de::IgnoredAny;

use super::{FORKS, assert_forked, large};

/// Records in the journal: more than the reader threads read ahead.
const RECORDS: usize = 300;

/// Readers that depend on the parent's read-ahead threads, and followers whose descriptors the child shares.
pub(super) fn reading(options: JournalOptions, path: &Path) {
    let parent = process::id();
    let store = options.max_segment_bytes(1 << 30).open_blocking(path).expect("it opens");
    store.blocking().append_batch(vec![large(); RECORDS]).expect("it is appended");
    store.blocking().close().expect("it can be closed");
    for round in 0..FORKS {
        let mut readers = Some(OpenReaders::start(path));
        let before = event_counts();
        let child = ForkedChild::new(|| {
            let mut readers = readers.take().expect("once");
            if round % 2 == 0 {
                readers.assert_end_in_child(parent);
            }
            readers.lines.stop_handle().stop();
            drop(readers);
        });
        child.join();
        assert_eq!(event_counts(), before, "the child has stopped the parent's follower");
        readers.expect("the child took its own copy").assert_continue_in_parent();
    }
}

struct OpenReaders {
    stream: JournalStream<IgnoredAny>,
    follow: FollowStream<IgnoredAny>,
    lines: RawFollower,
}

impl OpenReaders {
    /// Opens the readers and reads one record with each.
    fn start(path: &Path) -> Self {
        let mut stream = pollster::block_on(MiniStore::stream(path)).expect("it can be read");
        let mut follow = Reader::open(path).expect("it can be opened").follow_stream(1);
        let mut lines = Reader::open(path)
            .expect("it can be opened")
            .follow_raw(RECORDS as u64)
            .expect("it can be followed");
        pollster::block_on(stream.next()).expect("a record").expect("it can be read");
        pollster::block_on(follow.next()).expect("a record").expect("it can be read");
        lines.next_record().expect("it can be read").expect("a record");
        Self { stream, follow, lines }
    }

    /// Checks that each reader returns the `Forked` error once, and then nothing more.
    fn assert_end_in_child(&mut self, parent: u32) {
        let error = iter::from_fn(|| pollster::block_on(self.stream.next())).find(Result::is_err);
        assert_forked(error.expect("the stream ends without an error"), parent);
        assert!(pollster::block_on(self.stream.next()).is_none());
        let error = iter::from_fn(|| pollster::block_on(self.follow.next())).find(Result::is_err);
        assert_forked(error.expect("the follower ends without an error"), parent);
        assert!(pollster::block_on(self.follow.next()).is_none());
        assert_forked(self.lines.next_record(), parent);
        assert!(matches!(self.lines.next_record(), Ok(None)));
    }

    /// Checks that each reader returns the remaining records.
    fn assert_continue_in_parent(&mut self) {
        for _ in 1..RECORDS {
            pollster::block_on(self.stream.next()).expect("a record").expect("it can be read");
            pollster::block_on(self.follow.next()).expect("a record").expect("it can be read");
        }
        assert!(pollster::block_on(self.stream.next()).is_none());
        assert!(!self.lines.is_ready().expect("it can be followed"));
    }
}

/// Returns the unread counts of the event descriptors of this process.
fn event_counts() -> Vec<String> {
    let fds = std::fs::read_dir("/proc/self/fdinfo").expect("it can be listed");
    let infos = fds.filter_map(|fd| std::fs::read_to_string(fd.ok()?.path()).ok());
    let mut counts: Vec<_> = infos
        .filter_map(|info| Some(info.split_once("eventfd-count:")?.1.lines().next()?.to_owned()))
        .collect();
    counts.sort();
    counts
}
