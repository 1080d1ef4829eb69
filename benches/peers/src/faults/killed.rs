//! SIGKILL at random moments under load, over one log.

use std::{
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    Context,
    judge::{Handed, Judgement, Returned},
    random::Random,
    report::{Table, Tally, words},
    served::{Event, Opening, SILENCE, Served},
    wire::{Order, Said},
};
use crate::contestant::{Kind, Settings};

/// How many callers append at once.
const APPENDERS: usize = 4;

/// The longest that a load runs before it is killed, after its first acknowledgement.
const LOAD_MS_MAX: u64 = 60;

/// Small enough for several files in every run.
const SETTINGS: Settings = Settings { segment_bytes: 256 << 10 };

/// One contestant's log over all rounds.
struct Run {
    kind: Kind,
    dirs: Vec<PathBuf>,
    handed: Handed,
    next: [u64; APPENDERS],
    acked: u64,
    kills: u64,
    worst: Judgement,
    missing: u64,
    broken: Tally,
}

/// Kills every contestant `rounds` times.
///
/// # Errors
///
/// A child cannot be started.
pub fn run(context: &Context) -> io::Result<Table> {
    let rounds = context.rounds;
    let mut table = Table::new(
        "killed",
        format!(
            "{APPENDERS} callers append at once, each its own records, to one log; SIGKILL at a random moment up to \
             {LOAD_MS_MAX} ms after the first acknowledgement; the log is opened again and read, and the load goes on: \
             {rounds} kills, seed {}. A log that does not open or read any more is set aside and a new one begun.",
            context.seed
        ),
        &[
            "kills",
            "records acknowledged",
            "acknowledged, missing",
            "doubled",
            "out of order",
            "invented",
            "reopening or reading failed",
        ],
    );
    for &kind in &context.kinds {
        let mut run = Run {
            kind,
            dirs: vec![context.fresh("killed", kind)?],
            handed: Handed::default(),
            next: [1; APPENDERS],
            acked: 0,
            kills: 0,
            worst: Judgement::default(),
            missing: 0,
            broken: Tally::default(),
        };
        let mut random = Random::new(context.seed);
        for _ in 0..rounds {
            run.round(Duration::from_micros(random.below(LOAD_MS_MAX * 1000)))?;
        }
        run.check()?;
        if run.missing > 0 || run.worst.is_broken() || run.broken.told() != "-" {
            table.blame(
                kind,
                format!("killed: {} missing, {:?}, {}", run.missing, run.worst, run.broken.told()),
            );
        }
        let worst = run.worst;
        let counts = [run.kills, run.acked, run.missing, worst.doubled, worst.out_of_order, worst.invented];
        let mut cells: Vec<String> = counts.iter().map(u64::to_string).collect();
        cells.push(run.broken.told());
        table.row(kind, cells);
    }
    table.notes.push(
        "wal-db-strict documents that it may refuse a log that several callers were appending to; \
         `TruncateTail` is then the way to open it."
            .to_string(),
    );
    Ok(table)
}

impl Run {
    fn dir(&self) -> PathBuf {
        self.dirs.last().cloned().unwrap_or_default()
    }

    /// Opens and reads what the kill before left, then loads and kills.
    fn round(&mut self, load: Duration) -> io::Result<()> {
        let Some(mut served) = self.check()? else { return Ok(()) };
        served.order(&Order::Load { from: self.next.to_vec() });
        let mut deadline = None;
        loop {
            let left = deadline.map_or(SILENCE, |at: Instant| at.saturating_duration_since(Instant::now()));
            match served.next(left) {
                Event::Said(said) => {
                    deadline.get_or_insert_with(|| Instant::now() + load);
                    self.note(&said);
                }
                Event::Silent if deadline.is_some() => break,
                Event::Silent => {
                    self.broken.add("hangs under load");
                    break;
                }
                Event::Ended(how) => {
                    self.broken.add(format!("ended under load: {}", words(&how)));
                    break;
                }
            }
        }
        for said in served.kill() {
            self.note(&said);
        }
        self.kills += 1;
        // What each appender had in flight may be there or not, and is not handed over again.
        for (appender, next) in (0_u32..).zip(&mut self.next) {
            self.handed.over.insert((appender, *next));
            *next += 1;
        }
        Ok(())
    }

    fn note(&mut self, said: &Said) {
        match said {
            Said::Acked(appender, number) => {
                self.handed.ack(*appender, *number);
                self.next[*appender as usize] = number + 1;
                self.acked += 1;
            }
            Said::Refused(appender, number, error) => {
                self.handed.refuse(*appender, *number);
                self.next[*appender as usize] = number + 1;
                self.broken.add(format!("append failed: {}", words(error)));
            }
            Said::Panicked(panic) => self.broken.add(format!("panic: {}", words(panic))),
            _ => {}
        }
    }

    /// Opens and reads the log; nothing where it cannot be: then a new one is begun.
    fn check(&mut self) -> io::Result<Option<Served>> {
        let mut served = Served::start(self.kind, &self.dir(), SETTINGS)?;
        let failed = match served.opened() {
            Opening::Refused(error) => Some(format!("open refused: {}", words(&error))),
            Opening::Broke(how) => Some(format!("open broke: {}", words(&how))),
            Opening::Open(_) => match served.replay() {
                Returned { broke: Some(how), .. } => Some(format!("reading broke: {}", words(&how))),
                Returned { error: Some(error), .. } => Some(format!("reading failed: {}", words(&error))),
                returned => {
                    self.compare(&returned);
                    None
                }
            },
        };
        let Some(failed) = failed else { return Ok(Some(served)) };
        self.broken.add(failed);
        self.handed = Handed::default();
        self.next = [1; APPENDERS];
        let set_aside = self.dir();
        let fresh = set_aside.with_file_name(format!("{}-{}", self.kind.name(), self.dirs.len()));
        super::remove(&fresh)?;
        std::fs::create_dir_all(&fresh)?;
        self.dirs.push(fresh);
        Ok(None)
    }

    fn compare(&mut self, returned: &Returned) {
        let judgement = Judgement::of(&self.handed, returned);
        self.missing += judgement.missing;
        self.worst.doubled = self.worst.doubled.max(judgement.doubled);
        self.worst.out_of_order = self.worst.out_of_order.max(judgement.out_of_order);
        self.worst.invented = self.worst.invented.max(judgement.invented);
        // What is missing once is counted once.
        let there = returned.records.iter().map(|(appender, number, _)| (*appender, *number)).collect();
        self.handed.acked = self.handed.acked.intersection(&there).copied().collect();
    }
}
