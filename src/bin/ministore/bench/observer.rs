//! Owns the readings of the store's statistics beside a load: one at the start of what counts, and one an interval from
//! there on.

use std::{
    fs::File,
    io::{self, BufWriter},
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Instant, SystemTime},
};

use ministore_uring::{MiniStore, MiniStoreError, Result, Stats, stats::HlogWriter};

use super::recorder::Window;

/// What was counted while a load ran.
#[derive(Debug)]
pub(super) struct Observed {
    /// From the start of what counts to its end.
    pub(super) all: Stats,
    /// Segments archived, interval by interval.
    pub(super) rotations: Vec<u64>,
}

/// An interval log of the whole benchmark, whose stores follow each other.
pub(super) struct Log {
    writer: HlogWriter<BufWriter<File>>,
    /// Stands before each tag.
    prefix: String,
    /// A log that cannot be written does not stop the measurement.
    failed: Option<io::Error>,
}

impl Log {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let out = BufWriter::new(File::create(path)?);
        let writer = HlogWriter::new(out, SystemTime::now())?;
        Ok(Self { writer, prefix: String::new(), failed: None })
    }

    /// What is written from here on belongs to that point.
    pub(super) fn turn_to(&mut self, prefix: String) {
        self.prefix = prefix;
    }

    fn write(&mut self, interval: &Stats) {
        let Self { writer, prefix, failed } = self;
        if failed.is_some() {
            return;
        }
        let mut lines = interval.histograms().into_iter();
        let written = lines.try_for_each(|(name, histogram)| {
            writer.write_histogram(&format!("{prefix}{name}"), histogram, interval.started, interval.elapsed)
        });
        *failed = written.err();
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        match self.failed {
            Some(error) => Err(error),
            None => self.writer.flush(),
        }
    }
}

/// Runs a load, and looks on.
pub(super) fn while_running<T>(
    store: &MiniStore,
    window: Window,
    log: Option<&mut Log>,
    run: impl FnOnce() -> Result<T>,
) -> Result<(T, Observed)> {
    let (done, ended) = channel::<()>();
    thread::scope(|scope| {
        let looking = scope.spawn(|| observe(store, window, log, ended));
        let ran = run();
        drop(done);
        let observed = looking.join().map_err(|_| MiniStoreError::WriterGone);
        Ok((ran?, observed?))
    })
}

/// An interval after the other, until nobody can say any more that it is done.
fn observe(store: &MiniStore, window: Window, mut log: Option<&mut Log>, ended: Receiver<()>) -> Observed {
    let mut next = window.from;
    let wait_until = |moment: Instant| {
        let wait = moment.saturating_duration_since(Instant::now());
        ended.recv_timeout(wait) != Err(RecvTimeoutError::Timeout)
    };
    let mut done = wait_until(next);
    let first = store.stats();
    let mut last = first.clone();
    let mut rotations = Vec::new();
    while !done {
        next += window.interval;
        // What ends behind the last interval belongs to it.
        done = if next < window.until { wait_until(next) } else { ended.recv().is_err() };
        let now = store.stats();
        let interval = now.since(&last);
        rotations.push(interval.rotations);
        if let Some(log) = &mut log {
            log.write(&interval);
        }
        last = now;
    }
    Observed { all: last.since(&first), rotations }
}
