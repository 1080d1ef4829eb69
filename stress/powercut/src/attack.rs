//! The attack on one file system: recordings, power cuts in each, the controls, and the counts.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use fastrand::Rng;
use ministore_faultfs::recording::{Event, KeptWrites, Recording};

use crate::{
    acked_state,
    args::AttackArgs,
    check::Finding,
    crash::{Crash, CrashPoints, ImageBuilder, crashes_at, pending_bytes},
    filesystem::FileSystem,
    image_tester::ImageTester,
    marker::Marker,
    record::{PowerCutState, RecordingError, record},
    replay,
    test_record::rng,
    workers::{CheckResults, StopConditions, check_all},
    workload::RecordingConfig,
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
    args: &AttackArgs,
    uring: bool,
    stop: &AtomicBool,
) -> io::Result<AttackStats> {
    let testers = (0..args.workers)
        .map(|_| ImageTester::new(file_system, file_system.disk_bytes(), uring))
        .collect::<io::Result<Vec<_>>>()?;
    let deadline = args.minutes.map(|minutes| Instant::now() + Duration::from_secs(minutes * 60));
    let stats = AttackStats::default();
    let mut attack = AttackRun { file_system, args, uring, stop, deadline, testers, stats };
    attack.control_early()?;
    let mut seed = args.seed;
    while !attack.is_over() {
        attack.run_generations(seed)?;
        seed += 1;
    }
    Ok(attack.stats)
}

#[derive(Debug)]
struct AttackRun<'a> {
    file_system: FileSystem,
    args: &'a AttackArgs,
    uring: bool,
    stop: &'a AtomicBool,
    deadline: Option<Instant>,
    testers: Vec<ImageTester>,
    stats: AttackStats,
}

impl AttackRun<'_> {
    fn is_over(&self) -> bool {
        let enough = match self.deadline {
            Some(deadline) => Instant::now() > deadline,
            None => self.stats.points >= self.args.points,
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
            let mut random = rng(&[seed, generation, 1]);
            if generation == 0 && self.stats.control_ignored == 0 {
                // A disk that ignores flushes must be detected.
                self.stats.control_ignored =
                    self.count_control_losses(&recording, &markers, CONTROL_FLUSHES_IGNORED, &mut random);
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
            uring: self.uring,
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
                Event::Write { .. } | Event::SetLen(_) => stats.writes += 1,
                Event::Sync => stats.flushes += 1,
                Event::Marker(_) => {}
            }
        }
    }

    fn choose_crashes(&mut self, recording: &Recording, start: usize, random: &mut Rng) -> Vec<Crash> {
        let left = self.args.points.saturating_sub(self.stats.points);
        let count =
            if self.deadline.is_some() { POINTS_PER_RECORDING } else { POINTS_PER_RECORDING.min(left) };
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
        let config = self.recording_config(self.args.seed, 0, true);
        let Some(recording) = self.record(&config, None)? else { return Ok(()) };
        let markers = acked_state::markers(&recording.events).map_err(io::Error::other)?;
        let mut random = rng(&[self.args.seed, 2]);
        self.stats.control_early = self.count_control_losses(&recording, &markers, 0, &mut random);
        Ok(())
    }

    fn count_control_losses(
        &mut self,
        recording: &Recording,
        markers: &[(usize, Marker)],
        flushes_ignored: usize,
        random: &mut Rng,
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
            self.args.keep.join(format!("powercut-{file_system}-seed{seed}-generation{generation}.rec"));
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
fn choose_power_cut(recording: &Recording, crashes: &[Crash], random: &mut Rng) -> PowerCutState {
    let everything = Crash { at: recording.events.len(), kept: KeptWrites::Everything, flushes_ignored: 0 };
    let crash = random.choice(crashes).copied().unwrap_or(everything);
    let markers = recording.events[..crash.at].iter().filter(|event| matches!(event, Event::Marker(_)));
    PowerCutState { image: ImageBuilder::new(recording).image(crash), markers: markers.cloned().collect() }
}
