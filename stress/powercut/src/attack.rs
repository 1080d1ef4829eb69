//! The attack on one file system: recordings, power cuts in each, the controls, and the counts.

use std::{
    io,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use crate::{
    acked_state,
    check::Finding,
    crash::{Crash, CrashPoints, ImageBuilder, KeptWrites, crashes_at, pending_bytes},
    filesystem::FileSystem,
    image_tester::ImageTester,
    marker::Marker,
    random::Random,
    record::{PowerCutState, RecordingConfig, RecordingError, record},
    recording::{Event, Recording},
    replay,
    workers::{CheckResults, StopConditions, check_all},
};

/// Crash points tested per recording.
const POINTS_PER_RECORDING: usize = 90;

/// Consecutive power cuts. Each interrupts the workload that continues on the image left by the previous one.
const GENERATIONS: u64 = 3;

/// Crash points tested for a control, and the number of losses after which it stops.
const CONTROL_POINTS: usize = 40;
const CONTROL_LOSSES: usize = 3;

/// The number of last flushes that the disk of the control ignored.
const CONTROL_FLUSHES_IGNORED: usize = 8;

/// The number of findings after which the attack stops.
const MAX_FINDINGS: usize = 5;

/// Configuration of an attack.
#[derive(Debug, Clone)]
pub(crate) struct AttackConfig {
    pub(crate) seed: u64,
    /// The number of crash points, or the time, for each file system.
    pub(crate) run_length: RunLength,
    pub(crate) workers: usize,
    /// The directory that keeps the recordings of findings.
    pub(crate) keep: PathBuf,
    pub(crate) uring: bool,
}

/// The length of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunLength {
    CrashPoints(usize),
    Time(Duration),
}

/// Counts and findings of the attack on one file system.
#[derive(Debug, Default)]
pub(crate) struct AttackStats {
    pub(crate) recordings: usize,
    /// Records acknowledged in them.
    pub(crate) records: u64,
    pub(crate) writes: usize,
    pub(crate) flushes: usize,
    pub(crate) points: usize,
    pub(crate) images: usize,
    /// The images whose file system did not survive a torn write within one of its own blocks.
    pub(crate) unmountable: usize,
    /// Maximum number of unflushed bytes at a crash point.
    pub(crate) max_pending_bytes: u64,
    pub(crate) checking: Duration,
    pub(crate) findings: Vec<String>,
    /// Losses found by the controls, which must find some: early acknowledgements, and ignored flushes.
    pub(crate) control_early: usize,
    pub(crate) control_ignored: usize,
}

/// Attacks `file_system`.
pub(crate) fn attack(
    file_system: FileSystem,
    config: &AttackConfig,
    stop: &AtomicBool,
) -> io::Result<AttackStats> {
    let testers = (0..config.workers)
        .map(|number| ImageTester::new(file_system, file_system.disk_bytes(), number, config.uring))
        .collect::<io::Result<Vec<_>>>()?;
    let deadline = match config.run_length {
        RunLength::Time(time) => Some(Instant::now() + time),
        RunLength::CrashPoints(_) => None,
    };
    let mut attack =
        AttackRun { file_system, config, stop, deadline, testers, stats: AttackStats::default() };
    attack.control_early()?;
    let mut seed = config.seed;
    while !attack.is_over() {
        attack.run_generations(seed)?;
        seed += 1;
    }
    Ok(attack.stats)
}

#[derive(Debug)]
struct AttackRun<'a> {
    file_system: FileSystem,
    config: &'a AttackConfig,
    stop: &'a AtomicBool,
    deadline: Option<Instant>,
    testers: Vec<ImageTester>,
    stats: AttackStats,
}

impl AttackRun<'_> {
    fn is_over(&self) -> bool {
        let enough = match self.config.run_length {
            RunLength::CrashPoints(points) => self.stats.points >= points,
            RunLength::Time(_) => self.deadline.is_some_and(|deadline| Instant::now() > deadline),
        };
        enough || self.stop.load(Ordering::Relaxed) || self.stats.findings.len() >= MAX_FINDINGS
    }

    /// Records the workload on a new file system, cuts the power, continues the workload on one of the images, and
    /// repeats.
    fn run_generations(&mut self, seed: u64) -> io::Result<()> {
        let mut before: Option<PowerCutState> = None;
        for generation in 0..GENERATIONS {
            if self.is_over() {
                break;
            }
            let config = self.recording_config(seed, generation, false);
            let Some(recording) = self.record(&config, before.as_ref())? else { break };
            let start = before.map_or(0, |before| before.markers.len());
            let markers = acked_state::markers(&recording.events).map_err(io::Error::other)?;
            self.count(&recording, start, &markers);
            let mut random = Random::new(&[seed, generation, 1]);
            if generation == 0 && self.stats.control_ignored == 0 {
                self.control_ignored(&recording, &markers, &mut random);
            }
            let crashes = self.choose_crashes(&recording, start, &mut random);
            let results = self.check_crashes(&recording, &markers, &crashes, MAX_FINDINGS);
            self.stats.points += results.points.len();
            self.report(&config, &recording, results)?;
            before = Some(choose_power_cut(&recording, &crashes, &mut random));
        }
        Ok(())
    }

    fn recording_config(&self, seed: u64, generation: u64, early: bool) -> RecordingConfig {
        let (rounds, steps) = if early { (1, 12) } else { (4, 5) };
        RecordingConfig {
            file_system: self.file_system,
            seed,
            generation,
            rounds,
            steps,
            uring: self.config.uring,
            early,
        }
    }

    /// Returns `None` if the workload failed, which is a finding like any other.
    fn record(
        &mut self,
        config: &RecordingConfig,
        before: Option<&PowerCutState>,
    ) -> io::Result<Option<Recording>> {
        match record(config, before, self.stop) {
            Ok(recording) => Ok(Some(recording)),
            Err(RecordingError::Harness(error)) => Err(error),
            Err(RecordingError::Workload(message)) => {
                self.stats.findings.push(format!("{}, seed {}: {message}", config.file_system, config.seed));
                Ok(None)
            }
        }
    }

    fn count(&mut self, recording: &Recording, start: usize, markers: &[(usize, Marker)]) {
        let stats = &mut self.stats;
        stats.recordings += 1;
        for (_, marker) in markers.iter().filter(|(position, _)| *position >= start) {
            if let Marker::Acknowledged { count, .. } = marker {
                stats.records += count;
            }
        }
        for event in &recording.events {
            match event {
                Event::Write { .. } => stats.writes += 1,
                Event::Flush => stats.flushes += 1,
                Event::Marker(_) => {}
            }
        }
    }

    fn choose_crashes(&mut self, recording: &Recording, start: usize, random: &mut Random) -> Vec<Crash> {
        let count = match self.config.run_length {
            RunLength::CrashPoints(points) => POINTS_PER_RECORDING.min(points - self.stats.points),
            RunLength::Time(_) => POINTS_PER_RECORDING,
        };
        let points = CrashPoints::of(&recording.events, start).sample(count, random);
        let pending = points.iter().map(|at| pending_bytes(&recording.events, *at)).max().unwrap_or_default();
        self.stats.max_pending_bytes = self.stats.max_pending_bytes.max(pending);
        points.into_iter().flat_map(|at| crashes_at(&recording.events, at, random)).collect()
    }

    fn check_crashes(
        &mut self,
        recording: &Recording,
        markers: &[(usize, Marker)],
        crashes: &[Crash],
        max_findings: usize,
    ) -> CheckResults {
        let stop_conditions = StopConditions { stop: self.stop, deadline: self.deadline, max_findings };
        let started = Instant::now();
        let results = check_all(&mut self.testers, recording, markers, crashes, stop_conditions);
        self.stats.checking += started.elapsed();
        self.stats.images += results.images;
        self.stats.unmountable += results.unmountable;
        results
    }

    /// Checks that early acknowledgements are detected.
    fn control_early(&mut self) -> io::Result<()> {
        let config = self.recording_config(self.config.seed, 0, true);
        let Some(recording) = self.record(&config, None)? else { return Ok(()) };
        let markers = acked_state::markers(&recording.events).map_err(io::Error::other)?;
        let mut random = Random::new(&[self.config.seed, 2]);
        self.stats.control_early = self.count_control_losses(&recording, &markers, 0, &mut random);
        Ok(())
    }

    /// Checks that a disk that ignores flushes is detected.
    fn control_ignored(&mut self, recording: &Recording, markers: &[(usize, Marker)], random: &mut Random) {
        self.stats.control_ignored =
            self.count_control_losses(recording, markers, CONTROL_FLUSHES_IGNORED, random);
    }

    fn count_control_losses(
        &mut self,
        recording: &Recording,
        markers: &[(usize, Marker)],
        flushes_ignored: usize,
        random: &mut Random,
    ) -> usize {
        let points = CrashPoints::of(&recording.events, 0).sample_after_markers(CONTROL_POINTS, random);
        let crash = |at| Crash { at, kept: KeptWrites::Nothing, flushes_ignored };
        let crashes: Vec<Crash> = points.into_iter().map(crash).collect();
        let results = self.check_crashes(recording, markers, &crashes, CONTROL_LOSSES);
        results.findings.iter().filter(|(_, finding)| matches!(finding, Finding::Violation { .. })).count()
    }

    /// Saves the recording of a finding, and adds the commands that replay it.
    fn report(
        &mut self,
        config: &RecordingConfig,
        recording: &Recording,
        results: CheckResults,
    ) -> io::Result<()> {
        let CheckResults { findings, .. } = results;
        if findings.is_empty() {
            return Ok(());
        }
        let RecordingConfig { file_system, seed, generation, .. } = config;
        let file =
            self.config.keep.join(format!("powercut-{file_system}-seed{seed}-generation{generation}.rec"));
        recording.save(&file)?;
        for (crash, finding) in findings {
            if let Finding::Harness { .. } = finding {
                return Err(io::Error::other(finding.to_string()));
            }
            self.stats.findings.push(format!(
                "{file_system}, seed {seed}, generation {generation}: {finding}\n  replay: {}",
                replay::command(*file_system, &file, crash)
            ));
        }
        Ok(())
    }
}

/// Returns the state that the next generation starts with: one of the images just tested, and the markers before it.
fn choose_power_cut(recording: &Recording, crashes: &[Crash], random: &mut Random) -> PowerCutState {
    let index = usize::try_from(random.below(crashes.len() as u64)).unwrap_or_default();
    let everything = Crash { at: recording.events.len(), kept: KeptWrites::Everything, flushes_ignored: 0 };
    let crash = crashes.get(index).copied().unwrap_or(everything);
    let markers = recording.events[..crash.at].iter().filter(|event| matches!(event, Event::Marker(_)));
    PowerCutState { image: ImageBuilder::new(recording).image(crash), markers: markers.cloned().collect() }
}
