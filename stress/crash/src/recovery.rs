//! SIGKILL while recovery runs, again and again, over states in which it has much to do.

use std::{
    fmt, fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use ministore_uring::{JournalOptions, Reader};

use crate::{
    child::Talking,
    place::{On, Place},
    random::Random,
};

/// Records in the journal: so many that reading them takes recovery a while.
const RECORDS: u64 = 500;

/// Opens that are cut off before one is left in peace, at most.
const KILLS_IN_A_ROW: u64 = 4;

/// What a crash may leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// A large group at the end of the active segment was never finished.
    Torn,
    /// The same, in a segment that had got its archived name; the next one was prepared, and nothing more.
    Archived,
}

/// What the kills hit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// Processes killed.
    pub kills: u32,
    /// Before the journal was open.
    pub in_recovery: u32,
    /// Of these, after recovery had begun to change files.
    pub after_a_change: u32,
    /// Recoveries that came to their end, each behind one or more kills.
    pub recovered: u32,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, in_recovery, after_a_change, recovered } = self;
        write!(
            f,
            "{kills} kills, {in_recovery} before the journal was open ({after_a_change} after recovery had begun to \
             change files); recovered {recovered} times"
        )
    }
}

/// Where and how often.
#[derive(Debug, Clone)]
pub struct Run {
    /// The program `killed`.
    pub program: PathBuf,
    /// Where the journal may be made.
    pub parent: PathBuf,
    /// What recovery runs on.
    pub on: On,
    /// The state to recover from.
    pub crash: Crash,
    /// How many kills.
    pub kills: u32,
    /// Decides what is decided at random.
    pub seed: u64,
}

/// Runs it.
///
/// # Panics
///
/// Where a rule is broken.
#[must_use]
pub fn run(run: &Run) -> Figures {
    let place = Place::new(&run.parent);
    let crashed = Crashed::make(run, &place);
    let mut random = Random::new(run.seed);
    let mut figures = Figures::default();
    let mut opening = Duration::from_millis(20);
    while figures.kills < run.kills {
        eprintln!("{:?} on {}, seed {}, after {} kills", run.crash, run.on, run.seed, figures.kills);
        crashed.restore(&place);
        for _ in 0..=random.below(KILLS_IN_A_ROW) {
            let mut process = start(run, &place);
            wait_for_the_moment(&place, &mut random, opening);
            process.kill();
            let opened = process.told().is_some();
            figures.kills += u32::from(process.reap());
            figures.in_recovery += u32::from(!opened);
            figures.after_a_change += u32::from(!opened && place.files() != crashed.files);
            crashed.check(&place);
        }
        let mut process = start(run, &place);
        let told = process.expect("opened");
        let took = told.split(' ').next().and_then(|micros| micros.parse().ok()).expect("a number");
        opening = (opening + Duration::from_micros(took)) / 2;
        process.expect("closed");
        process.finish();
        figures.recovered += 1;
        crashed.check_recovered(&place);
    }
    figures
}

/// Any moment while the journal is opened; every second time one after recovery has begun to change files.
fn wait_for_the_moment(place: &Place, random: &mut Random, opening: Duration) {
    let micros = |longest: Duration| u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
    let begun = Instant::now();
    let mut delay = Duration::from_micros(random.below(micros(opening)));
    if random.once_in(2) {
        let before = place.names();
        while place.names() == before && begun.elapsed() < opening * 2 {}
        delay = begun.elapsed() + Duration::from_micros(random.below(micros(opening) / 12));
    }
    while begun.elapsed() < delay {
        std::hint::spin_loop();
    }
}

fn start(run: &Run, place: &Place) -> Talking {
    let path = place.path().to_str().expect("our own name");
    let mut process = Talking::start(&run.program, ["open", &run.on.to_string(), path]);
    process.expect("opening");
    process
}

/// What a crash left.
struct Crashed {
    files: Vec<(String, Vec<u8>)>,
    /// The bytes of the group that was never finished.
    torn: Vec<u8>,
}

impl Crashed {
    fn make(run: &Run, place: &Place) -> Self {
        let store = JournalOptions::new().backend(run.on.0).open_blocking(place.path()).expect("it opens");
        let half = RECORDS / 2;
        store.blocking().append_batch((0..half).map(record)).expect("it is appended");
        store.blocking().append_batch((half..RECORDS).map(record)).expect("it is appended");
        let whole = data_end(&fs::read(place.path()).expect("it can be read"));
        store.blocking().append_batch((RECORDS..2 * RECORDS).map(record)).expect("it is appended");
        let mut bytes = fs::read(place.path()).expect("it can be read");
        store.blocking().close().expect("it can be closed");
        // Its last bytes never reached the disk.
        let end = data_end(&bytes);
        bytes[end - 5000..end].fill(b' ');
        let torn = bytes[whole..data_end(&bytes)].to_vec();
        let files = match run.crash {
            Crash::Torn => vec![("journal.jsonl".to_owned(), bytes)],
            Crash::Archived => vec![
                ("journal.jsonl.001".to_owned(), bytes),
                ("journal.jsonl.next".to_owned(), vec![b' '; 1 << 20]),
            ],
        };
        Self { files, torn }
    }

    fn restore(&self, place: &Place) {
        for (name, _) in place.files() {
            fs::remove_file(place.dir().join(name)).expect("our own file");
        }
        for (name, bytes) in &self.files {
            fs::write(place.dir().join(name), bytes).expect("our own file");
        }
    }

    /// What was acknowledged can be read, however often recovery was cut off.
    fn check(&self, place: &Place) {
        let mut expected = 1..=RECORDS;
        for found in Reader::open(place.path()).expect("it can be opened").records::<(u64, String)>() {
            let found = found.unwrap_or_else(|error| panic!("a reader failed: {error}"));
            assert_eq!(Some(found.seq), expected.next());
            assert_eq!(found.value, record(found.seq - 1));
        }
        assert_eq!(expected.next(), None, "records are gone");
    }

    /// Nothing was lost, what was cut is kept, and the journal can be written.
    fn check_recovered(&self, place: &Place) {
        self.check(place);
        let files = place.files();
        let kept = files.iter().filter(|(name, _)| name.contains(".truncated-"));
        let whole = kept.clone().filter(|(_, bytes)| bytes.trim_ascii() == self.torn.trim_ascii()).count();
        assert!(whole >= 1, "what was cut is not kept: {:?}", kept.map(|(name, _)| name).collect::<Vec<_>>());
        assert!(!files.iter().any(|(name, _)| name.ends_with(".next")));
        let store = JournalOptions::new().open_blocking(place.path()).expect("it opens again");
        assert!(store.open_report().truncated.is_none(), "nothing is left to be cut");
        let pending = store.blocking().submit(&(0, "behind")).expect("it is accepted");
        assert_eq!(pending.wait().expect("it is appended").seq, RECORDS + 1);
        store.blocking().close().expect("it can be closed");
    }
}

fn record(number: u64) -> (u64, String) {
    (number, format!("{number:0200}"))
}

/// Behind the last byte that is not padding; a seal may end in spaces.
fn data_end(bytes: &[u8]) -> usize {
    bytes.trim_ascii_end().len() + 33
}
