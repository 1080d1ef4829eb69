//! Samples the statistics of the store during a workload: at the start of the measurement and after each interval.

use std::{
    fs::File,
    io::{self, BufWriter},
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Instant, SystemTime},
};

use ministore_uring::{MiniStore, MiniStoreError, Stats, stats::HlogWriter};

use super::recorder::Window;
use crate::{exit::CliError, output_file::OutputFile};

/// The statistics of a workload.
#[derive(Debug)]
pub(super) struct StatsSampler {
    /// For the whole measurement.
    pub(super) all: Stats,
    /// Rotations per interval.
    pub(super) rotations: Vec<u64>,
}

/// The interval log of the whole benchmark.
pub(super) struct IntervalLog {
    writer: HlogWriter<BufWriter<File>>,
    output: OutputFile,
    /// The prefix of each tag.
    prefix: String,
    /// A write error does not stop the measurement; it is reported at the end.
    failed: Option<io::Error>,
}

impl IntervalLog {
    pub(super) fn create(path: &Path) -> Result<Self, CliError> {
        let output = OutputFile::create(path)?;
        let writer = output.file().and_then(|file| HlogWriter::new(BufWriter::new(file), SystemTime::now()));
        let writer = writer.map_err(|error| CliError::create(path, &error))?;
        Ok(Self { writer, output, prefix: String::new(), failed: None })
    }

    /// Sets the prefix for the next point.
    pub(super) fn set_prefix(&mut self, prefix: String) {
        self.prefix = prefix;
    }

    fn write(&mut self, interval: &Stats) {
        let Self { writer, prefix, failed, .. } = self;
        if failed.is_some() {
            return;
        }
        let mut lines = interval.histograms().into_iter();
        let written = lines.try_for_each(|(name, histogram)| {
            writer.write_histogram(&format!("{prefix}{name}"), histogram, interval.started, interval.elapsed)
        });
        *failed = written.err();
    }

    pub(super) fn finish(mut self, path: &Path) -> Result<(), CliError> {
        let written = self.failed.map_or_else(|| self.writer.flush(), Err);
        written.map_err(|error| CliError::create(path, &error))?;
        self.output.persist()
    }
}

/// Runs a workload and samples concurrently.
pub(super) fn while_running<T>(
    store: &MiniStore,
    window: Window,
    log: Option<&mut IntervalLog>,
    run: impl FnOnce() -> ministore_uring::Result<T>,
) -> ministore_uring::Result<(T, StatsSampler)> {
    let (done, ended) = channel::<()>();
    thread::scope(|scope| {
        let sampler = scope.spawn(|| observe(store, window, log, ended));
        let result = run();
        drop(done);
        let observed = sampler.join().map_err(|_| MiniStoreError::WriterPanicked);
        Ok((result?, observed?))
    })
}

/// Samples once per interval until the workload ends.
fn observe(
    store: &MiniStore,
    window: Window,
    mut log: Option<&mut IntervalLog>,
    ended: Receiver<()>,
) -> StatsSampler {
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
        // Appends after the last interval belong to it.
        done = if next < window.until { wait_until(next) } else { ended.recv().is_err() };
        let now = store.stats();
        let interval = now.since(&last);
        rotations.push(interval.rotations);
        if let Some(log) = &mut log {
            log.write(&interval);
        }
        last = now;
    }
    StatsSampler { all: last.since(&first), rotations }
}
