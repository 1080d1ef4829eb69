//! SIGKILL during recovery, several times in a row, on journals that need much recovery work.

use std::{
    fmt, fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use fastrand::Rng;
use ministore_uring::{Backend, JournalOptions, Reader};

use crate::{
    child::ChildProcess,
    rounds::{delay_up_to, spin_until},
    workdir::Workdir,
};

/// Records in the journal: enough that recovery takes a while to read them.
const RECORDS: u64 = 500;

/// Maximum number of killed opens before one may complete.
const MAX_CONSECUTIVE_KILLS: u64 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashState {
    /// The active segment ends with a large torn group.
    Torn,
    /// As `Torn`, but the segment already has its rotated name. The next segment is preallocated and empty.
    Rotated,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct RecoveryKillStats {
    pub kills: u32,
    pub in_recovery: u32,
    /// Of these, kills after recovery had begun to change files.
    pub after_a_change: u32,
    /// Recoveries that completed, each after one or more kills.
    pub recovered: u32,
}

impl fmt::Display for RecoveryKillStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, in_recovery, after_a_change, recovered } = self;
        write!(
            f,
            "{kills} kills, {in_recovery} before the journal was open ({after_a_change} after recovery had begun to \
             change files); recovered {recovered} times"
        )
    }
}

#[derive(Debug, Clone)]
pub struct RecoveryKillConfig {
    pub program: PathBuf,
    pub base_dir: PathBuf,
    pub backend: Backend,
    pub state: CrashState,
    pub kills: u32,
    pub seed: u64,
}

/// Kills recovery at random moments until `config.kills` is reached.
pub fn run(config: &RecoveryKillConfig) -> RecoveryKillStats {
    let workdir = Workdir::new(&config.base_dir);
    let crashed = CrashedJournal::create(config, &workdir);
    let mut random = Rng::with_seed(config.seed);
    let mut stats = RecoveryKillStats::default();
    let mut open_time = Duration::from_millis(20);
    while stats.kills < config.kills {
        let RecoveryKillConfig { state, backend, seed, .. } = config;
        eprintln!("{state:?} on {backend}, seed {seed}, after {} kills", stats.kills);
        crashed.restore(&workdir);
        for _ in 0..random.u64(1..=MAX_CONSECUTIVE_KILLS) {
            let mut process = start(config, &workdir);
            wait_before_kill(&workdir, &mut random, open_time);
            process.kill();
            let opened = process.next_report().is_some();
            stats.kills += u32::from(process.reap());
            stats.in_recovery += u32::from(!opened);
            stats.after_a_change += u32::from(!opened && workdir.files() != crashed.files);
            crashed.check_readable(&workdir);
        }
        let mut process = start(config, &workdir);
        let opened = process.wait_for("opened");
        let micros = opened.split(' ').next().and_then(|micros| micros.parse().ok()).expect("a number");
        open_time = (open_time + Duration::from_micros(micros)) / 2;
        process.wait_for("closed");
        process.finish();
        stats.recovered += 1;
        crashed.check_recovered(&workdir);
    }
    stats
}

/// Waits for a random time within the open. Half of the waits end after recovery has begun to change files.
fn wait_before_kill(workdir: &Workdir, random: &mut Rng, open_time: Duration) {
    let started = Instant::now();
    let mut deadline = started + delay_up_to(open_time, random);
    if random.bool() {
        let before = workdir.names();
        while workdir.names() == before && started.elapsed() < open_time * 2 {}
        deadline = Instant::now() + delay_up_to(open_time / 12, random);
    }
    spin_until(deadline);
}

fn start(config: &RecoveryKillConfig, workdir: &Workdir) -> ChildProcess {
    let path = workdir.path().to_str().expect("a UTF-8 path");
    let mut process = ChildProcess::start(&config.program, ["open", &config.backend.to_string(), path]);
    process.wait_for("opening");
    process
}

/// The files of a journal after a crash.
struct CrashedJournal {
    files: Vec<(String, Vec<u8>)>,
    /// The bytes of the torn group.
    torn: Vec<u8>,
}

impl CrashedJournal {
    fn create(config: &RecoveryKillConfig, workdir: &Workdir) -> Self {
        let options = JournalOptions::new().backend(config.backend);
        let store = options.open_blocking(workdir.path()).expect("it opens");
        let half = RECORDS / 2;
        store.blocking().append_batch((0..half).map(record)).expect("it is appended");
        store.blocking().append_batch((half..RECORDS).map(record)).expect("it is appended");
        let torn_start = data_end(&fs::read(workdir.path()).expect("it can be read"));
        store.blocking().append_batch((RECORDS..2 * RECORDS).map(record)).expect("it is appended");
        let mut bytes = fs::read(workdir.path()).expect("it can be read");
        store.blocking().close().expect("it can be closed");
        // Tear the last group: its last bytes never reached the disk.
        let end = data_end(&bytes);
        bytes[end - 5000..end].fill(b' ');
        let torn = bytes[torn_start..data_end(&bytes)].to_vec();
        let files = match config.state {
            CrashState::Torn => vec![("journal.jsonl".to_owned(), bytes)],
            CrashState::Rotated => vec![
                ("journal.jsonl.001".to_owned(), bytes),
                ("journal.jsonl.next".to_owned(), vec![b' '; 1 << 20]),
            ],
        };
        Self { files, torn }
    }

    fn restore(&self, workdir: &Workdir) {
        for (name, _) in workdir.files() {
            fs::remove_file(workdir.dir().join(name)).expect("it can be removed");
        }
        for (name, bytes) in &self.files {
            fs::write(workdir.dir().join(name), bytes).expect("it can be written");
        }
    }

    /// Checks that all acknowledged records can be read, however often recovery was killed.
    fn check_readable(&self, workdir: &Workdir) {
        let mut expected = 1..=RECORDS;
        for found in Reader::open(workdir.path()).expect("it can be opened").records::<(u64, String)>() {
            let found = found.unwrap_or_else(|error| panic!("a reader failed: {error}"));
            assert_eq!(Some(found.seq), expected.next());
            assert_eq!(found.value, record(found.seq - 1));
        }
        assert_eq!(expected.next(), None, "records are lost");
    }

    /// Checks that no record is lost, the truncated bytes are kept in a file, and the journal accepts appends.
    fn check_recovered(&self, workdir: &Workdir) {
        self.check_readable(workdir);
        let files = workdir.files();
        let kept = files.iter().filter(|(name, _)| name.contains(".truncated-"));
        let complete = kept.clone().filter(|(_, bytes)| bytes.trim_ascii() == self.torn.trim_ascii()).count();
        assert!(
            complete >= 1,
            "the truncated bytes are not kept: {:?}",
            kept.map(|(name, _)| name).collect::<Vec<_>>()
        );
        assert!(!files.iter().any(|(name, _)| name.ends_with(".next")));
        let store = JournalOptions::new().open_blocking(workdir.path()).expect("it opens again");
        assert!(store.open_report().truncated.is_none(), "the second open truncated again");
        let pending = store.blocking().submit(&(0, "after")).expect("it is accepted");
        assert_eq!(pending.wait().expect("it is appended").seq, RECORDS + 1);
        store.blocking().close().expect("it can be closed");
    }
}

fn record(number: u64) -> (u64, String) {
    (number, format!("{number:0200}"))
}

/// Returns an offset after the last byte that is not padding. The seal of the last group may end in spaces, so one seal
/// length is added.
fn data_end(bytes: &[u8]) -> usize {
    bytes.trim_ascii_end().len() + 33
}
