//! One file system under attack: recordings, power cuts in each, the controls, and what is counted.

use std::{
    io,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use crate::{
    bench::Bench,
    check::Trouble,
    crash::{Builder, Crash, Kept, Moments, crashes_at, pending_bytes},
    crew::{Findings, Limits, try_all},
    filesystem::FileSystem,
    mark::Mark,
    promise,
    random::Random,
    record::{Before, Failed, Setting, record},
    recording::{Event, Recording},
    replay,
};

/// Moments tried of one recording.
const MOMENTS: usize = 90;

/// Power cuts in a row, each in the work on what the one before left.
const GENERATIONS: u64 = 3;

/// Moments tried for a control, and the losses that are enough.
const CONTROL_MOMENTS: usize = 40;
const CONTROL_LOSSES: usize = 3;

/// How many of the last flushes the control's disk did not carry out.
const CONTROL_FLUSHES_IGNORED: usize = 8;

/// Troubles of one recording that are enough.
const TROUBLES_MAX: usize = 5;

/// What to do.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    pub(crate) seed: u64,
    /// Moments to try on each file system; or until the time is over.
    pub(crate) amount: Amount,
    pub(crate) workers: usize,
    /// Where the recording of a trouble is kept.
    pub(crate) keep: PathBuf,
    pub(crate) uring: bool,
}

/// When it is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Amount {
    Moments(usize),
    Time(Duration),
}

/// What was done to one file system, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) recordings: usize,
    /// Records acknowledged in them.
    pub(crate) records: u64,
    pub(crate) writes: usize,
    pub(crate) flushes: usize,
    pub(crate) moments: usize,
    pub(crate) images: usize,
    /// Those of them whose file system did not survive being torn inside its own blocks.
    pub(crate) unmountable: usize,
    /// Most bytes at stake at one moment.
    pub(crate) pending_bytes_max: u64,
    pub(crate) checking: Duration,
    pub(crate) troubles: Vec<String>,
    /// Losses found where there had to be some: acknowledged too early, and flushes ignored.
    pub(crate) control_early: usize,
    pub(crate) control_ignored: usize,
}

/// Attacks `file_system` as ordered.
pub(crate) fn attack(file_system: FileSystem, orders: &Orders, stop: &AtomicBool) -> io::Result<Tally> {
    let benches = (0..orders.workers)
        .map(|number| Bench::new(file_system, file_system.disk_bytes(), number, orders.uring))
        .collect::<io::Result<Vec<_>>>()?;
    let deadline = match orders.amount {
        Amount::Time(time) => Some(Instant::now() + time),
        Amount::Moments(_) => None,
    };
    let mut attack = Attack { file_system, orders, stop, deadline, benches, tally: Tally::default() };
    attack.control_early()?;
    let mut seed = orders.seed;
    while !attack.is_over() {
        attack.lives(seed)?;
        seed += 1;
    }
    Ok(attack.tally)
}

#[derive(Debug)]
struct Attack<'a> {
    file_system: FileSystem,
    orders: &'a Orders,
    stop: &'a AtomicBool,
    deadline: Option<Instant>,
    benches: Vec<Bench>,
    tally: Tally,
}

impl Attack<'_> {
    fn is_over(&self) -> bool {
        let enough = match self.orders.amount {
            Amount::Moments(moments) => self.tally.moments >= moments,
            Amount::Time(_) => self.deadline.is_some_and(|deadline| Instant::now() > deadline),
        };
        enough || self.stop.load(Ordering::Relaxed) || self.tally.troubles.len() >= TROUBLES_MAX
    }

    /// A new file system, work, a power cut, work on what is left, and so on.
    fn lives(&mut self, seed: u64) -> io::Result<()> {
        let mut before: Option<Before> = None;
        for generation in 0..GENERATIONS {
            if self.is_over() {
                break;
            }
            let setting = self.setting(seed, generation, false);
            let Some(recording) = self.record(&setting, before.as_ref())? else { break };
            let begins = before.map_or(0, |before| before.said.len());
            let marks = promise::marks(&recording.events).map_err(io::Error::other)?;
            self.count(&recording, begins, &marks);
            let mut random = Random::new(&[seed, generation, 1]);
            if generation == 0 && self.tally.control_ignored == 0 {
                self.control_ignored(&recording, &marks, &mut random);
            }
            let crashes = self.choose(&recording, begins, &mut random);
            let findings = self.run(&recording, &marks, &crashes, TROUBLES_MAX);
            self.tally.moments += findings.moments.len();
            self.report(&setting, &recording, findings)?;
            before = Some(power_cut(&recording, &crashes, &mut random));
        }
        Ok(())
    }

    fn setting(&self, seed: u64, generation: u64, early: bool) -> Setting {
        let (rounds, steps) = if early { (1, 12) } else { (4, 5) };
        Setting {
            file_system: self.file_system,
            seed,
            generation,
            rounds,
            steps,
            uring: self.orders.uring,
            early,
        }
    }

    /// None where the workload failed: that is a trouble like any other.
    fn record(&mut self, setting: &Setting, before: Option<&Before>) -> io::Result<Option<Recording>> {
        match record(setting, before, self.stop) {
            Ok(recording) => Ok(Some(recording)),
            Err(Failed::Instrument(error)) => Err(error),
            Err(Failed::Workload(what)) => {
                self.tally.troubles.push(format!("{}, seed {}: {what}", setting.file_system, setting.seed));
                Ok(None)
            }
        }
    }

    fn count(&mut self, recording: &Recording, begins: usize, marks: &[(usize, Mark)]) {
        let tally = &mut self.tally;
        tally.recordings += 1;
        for (_, mark) in marks.iter().filter(|(place, _)| *place >= begins) {
            if let Mark::Acknowledged { count, .. } = mark {
                tally.records += count;
            }
        }
        for event in &recording.events {
            match event {
                Event::Write { .. } => tally.writes += 1,
                Event::Flush => tally.flushes += 1,
                Event::Mark(_) => {}
            }
        }
    }

    fn choose(&mut self, recording: &Recording, begins: usize, random: &mut Random) -> Vec<Crash> {
        let wanted = match self.orders.amount {
            Amount::Moments(moments) => MOMENTS.min(moments - self.tally.moments),
            Amount::Time(_) => MOMENTS,
        };
        let moments = Moments::of(&recording.events, begins).sample(wanted, random);
        let at_stake =
            moments.iter().map(|at| pending_bytes(&recording.events, *at)).max().unwrap_or_default();
        self.tally.pending_bytes_max = self.tally.pending_bytes_max.max(at_stake);
        moments.into_iter().flat_map(|at| crashes_at(&recording.events, at, random)).collect()
    }

    fn run(
        &mut self,
        recording: &Recording,
        marks: &[(usize, Mark)],
        crashes: &[Crash],
        troubles_max: usize,
    ) -> Findings {
        let limits = Limits { stop: self.stop, deadline: self.deadline, troubles_max };
        let begun = Instant::now();
        let findings = try_all(&mut self.benches, recording, marks, crashes, limits);
        self.tally.checking += begun.elapsed();
        self.tally.images += findings.images;
        self.tally.unmountable += findings.unmountable;
        findings
    }

    /// A caller that is told too early must be found out.
    fn control_early(&mut self) -> io::Result<()> {
        let setting = self.setting(self.orders.seed, 0, true);
        let Some(recording) = self.record(&setting, None)? else { return Ok(()) };
        let marks = promise::marks(&recording.events).map_err(io::Error::other)?;
        let mut random = Random::new(&[self.orders.seed, 2]);
        self.tally.control_early = self.control(&recording, &marks, 0, &mut random);
        Ok(())
    }

    /// A disk that does not flush must be found out.
    fn control_ignored(&mut self, recording: &Recording, marks: &[(usize, Mark)], random: &mut Random) {
        self.tally.control_ignored = self.control(recording, marks, CONTROL_FLUSHES_IGNORED, random);
    }

    fn control(
        &mut self,
        recording: &Recording,
        marks: &[(usize, Mark)],
        flushes_ignored: usize,
        random: &mut Random,
    ) -> usize {
        let moments = Moments::of(&recording.events, 0).promises(CONTROL_MOMENTS, random);
        let crash = |at| Crash { at, kept: Kept::Nothing, flushes_ignored };
        let crashes: Vec<Crash> = moments.into_iter().map(crash).collect();
        let findings = self.run(recording, marks, &crashes, CONTROL_LOSSES);
        findings.troubles.iter().filter(|(_, trouble)| matches!(trouble, Trouble::Broken { .. })).count()
    }

    /// Keeps the recording of a trouble, with the commands that replay it.
    fn report(&mut self, setting: &Setting, recording: &Recording, findings: Findings) -> io::Result<()> {
        let Findings { troubles, .. } = findings;
        if troubles.is_empty() {
            return Ok(());
        }
        let Setting { file_system, seed, generation, .. } = setting;
        let file =
            self.orders.keep.join(format!("powercut-{file_system}-seed{seed}-generation{generation}.rec"));
        recording.save(&file)?;
        for (crash, trouble) in troubles {
            if let Trouble::Instrument { .. } = trouble {
                return Err(io::Error::other(trouble.to_string()));
            }
            self.tally.troubles.push(format!(
                "{file_system}, seed {seed}, generation {generation}: {trouble}\n  replay: {}",
                replay::command(*file_system, &file, crash)
            ));
        }
        Ok(())
    }
}

/// What the next life begins with: one of the images just tried, and what was said until then.
fn power_cut(recording: &Recording, crashes: &[Crash], random: &mut Random) -> Before {
    let index = usize::try_from(random.below(crashes.len() as u64)).unwrap_or_default();
    let everything = Crash { at: recording.events.len(), kept: Kept::Everything, flushes_ignored: 0 };
    let crash = crashes.get(index).copied().unwrap_or(everything);
    let said = recording.events[..crash.at].iter().filter(|event| matches!(event, Event::Mark(_)));
    Before { image: Builder::new(recording).image(crash), said: said.cloned().collect() }
}
