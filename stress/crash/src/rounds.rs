//! SIGKILL at random moments, many rounds on one journal.
//!
//! In each round a process opens the journal, which recovers the state left by the previous round, writes from three
//! threads and reports the acknowledgements. It is killed after a number of acknowledgements, after a delay, or while
//! it opens. After each kill the journal is compared with the [`Model`]. Another process reads the journal
//! concurrently.

use std::{
    fmt, fs,
    io::Write,
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, Instant},
};

use ministore_uring::{JournalOptions, SyncMode};

use crate::{
    child::ChildProcess,
    model::Model,
    random::Random,
    record::RecordId,
    workdir::{BackendArg, Workdir},
};

/// Rounds between two checks of the whole journal. The other rounds check only new records.
const FULL_CHECK_ROUNDS: u32 = 25;

/// Configuration of a run.
#[derive(Debug, Clone)]
pub struct KillConfig {
    /// The program `ministore-crash`.
    pub program: PathBuf,
    /// The directory for the journal directory.
    pub base_dir: PathBuf,
    /// The backend of the writers.
    pub backend: BackendArg,
    /// The number of rounds, each with one kill.
    pub rounds: u32,
    /// The seed of the random choices. The moments of the kills also depend on timing.
    pub seed: u64,
}

/// Configuration of the writer process of one round.
#[derive(Debug, Clone, Copy)]
pub struct WriterConfig {
    backend: BackendArg,
    /// The round, which identifies the process.
    pub round: u32,
    segment_bytes: u64,
    segments_kept: usize,
    preallocate: bool,
    direct: bool,
    sync_mode: SyncMode,
    group_bytes: u64,
}

impl WriterConfig {
    fn draw(backend: BackendArg, round: u32, random: &mut Random) -> Self {
        // Mostly tiny, so that kills hit rotations. The last size is large enough that no rotation is due.
        let segment_bytes = [700, 1500, 4000, 12_000, 1 << 20][random.below(5) as usize];
        // Retention is on for 20 rounds at a time, so that the journal grows between them.
        let has_retention = round / 20 % 4 == 3;
        let segments_kept = if has_retention { 2 + random.below(6) as usize } else { usize::MAX };
        let (preallocate, direct) = (!random.one_in(5), !random.one_in(4));
        // With small groups the writer thread encodes the next one while it writes the current one.
        let group_bytes = [1, 300, 1 << 20][random.below(3) as usize];
        let sync_mode = [SyncMode::Auto, SyncMode::Dsync, SyncMode::Fdatasync][random.below(3) as usize];
        Self { backend, round, segment_bytes, segments_kept, preallocate, direct, sync_mode, group_bytes }
    }

    fn args(self, path: &Path) -> Vec<String> {
        let Self { backend, round, segment_bytes, segments_kept, .. } = self;
        let Self { preallocate, direct, sync_mode, group_bytes, .. } = self;
        let path = path.to_str().expect("a UTF-8 path");
        let text = format!(
            "write {backend} {path} {round} {segment_bytes} {segments_kept} {preallocate} {direct} {sync_mode} {group_bytes}"
        );
        text.split(' ').map(str::to_owned).collect()
    }

    /// Parses the arguments of the writer process: those of [`args`](Self::args) without the role.
    ///
    /// # Panics
    ///
    /// If they are not as the parent wrote them.
    #[must_use]
    pub fn from_args(args: &[&str]) -> Self {
        fn parsed<T: FromStr<Err: fmt::Debug>>(text: &str) -> T {
            text.parse().expect("as the parent wrote it")
        }
        let [backend, _, round, segment_bytes, segments_kept, preallocate, direct, sync_mode, group_bytes] =
            *args
        else {
            panic!("{args:?}");
        };
        Self {
            backend: parsed(backend),
            round: parsed(round),
            segment_bytes: parsed(segment_bytes),
            segments_kept: parsed(segments_kept),
            preallocate: parsed(preallocate),
            direct: parsed(direct),
            sync_mode: parsed(sync_mode),
            group_bytes: parsed(group_bytes),
        }
    }

    /// Returns the options that the process opens the journal with.
    #[must_use]
    pub fn options(&self) -> JournalOptions {
        JournalOptions::new()
            .backend(self.backend.0)
            .max_segment_bytes(self.segment_bytes)
            .max_segments(self.segments_kept)
            .preallocate(self.preallocate)
            .direct_io(self.direct)
            .sync_mode(self.sync_mode)
            .max_group_bytes(self.group_bytes)
    }
}

/// The event that triggers the kill of a process.
#[derive(Debug, Clone, Copy)]
enum KillTrigger {
    /// The process has reported this number of acknowledgements.
    Acknowledged(u64),
    /// This time has passed since the process began to open the journal.
    Delay(Duration),
}

/// Counts of what the kills interrupted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KillStats {
    /// Processes killed.
    pub kills: u32,
    /// Kills during open and recovery.
    pub in_open: u32,
    /// Kills during a rotation: the active name was missing, or the newest rotated segment was not closed.
    pub in_rotation: u32,
    /// Kills while the next segment was being prepared or was ready.
    pub next_prepared: u32,
    /// Kills at any other moment after the open.
    pub steady: u32,
    /// Opens that truncated a torn group.
    pub torn: u32,
    /// Opens that completed a rotation.
    pub rotations_completed: u32,
    /// Records acknowledged, and found.
    pub acknowledged: usize,
    /// Records found. Some were written but the kill prevented their acknowledgement.
    pub written: u64,
    /// Scans by the reader process.
    pub scans: u64,
}

impl fmt::Display for KillStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, in_open, in_rotation, next_prepared, steady, torn, rotations_completed, .. } = self;
        let Self { acknowledged, written, scans, .. } = self;
        write!(
            f,
            "{kills} kills: {in_open} in open and recovery, {in_rotation} in a rotation, {next_prepared} while one was \
             being prepared, {steady} elsewhere; {torn} torn groups truncated, {rotations_completed} rotations \
             completed by recovery; {acknowledged} records acknowledged and found, of {written} written; {scans} \
             concurrent scans"
        )
    }
}

/// Runs `config.rounds` rounds and prints the round and the seed before each.
///
/// # Panics
///
/// If the journal contradicts the model, or the reader process fails.
#[must_use]
pub fn run(config: &KillConfig) -> KillStats {
    let workdir = Workdir::new(&config.base_dir);
    let reader =
        ChildProcess::start(&config.program, ["read", workdir.path().to_str().expect("a UTF-8 path")]);
    let mut run = KillRun {
        config,
        reader,
        random: Random::new(config.seed),
        model: Model::new(),
        stats: KillStats::default(),
        open_time: Duration::from_millis(3),
        workdir,
    };
    for round in 0..config.rounds {
        // The test harness shows this line if the round fails.
        eprintln!("{}, seed {}, round {round}", config.backend, config.seed);
        run.run_round(round);
        let reader_status = run.reader.child.try_wait().expect("the reader can be waited for");
        assert!(reader_status.is_none(), "the reader process failed");
    }
    run.finish();
    let KillRun { mut stats, model, reader, workdir: _workdir, .. } = run;
    let summary = reader.finish().pop().expect("the reader reports its totals");
    let scans = summary.split(' ').nth(1).and_then(|count| count.parse().ok());
    stats.scans = scans.expect("a count");
    (stats.acknowledged, stats.written) = (model.len(), model.newest());
    stats
}

struct KillRun<'a> {
    config: &'a KillConfig,
    workdir: Workdir,
    reader: ChildProcess,
    random: Random,
    model: Model,
    stats: KillStats,
    /// A moving average of the time that an open takes.
    open_time: Duration,
}

impl KillRun<'_> {
    fn run_round(&mut self, round: u32) {
        let writer = WriterConfig::draw(self.config.backend, round, &mut self.random);
        if writer.segments_kept != usize::MAX {
            self.model.allow_retention();
        }
        let trigger = self.draw_trigger();
        let opened = self.write_until_killed(writer, trigger);
        self.count_kill(opened);
        if (round + 1).is_multiple_of(FULL_CHECK_ROUNDS) {
            self.model.check_all(self.workdir.path());
        } else {
            self.model.check_new(self.workdir.path());
        }
        // Recovery leaves one file per torn group. Without this they would accumulate.
        for name in self.workdir.names() {
            if name.contains(".truncated-") {
                fs::remove_file(self.workdir.dir().join(name)).expect("it can be removed");
            }
        }
    }

    fn draw_trigger(&mut self) -> KillTrigger {
        let up_to = |random: &mut Random, longest: Duration| {
            let micros = longest.as_micros().try_into().unwrap_or(u64::MAX);
            Duration::from_micros(random.below(micros))
        };
        match self.random.below(4) {
            0 => KillTrigger::Delay(up_to(&mut self.random, self.open_time * 5 / 4)),
            1 => KillTrigger::Delay(up_to(&mut self.random, self.open_time * 6)),
            _ => KillTrigger::Acknowledged(1 + self.random.below(60)),
        }
    }

    /// Returns `true` if the journal was open when the process was killed.
    fn write_until_killed(&mut self, config: WriterConfig, trigger: KillTrigger) -> bool {
        let mut writer = ChildProcess::start(&self.config.program, config.args(self.workdir.path()));
        writer.wait_for("opening");
        self.request_scan();
        let mut acks_left = match trigger {
            KillTrigger::Acknowledged(records) => Some(records),
            KillTrigger::Delay(delay) => {
                let started = Instant::now();
                while started.elapsed() < delay {
                    std::hint::spin_loop();
                }
                writer.kill();
                None
            }
        };
        let mut opened = false;
        while let Some(line) = writer.next_report() {
            let words: Vec<_> = line.split(' ').collect();
            let number = |index: usize| words[index].parse::<u64>().expect("a number");
            match words[0] {
                "opened" => {
                    opened = true;
                    self.request_scan();
                    self.check_open(
                        Duration::from_micros(number(1)),
                        number(2),
                        number(3),
                        words[4] == "true",
                    );
                }
                "ack" => {
                    let part = |index| u32::try_from(number(index)).expect("a small number");
                    let id = RecordId { round: part(2), writer: part(3), count: part(4), index: part(5) };
                    self.model.acknowledge(number(1), id);
                    acks_left = acks_left.map(|left| left.saturating_sub(1));
                    if number(1) % 4 == 0 {
                        self.request_scan();
                    }
                    if acks_left == Some(0) {
                        writer.kill();
                        acks_left = None;
                    }
                }
                other => panic!("unexpected report: {other}"),
            }
        }
        assert_eq!(acks_left, None, "the writer ended by itself");
        assert!(writer.reap(), "the writer ended by itself");
        self.stats.kills += 1;
        opened
    }

    /// Makes the reader process scan the journal concurrently with the following steps.
    fn request_scan(&mut self) {
        let written = self.reader.child.stdin.as_mut().map(|stdin| stdin.write_all(b"."));
        written.expect("stdin is piped").expect("the reader process runs");
    }

    /// Checks that recovery keeps exactly the records that readers saw before it, and counts its actions.
    fn check_open(&mut self, took: Duration, next_seq: u64, truncated_bytes: u64, rotation_completed: bool) {
        self.open_time = (self.open_time * 3 + took) / 4;
        assert_eq!(next_seq, self.model.newest() + 1, "recovery and readers disagree");
        self.stats.torn += u32::from(truncated_bytes > 0);
        self.stats.rotations_completed += u32::from(rotation_completed);
    }

    fn count_kill(&mut self, opened: bool) {
        let names = self.workdir.names();
        let has_active = names.iter().any(|name| name == "journal.jsonl");
        let has_next = names.iter().any(|name| name.ends_with(".next"));
        let number = |name: &str| name.strip_prefix("journal.jsonl.").and_then(|n| n.parse::<u64>().ok());
        let newest_rotated = names.iter().filter_map(|name| Some((number(name)?, name))).max();
        let bytes =
            newest_rotated.map(|(_, name)| fs::read(self.workdir.dir().join(name)).expect("it can be read"));
        let is_unclosed = bytes.is_some_and(|bytes| !bytes.ends_with(b"\t\n"));
        let stats = &mut self.stats;
        match () {
            () if !opened => stats.in_open += 1,
            () if !has_active || is_unclosed => stats.in_rotation += 1,
            () if has_next => stats.next_prepared += 1,
            () => stats.steady += 1,
        }
    }

    /// Opens and closes the journal without a kill, and checks it once more.
    fn finish(&mut self) {
        let options = JournalOptions::new().backend(self.config.backend.0);
        let store = options.open_blocking(self.workdir.path()).expect("the last kill is recovered from");
        assert_eq!(store.open_report().next_seq, self.model.newest() + 1);
        store.blocking().close().expect("it can be closed");
        self.model.check_all(self.workdir.path());
    }
}
