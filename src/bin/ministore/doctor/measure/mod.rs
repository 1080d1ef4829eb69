//! Owns the measurement of a durable write in every way that the machine has: which ways there are, and that they take
//! turns, so that what else the machine does meanwhile meets them all.

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

use crate::signals::Interrupts;
use file::{FileWay, Ground, Sync};
use store::StoreWay;

/// A page, and a group of some hundred records.
pub(super) const SIZES: [usize; 2] = [4 << 10, 64 << 10];

/// Turns that each way has with each size.
const ROUNDS: u32 = 3;

/// Fewer writes say nothing about which of two ways is the better one.
const WRITES_MIN: u64 = 30;

/// Longer writes are counted as this long.
const NANOS_MAX: u64 = 600_000_000_000;

/// The name of the way that is there to compare with: nothing is asked of the device.
pub(super) const UNSYNCED: &str = "write in place, not synced";

/// The same past the page cache: the device has it, perhaps in a cache.
pub(super) const DIRECT: &str = "O_DIRECT in place, not synced";

pub(super) const SYNCED: &str = "write in place, fdatasync";
pub(super) const GROWING: &str = "append, fdatasync";
pub(super) const DIRECT_SYNCED: &str = "O_DIRECT|O_DSYNC in place";
pub(super) const STORE_URING: &str = "a journal, io_uring";
pub(super) const STORE_BLOCKING: &str = "a journal, blocking calls";

/// One way of writing, and what it needs between two writes.
trait Way: std::fmt::Debug {
    /// Makes ready for a write of so many bytes. Not measured.
    fn ready(&mut self, bytes: usize) -> io::Result<()>;
    /// Returns when they are as durable as the way makes them.
    fn write(&mut self, bytes: usize) -> io::Result<()>;
    /// Lets go of its files before they are removed.
    fn end(self: Box<Self>) -> io::Result<()>;
}

/// What one way took with one size.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) way: &'static str,
    /// Whether it asks for durability.
    pub(super) durable: bool,
    pub(super) bytes: usize,
    /// In nanoseconds.
    pub(super) latency: Histogram<u64>,
    /// All of it.
    pub(super) took: Duration,
    /// Why it ended early, or did not begin.
    pub(super) refused: Option<String>,
}

impl Measured {
    /// The median, in nanoseconds.
    pub(super) fn median(&self) -> Option<u64> {
        self.at(0.5)
    }

    fn at(&self, quantile: f64) -> Option<u64> {
        (!self.latency.is_empty()).then(|| self.latency.value_at_quantile(quantile))
    }
}

/// The median of a way with the smaller size.
pub(super) fn median(measured: &[Measured], way: &str) -> Option<u64> {
    small(measured, way)?.median()
}

/// What a way takes with the smaller size when nothing else disturbs it; `None` after so few writes that it is chance.
pub(super) fn undisturbed(measured: &[Measured], way: &str) -> Option<u64> {
    small(measured, way).filter(|one| one.latency.len() >= WRITES_MIN)?.at(0.1)
}

fn small<'a>(measured: &'a [Measured], way: &str) -> Option<&'a Measured> {
    measured.iter().find(|one| one.way == way && one.bytes == SIZES[0])
}

/// A way by its name, made when its turn comes first.
type Making<'a> = (&'static str, bool, Box<dyn Fn() -> io::Result<Box<dyn Way>> + 'a>);

fn ways<'a>(directory: &'a Path) -> Vec<Making<'a>> {
    let file = |name: &'static str, ground, sync| -> Making<'a> {
        let path = directory.join(name.replace([' ', ',', '|'], "-"));
        let make = move || Ok(Box::new(FileWay::create(&path, ground, sync)?) as Box<dyn Way>);
        (name, !matches!(sync, Sync::Never | Sync::DirectOnly), Box::new(make))
    };
    let store = |name, backend| -> Making<'a> {
        let path = directory.join(name).join("journal.jsonl");
        (name, true, Box::new(move || Ok(Box::new(StoreWay::open(&path, backend)?) as Box<dyn Way>)))
    };
    vec![
        file(UNSYNCED, Ground::Written, Sync::Never),
        file(GROWING, Ground::Growing, Sync::Data),
        file("append, fsync", Ground::Growing, Sync::All),
        file("allocated, fdatasync", Ground::Allocated, Sync::Data),
        file(SYNCED, Ground::Written, Sync::Data),
        file("O_DSYNC in place", Ground::Written, Sync::Dsync),
        file(DIRECT, Ground::Written, Sync::DirectOnly),
        file(DIRECT_SYNCED, Ground::Written, Sync::Direct),
        store(STORE_BLOCKING, Backend::Blocking),
        store(STORE_URING, Backend::Uring),
    ]
}

/// Lets every way write for its share of the time. Ends early, with what there is, when a signal comes.
pub(super) fn measure(
    directory: &Path,
    time: Duration,
    interrupts: &Interrupts,
) -> io::Result<Vec<Measured>> {
    let mut running = Vec::new();
    let mut measured = Vec::new();
    for (way, durable, make) in ways(directory) {
        let made = make();
        let refused = made.as_ref().err().map(told);
        for bytes in SIZES {
            let latency = Histogram::new_with_bounds(1, NANOS_MAX, 3).map_err(io::Error::other)?;
            let (took, refused) = (Duration::ZERO, refused.clone());
            measured.push(Measured { way, durable, bytes, latency, took, refused });
        }
        running.push(made.ok());
    }
    let turns = ROUNDS.saturating_mul(u32::try_from(measured.len()).unwrap_or(u32::MAX));
    let turn = time / turns.max(1);
    for _ in 0..ROUNDS {
        for (way, figures) in running.iter_mut().zip(measured.chunks_mut(SIZES.len())) {
            let Some(way) = way else { continue };
            for one in figures.iter_mut().filter(|one| one.refused.is_none()) {
                let ran = take_turn(way.as_mut(), one, turn, interrupts);
                one.refused = ran.as_ref().err().map(told);
            }
        }
    }
    for (way, figures) in running.into_iter().zip(measured.chunks_mut(SIZES.len())) {
        let ended = way.map_or(Ok(()), Way::end);
        // What was refused before is the better reason.
        for one in figures.iter_mut().filter(|one| one.refused.is_none()) {
            one.refused = ended.as_ref().err().map(told);
        }
    }
    Ok(measured)
}

/// The first write is not counted: it may have to find its place.
fn take_turn(
    way: &mut dyn Way,
    figures: &mut Measured,
    turn: Duration,
    interrupts: &Interrupts,
) -> io::Result<()> {
    if interrupts.raised().is_some() {
        return Ok(());
    }
    way.ready(figures.bytes)?;
    way.write(figures.bytes)?;
    let until = Instant::now() + turn;
    while interrupts.raised().is_none() {
        way.ready(figures.bytes)?;
        let begun = Instant::now();
        way.write(figures.bytes)?;
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

/// Without the number: it is the same for all, and says nothing to people.
fn told(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(text, _)| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_measured_or_says_why_not() {
        let dir = tempfile::tempdir().unwrap();
        let measured = measure(dir.path(), Duration::from_millis(60), &Interrupts::default()).unwrap();
        assert_eq!(measured.len(), 10 * SIZES.len());
        for one in &measured {
            assert!(one.refused.is_some() || one.median().is_some_and(|nanos| nanos > 0), "{one:?}");
            assert_eq!(one.durable, ![UNSYNCED, DIRECT].contains(&one.way));
        }
        let plain =
            measured.iter().filter(|one| !one.way.contains("DIRECT") && !one.way.contains("io_uring"));
        assert!(plain.clone().all(|one| one.refused.is_none()), "{:?}", plain.collect::<Vec<_>>());
        assert!(median(&measured, SYNCED).is_some() && median(&measured, "no such way").is_none());
        let written: u64 = walk(dir.path());
        assert!(written <= crate::doctor::room::MEASURED_BYTES, "{written} bytes");
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
    fn a_way_that_cannot_begin_is_told_of_and_the_others_go_on() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("append--fsync")).unwrap();
        let measured = measure(dir.path(), Duration::from_millis(20), &Interrupts::default()).unwrap();
        let refused = |way| measured.iter().find(|one| one.way == way).unwrap().refused.clone();
        assert!(refused("append, fsync").unwrap().contains("exists"));
        assert_eq!(refused(GROWING), None);
    }
}
