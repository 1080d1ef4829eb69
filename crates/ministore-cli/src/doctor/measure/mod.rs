//! Measures durable writes with every method that the machine supports. The methods alternate, so that other load on the
//! machine affects all of them.

mod block;
mod file;
mod store;

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use ministore_uring::Backend;

use crate::signals::SignalHandler;
use file::{FileLayout, FileMethod, SyncMethod};
use store::StoreMethod;

/// A page, and a group of several hundred records.
pub(super) const SIZES: [usize; 2] = [4 << 10, 64 << 10];

/// The number of measurements of each method with each size.
const ROUNDS: u32 = 3;

/// With fewer writes two methods cannot be compared.
const WRITES_MIN: u64 = 30;

/// Longer writes are recorded with this latency.
const NANOS_MAX: u64 = 600_000_000_000;

/// The baseline: nothing is sent to the device.
pub(super) const UNSYNCED: &str = "write in place, not synced";

/// The same with direct I/O: the data is in the device, perhaps in its cache.
pub(super) const DIRECT: &str = "O_DIRECT in place, not synced";

pub(super) const SYNCED: &str = "write in place, fdatasync";
pub(super) const GROWING: &str = "append, fdatasync";
pub(super) const DIRECT_SYNCED: &str = "O_DIRECT|O_DSYNC in place";
pub(super) const STORE_URING: &str = "a journal, io_uring";
pub(super) const STORE_TOKIO_URING: &str = "a journal, tokio-uring";
pub(super) const STORE_BLOCKING: &str = "a journal, blocking calls";

/// A method of writing.
trait WriteMethod: std::fmt::Debug {
    /// Prepares a write of this size. Not measured.
    fn ready(&mut self, bytes: usize) -> io::Result<()>;
    /// Returns when the write is as durable as the method makes it.
    fn write(&mut self, bytes: usize) -> io::Result<()>;
    /// Closes its files before they are removed.
    fn end(self: Box<Self>) -> io::Result<()>;
}

/// The figures of one method with one size.
#[derive(Debug)]
pub(super) struct Measurement {
    pub(super) method: &'static str,
    /// Whether the writes are durable.
    pub(super) durable: bool,
    pub(super) bytes: usize,
    /// In nanoseconds.
    pub(super) latency: Histogram<u64>,
    /// The total time.
    pub(super) took: Duration,
    /// Why it ended early or did not start.
    pub(super) error: Option<String>,
}

impl Measurement {
    /// The median, in nanoseconds.
    pub(super) fn median(&self) -> Option<u64> {
        self.at(0.5)
    }

    fn at(&self, quantile: f64) -> Option<u64> {
        (!self.latency.is_empty()).then(|| self.latency.value_at_quantile(quantile))
    }
}

/// Returns the median of a method with the smaller size.
pub(super) fn median(measured: &[Measurement], method: &str) -> Option<u64> {
    small(measured, method)?.median()
}

/// Returns the 10th percentile of a method with the smaller size; `None` after too few writes.
pub(super) fn undisturbed(measured: &[Measurement], method: &str) -> Option<u64> {
    small(measured, method).filter(|one| one.latency.len() >= WRITES_MIN)?.at(0.1)
}

fn small<'a>(measured: &'a [Measurement], method: &str) -> Option<&'a Measurement> {
    measured.iter().find(|one| one.method == method && one.bytes == SIZES[0])
}

/// The name of a method, whether it is durable, and the method.
type NamedMethod = (&'static str, bool, io::Result<Box<dyn WriteMethod>>);

fn methods(directory: &Path) -> Vec<NamedMethod> {
    let file = |name: &'static str, layout, sync| -> NamedMethod {
        let path = directory.join(name.replace([' ', ',', '|'], "-"));
        let is_durable = !matches!(sync, SyncMethod::Never | SyncMethod::DirectOnly);
        (name, is_durable, FileMethod::create(&path, layout, sync).map(|method| Box::new(method) as _))
    };
    let store = |name, backend| -> NamedMethod {
        let path = directory.join(name).join("journal.jsonl");
        (name, true, StoreMethod::open(&path, backend).map(|method| Box::new(method) as _))
    };
    vec![
        file(UNSYNCED, FileLayout::Written, SyncMethod::Never),
        file(GROWING, FileLayout::Growing, SyncMethod::Data),
        file("append, fsync", FileLayout::Growing, SyncMethod::All),
        file("allocated, fdatasync", FileLayout::Allocated, SyncMethod::Data),
        file(SYNCED, FileLayout::Written, SyncMethod::Data),
        file("O_DSYNC in place", FileLayout::Written, SyncMethod::Dsync),
        file(DIRECT, FileLayout::Written, SyncMethod::DirectOnly),
        file(DIRECT_SYNCED, FileLayout::Written, SyncMethod::Direct),
        store(STORE_BLOCKING, Backend::Blocking),
        store(STORE_URING, Backend::Uring),
        store(STORE_TOKIO_URING, Backend::TokioUring),
    ]
}

/// Runs every method for its share of the time. A signal ends it early, with the figures so far.
pub(super) fn measure(
    directory: &Path,
    time: Duration,
    signals: &SignalHandler,
) -> io::Result<Vec<Measurement>> {
    let mut running = Vec::new();
    let mut measured = Vec::new();
    for (method, durable, made) in methods(directory) {
        let error = made.as_ref().err().map(error_text);
        for bytes in SIZES {
            let latency = Histogram::new_with_bounds(1, NANOS_MAX, 3).map_err(io::Error::other)?;
            let (took, error) = (Duration::ZERO, error.clone());
            measured.push(Measurement { method, durable, bytes, latency, took, error });
        }
        running.push(made.ok());
    }
    let turns = ROUNDS.saturating_mul(u32::try_from(measured.len()).unwrap_or(u32::MAX));
    let turn = time / turns.max(1);
    for _ in 0..ROUNDS {
        for (method, figures) in running.iter_mut().zip(measured.chunks_mut(SIZES.len())) {
            let Some(method) = method else { continue };
            for one in figures.iter_mut().filter(|one| one.error.is_none()) {
                let result = run_turn(method.as_mut(), one, turn, signals);
                one.error = result.as_ref().err().map(error_text);
            }
        }
    }
    for (method, figures) in running.into_iter().zip(measured.chunks_mut(SIZES.len())) {
        let ended = method.map_or(Ok(()), WriteMethod::end);
        // An earlier error matters more.
        for one in figures.iter_mut().filter(|one| one.error.is_none()) {
            one.error = ended.as_ref().err().map(error_text);
        }
    }
    Ok(measured)
}

/// Measures one turn of a method. The first write is not counted: it may be slower.
fn run_turn(
    method: &mut dyn WriteMethod,
    figures: &mut Measurement,
    turn: Duration,
    signals: &SignalHandler,
) -> io::Result<()> {
    if signals.received().is_some() {
        return Ok(());
    }
    method.ready(figures.bytes)?;
    method.write(figures.bytes)?;
    let until = Instant::now() + turn;
    while signals.received().is_none() {
        method.ready(figures.bytes)?;
        let begun = Instant::now();
        method.write(figures.bytes)?;
        let ended = Instant::now();
        let took = ended - begun;
        figures.latency.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        figures.took += took;
        if ended >= until {
            break;
        }
    }
    Ok(())
}

/// Formats an error without its number.
fn error_text(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(text, _)| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_measured_or_has_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let measured = measure(dir.path(), Duration::from_millis(60), &SignalHandler::default()).unwrap();
        assert_eq!(measured.len(), 11 * SIZES.len());
        for one in &measured {
            assert!(one.error.is_some() || one.median().is_some_and(|nanos| nanos > 0), "{one:?}");
            assert_eq!(one.durable, ![UNSYNCED, DIRECT].contains(&one.method));
        }
        let plain = measured.iter().filter(|one| {
            !one.method.contains("DIRECT") && ![STORE_URING, STORE_TOKIO_URING].contains(&one.method)
        });
        assert!(plain.clone().all(|one| one.error.is_none()), "{:?}", plain.collect::<Vec<_>>());
        assert!(median(&measured, SYNCED).is_some() && median(&measured, "no such method").is_none());
        let written: u64 = walk(dir.path());
        assert!(written <= crate::doctor::space::MEASURED_BYTES, "{written} bytes");
    }

    fn walk(dir: &Path) -> u64 {
        let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
        entries
            .map(
                |entry| {
                    if entry.path().is_dir() { walk(&entry.path()) } else { entry.metadata().unwrap().len() }
                },
            )
            .sum()
    }

    #[test]
    fn failed_backend_is_reported_and_others_run() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("append--fsync")).unwrap();
        let measured = measure(dir.path(), Duration::from_millis(20), &SignalHandler::default()).unwrap();
        let error = |method| measured.iter().find(|one| one.method == method).unwrap().error.clone();
        assert!(error("append, fsync").unwrap().contains("exists"));
        assert_eq!(error(GROWING), None);
    }
}
