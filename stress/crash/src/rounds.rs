//! SIGKILL at random moments, many rounds on one journal.
//!
//! In each round a process opens the journal, which recovers the state left by the previous round, writes from three
//! threads and reports the acknowledgements. It is killed after a number of acknowledgements, after a delay, or while
//! it opens. After each kill the journal is compared with the [`Model`]. Another process reads the journal
//! concurrently.

use std::{
    fmt, fs,
    io::Write,
    path::PathBuf,
    time::{Duration, Instant},
};

use fastrand::Rng;
use ministore_uring::{Backend, Header, JournalOptions, SyncMode};

use crate::{child::ChildProcess, model::Model, record::RecordId, workdir::Workdir};

/// Rounds between two checks of the whole journal. The other rounds check only new records.
const FULL_CHECK_ROUNDS: u32 = 25;

#[derive(Debug, Clone)]
pub struct KillConfig {
    pub program: PathBuf,
    pub base_dir: PathBuf,
    pub backend: Backend,
    pub rounds: u32,
    /// The seed of the random choices. The moments of the kills also depend on timing.
    pub seed: u64,
}

/// Chooses the options of the writer process of one round. Retention is on for 20 rounds at a time, so that the journal
/// grows between them.
fn draw_options(backend: Backend, has_retention: bool, random: &mut Rng) -> JournalOptions {
    let dsync = if backend == Backend::TokioUring { SyncMode::Fdatasync } else { SyncMode::Dsync };
    let sync_modes = [SyncMode::Auto, dsync, SyncMode::Fdatasync];
    let options = JournalOptions::new()
        .backend(backend)
        // Mostly tiny, so that kills hit rotations. The last size is large enough that no rotation is due.
        .max_segment_bytes([700, 1500, 4000, 12_000, 1 << 20][random.usize(..5)])
        .header([Header::Comment, Header::Json][random.usize(..2)])
        .preallocate(random.u8(..5) > 0)
        .direct_io(random.u8(..4) > 0)
        .sync_mode(sync_modes[random.usize(..3)])
        // With small groups the writer thread encodes the next one while it writes the current one.
        .max_group_bytes([1, 300, 1 << 20][random.usize(..3)]);
    if has_retention { options.max_segments(random.usize(2..8)) } else { options }
}

/// The event that triggers the kill of a process.
#[derive(Debug, Clone, Copy)]
enum KillTrigger {
    /// The process has reported this number of acknowledgements.
    Acknowledged(u64),
    /// This time has passed since the process began to open the journal.
    Delay(Duration),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KillStats {
    pub kills: u32,
    pub in_open: u32,
    /// Kills during a rotation: the active name was missing, or the newest rotated segment was not closed.
    pub in_rotation: u32,
    /// Kills while the next segment was being prepared or was ready.
    pub next_prepared: u32,
    /// Kills at any other moment after the open.
    pub steady: u32,
    pub torn: u32,
    pub rotations_completed: u32,
    /// Records acknowledged, and found.
    pub acknowledged: usize,
    /// Records found. Some were written but the kill prevented their acknowledgement.
    pub written: u64,
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
pub fn run(config: &KillConfig) -> KillStats {
    let workdir = Workdir::new(&config.base_dir);
    let reader =
        ChildProcess::start(&config.program, ["read", workdir.path().to_str().expect("a UTF-8 path")]);
    let mut run = KillRun {
        config,
        reader,
        random: Rng::with_seed(config.seed),
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
    (stats.acknowledged, stats.written) = (model.acknowledged(), model.newest());
    stats
}

struct KillRun<'a> {
    config: &'a KillConfig,
    workdir: Workdir,
    reader: ChildProcess,
    random: Rng,
    model: Model,
    stats: KillStats,
    /// A moving average of the time that an open takes.
    open_time: Duration,
}

impl KillRun<'_> {
    fn run_round(&mut self, round: u32) {
        let has_retention = round / 20 % 4 == 3;
        if has_retention {
            self.model.allow_retention();
        }
        let options = draw_options(self.config.backend, has_retention, &mut self.random);
        let trigger = self.draw_trigger();
        let opened = self.write_until_killed(round, &options, trigger);
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
        match self.random.u8(..4) {
            0 => KillTrigger::Delay(delay_up_to(self.open_time * 5 / 4, &mut self.random)),
            1 => KillTrigger::Delay(delay_up_to(self.open_time * 6, &mut self.random)),
            _ => KillTrigger::Acknowledged(self.random.u64(1..=60)),
        }
    }

    /// Returns `true` if the journal was open when the process was killed.
    fn write_until_killed(&mut self, round: u32, options: &JournalOptions, trigger: KillTrigger) -> bool {
        let path = self.workdir.path().to_str().expect("a UTF-8 path");
        let options = serde_json::to_string(options).expect("it can be serialized");
        let args = ["write", path, &round.to_string(), &options];
        let mut writer = ChildProcess::start(&self.config.program, args);
        writer.wait_for("opening");
        self.request_scan();
        let mut acks_left = match trigger {
            KillTrigger::Acknowledged(records) => Some(records),
            KillTrigger::Delay(delay) => {
                spin_until(Instant::now() + delay);
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
        let options = JournalOptions::new().backend(self.config.backend);
        let store = options.open_blocking(self.workdir.path()).expect("the last kill is recovered from");
        assert_eq!(store.open_report().next_seq, self.model.newest() + 1);
        store.blocking().close().expect("it can be closed");
        self.model.check_all(self.workdir.path());
    }
}

/// Returns a random delay.
pub(crate) fn delay_up_to(longest: Duration, random: &mut Rng) -> Duration {
    Duration::from_micros(random.u64(..=longest.as_micros().try_into().unwrap_or(u64::MAX)))
}

/// Waits without giving the processor up, because sleeps are too coarse.
pub(crate) fn spin_until(deadline: Instant) {
    while Instant::now() < deadline {
        std::hint::spin_loop();
    }
}
