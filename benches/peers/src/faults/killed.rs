//! SIGKILL at random moments under load, over one log.

use std::{
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    Context,
    judge::{Handed, Judgement},
    random::Random,
    report::{Table, Tally, kind_of_words},
    served::{Event, SILENCE, Served},
    template,
    wire::{Order, Said},
};
use crate::contestant::{Kind, Settings};

/// The longest that a load runs before it is killed, after its first acknowledgement.
const LOAD_MS_MAX: u64 = 60;

/// Small enough for several files in every run.
const SETTINGS: Settings = Settings { segment_bytes: 256 << 10 };

/// One contestant's log over all rounds.
struct Run {
    kind: Kind,
    dirs: Vec<PathBuf>,
    handed: Handed,
    next: Vec<u64>,
    acked: u64,
    kills: u64,
    worst: Judgement,
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
            "{} callers append at once, each its own records, to one log; SIGKILL at a random moment up to \
             {LOAD_MS_MAX} ms after the first acknowledgement; the log is opened again and read, and the load goes on: \
             {rounds} kills, seed {}. A log that does not open or read any more is set aside and a new one begun.",
            context.appenders, context.seed
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
            next: vec![1; context.appenders],
            acked: 0,
            kills: 0,
            worst: Judgement::default(),
            broken: Tally::default(),
        };
        let mut random = Random::new(context.seed);
        for _ in 0..rounds {
            run.round(Duration::from_micros(random.below(LOAD_MS_MAX * 1000)))?;
        }
        run.check()?;
        if run.worst.is_broken() || run.broken.told() != "-" {
            table.blame(kind, format!("killed: {:?}, {}", run.worst, run.broken.told()));
        }
        let worst = run.worst;
        let counts = [run.kills, run.acked, worst.missing, worst.doubled, worst.out_of_order, worst.invented];
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
        served.order(&Order::Load { from: self.next.clone() });
        let mut deadline = None;
        loop {
            let left = deadline.map_or(SILENCE, |at: Instant| at.saturating_duration_since(Instant::now()));
            match served.next(left) {
                Event::Said(said) => {
                    deadline.get_or_insert_with(|| Instant::now() + load);
                    self.note(&said);
                    if left.is_zero() {
                        break;
                    }
                }
                Event::Silent(_) if deadline.is_some() => break,
                Event::Silent(how) => {
                    self.broken.add(format!("under load: {how}"));
                    break;
                }
                Event::Ended(how) => {
                    self.broken.add(format!("ended under load: {}", kind_of_words(&how)));
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
                self.broken.add(format!("append failed: {}", kind_of_words(error)));
            }
            Said::Panicked(panic) => self.broken.add(format!("panic: {}", kind_of_words(panic))),
            _ => {}
        }
    }

    /// Opens and reads the log; nothing where it cannot be: then a new one is begun.
    fn check(&mut self) -> io::Result<Option<Served>> {
        let (served, fate) = template::open_and_read(self.kind, &self.dir(), SETTINGS, &self.handed)?;
        let failed = match fate.judged() {
            Ok(judgement) => {
                self.add(&judgement);
                return Ok(Some(served));
            }
            Err(failed) => failed,
        };
        self.broken.add(failed);
        self.handed = Handed::default();
        self.next.fill(1);
        let set_aside = self.dir();
        let fresh = set_aside.with_file_name(format!("{}-{}", self.kind.name(), self.dirs.len()));
        super::remove(&fresh)?;
        std::fs::create_dir_all(&fresh)?;
        self.dirs.push(fresh);
        Ok(None)
    }

    /// What is wrong stays wrong: the most that was seen at once counts.
    fn add(&mut self, seen: &Judgement) {
        let worst = &mut self.worst;
        worst.missing = worst.missing.max(seen.missing);
        worst.doubled = worst.doubled.max(seen.doubled);
        worst.out_of_order = worst.out_of_order.max(seen.out_of_order);
        worst.invented = worst.invented.max(seen.invented);
    }
}
