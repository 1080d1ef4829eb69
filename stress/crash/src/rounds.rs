//! SIGKILL at random moments, round after round over one journal.
//!
//! Each round a process opens the journal (so that it recovers what the round before left), writes from three threads
//! and tells what is acknowledged, until it is killed: after so many acknowledgements, at any moment, or while it opens.
//! After each kill everything is compared with the [`Model`]. Another process reads all the while.

use std::{
    fmt, fs,
    io::Write,
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, Instant},
};

use ministore_uring::{JournalOptions, SyncMode};

use crate::{
    child::Talking,
    entry::Mark,
    model::Model,
    place::{On, Place},
    random::Random,
};

/// All of the journal is looked at every so many rounds; else what is new.
const FULL_CHECK_ROUNDS: u32 = 25;

/// A run of rounds.
#[derive(Debug, Clone)]
pub struct Run {
    /// The program `killed`.
    pub program: PathBuf,
    /// Where the journal may be made.
    pub parent: PathBuf,
    /// What the writers write on.
    pub on: On,
    /// How many kills.
    pub rounds: u32,
    /// Decides what is decided at random. When a kill hits is random by itself.
    pub seed: u64,
}

/// One round's process.
#[derive(Debug, Clone, Copy)]
pub struct Writing {
    on: On,
    /// Numbers the process.
    pub round: u32,
    segment_bytes: u64,
    segments_kept: usize,
    preallocate: bool,
    direct: bool,
    sync_mode: SyncMode,
    group_bytes: u64,
}

impl Writing {
    fn draw(on: On, round: u32, random: &mut Random) -> Self {
        // Tiny, so that kills hit rotations; now and then large enough that none is due.
        let segment_bytes = [700, 1500, 4000, 12_000, 1 << 20][random.below(5) as usize];
        // Whole stretches of rounds, so that the journal grows in between.
        let retains = round / 20 % 4 == 3;
        let segments_kept = if retains { 2 + random.below(6) as usize } else { usize::MAX };
        let (preallocate, direct) = (!random.once_in(5), !random.once_in(4));
        // With small ones the next is laid out while one is being written.
        let group_bytes = [1, 300, 1 << 20][random.below(3) as usize];
        let sync_mode = [SyncMode::Auto, SyncMode::Dsync, SyncMode::Fdatasync][random.below(3) as usize];
        Self { on, round, segment_bytes, segments_kept, preallocate, direct, sync_mode, group_bytes }
    }

    fn args(self, path: &Path) -> Vec<String> {
        let Self { on, round, segment_bytes, segments_kept, preallocate, direct, sync_mode, group_bytes } =
            self;
        let path = path.to_str().expect("our own name");
        let text = format!(
            "write {on} {path} {round} {segment_bytes} {segments_kept} {preallocate} {direct} {sync_mode} {group_bytes}"
        );
        text.split(' ').map(str::to_owned).collect()
    }

    /// Of the process, in the order of [`args`](Self::args), the role left out.
    ///
    /// # Panics
    ///
    /// Where they are not what the parent gave.
    #[must_use]
    pub fn from_args(args: &[&str]) -> Self {
        fn parsed<T: FromStr<Err: fmt::Debug>>(text: &str) -> T {
            text.parse().expect("as the parent wrote it")
        }
        let [on, _, round, segment_bytes, segments_kept, preallocate, direct, sync_mode, group_bytes] = *args
        else {
            panic!("{args:?}");
        };
        Self {
            on: parsed(on),
            round: parsed(round),
            segment_bytes: parsed(segment_bytes),
            segments_kept: parsed(segments_kept),
            preallocate: parsed(preallocate),
            direct: parsed(direct),
            sync_mode: parsed(sync_mode),
            group_bytes: parsed(group_bytes),
        }
    }

    /// What the process opens the journal with.
    #[must_use]
    pub fn options(&self) -> JournalOptions {
        JournalOptions::new()
            .backend(self.on.0)
            .max_segment_bytes(self.segment_bytes)
            .max_segments(self.segments_kept)
            .preallocate(self.preallocate)
            .direct_io(self.direct)
            .sync_mode(self.sync_mode)
            .max_group_bytes(self.group_bytes)
    }
}

/// When a process is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// When it has told so many acknowledgements.
    Acknowledged(u64),
    /// So long after it began to open the journal.
    After(Duration),
}

/// What the kills hit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Processes killed.
    pub kills: u32,
    /// While the journal was being opened or recovered.
    pub in_open: u32,
    /// While a segment was being rotated: the active name was missing, or the newest archived segment not closed.
    pub in_rotation: u32,
    /// While the next segment was prepared, or lay ready.
    pub next_prepared: u32,
    /// At any other moment after opening.
    pub steady: u32,
    /// Opens that cut a torn group.
    pub torn: u32,
    /// Opens that completed a rotation.
    pub rotations_completed: u32,
    /// Records acknowledged, and found.
    pub acknowledged: usize,
    /// Records in all: some were written and not acknowledged any more.
    pub written: u64,
    /// Readings of the other process.
    pub readings: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, in_open, in_rotation, next_prepared, steady, torn, rotations_completed, .. } = self;
        let Self { acknowledged, written, readings, .. } = self;
        write!(
            f,
            "{kills} kills: {in_open} in open and recovery, {in_rotation} in a rotation, {next_prepared} while one was \
             being prepared, {steady} elsewhere; {torn} torn groups cut, {rotations_completed} rotations completed by \
             recovery; {acknowledged} records acknowledged and found, of {written} written; {readings} readings beside \
             it"
        )
    }
}

/// Runs it.
///
/// # Panics
///
/// Where a rule is broken: with the round and the seed.
#[must_use]
pub fn run(run: &Run) -> Figures {
    let place = Place::new(&run.parent);
    let reader = Talking::start(&run.program, ["read", place.path().to_str().expect("our own name")]);
    let mut rounds = Rounds {
        run,
        reader,
        random: Random::new(run.seed),
        model: Model::new(),
        figures: Figures::default(),
        opening: Duration::from_millis(3),
        place,
    };
    for round in 0..run.rounds {
        // Shown where the round fails.
        eprintln!("{}, seed {}, round {round}", run.on, run.seed);
        rounds.round(round);
        assert!(rounds.reader.child.try_wait().expect("our own child").is_none(), "the reader failed");
    }
    rounds.finish();
    let Rounds { mut figures, model, reader, place: _place, .. } = rounds;
    let read = reader.finish().pop().expect("it tells how much it read");
    let readings = read.split(' ').nth(1).and_then(|count| count.parse().ok());
    figures.readings = readings.expect("a count");
    (figures.acknowledged, figures.written) = (model.len(), model.newest());
    figures
}

struct Rounds<'a> {
    run: &'a Run,
    place: Place,
    reader: Talking,
    random: Random,
    model: Model,
    figures: Figures,
    /// How long opening took lately.
    opening: Duration,
}

impl Rounds<'_> {
    fn round(&mut self, round: u32) {
        let writing = Writing::draw(self.run.on, round, &mut self.random);
        if writing.segments_kept != usize::MAX {
            self.model.retain();
        }
        let moment = self.moment();
        let opened = self.kill(writing, moment);
        self.classify(opened);
        if (round + 1).is_multiple_of(FULL_CHECK_ROUNDS) {
            self.model.check_all(self.place.path());
        } else {
            self.model.check_new(self.place.path());
        }
        // They pile up: one for every torn group.
        for name in self.place.names() {
            if name.contains(".truncated-") {
                fs::remove_file(self.place.dir().join(name)).expect("our own file");
            }
        }
    }

    fn moment(&mut self) -> Moment {
        let up_to = |random: &mut Random, longest: Duration| {
            let micros = longest.as_micros().try_into().unwrap_or(u64::MAX);
            Duration::from_micros(random.below(micros))
        };
        match self.random.below(4) {
            0 => Moment::After(up_to(&mut self.random, self.opening * 5 / 4)),
            1 => Moment::After(up_to(&mut self.random, self.opening * 6)),
            _ => Moment::Acknowledged(1 + self.random.below(60)),
        }
    }

    /// `true` where the journal was open when the process was killed.
    fn kill(&mut self, writing: Writing, moment: Moment) -> bool {
        let mut writer = Talking::start(&self.run.program, writing.args(self.place.path()));
        writer.expect("opening");
        self.read_beside();
        let mut left = match moment {
            Moment::Acknowledged(records) => Some(records),
            Moment::After(delay) => {
                let begun = Instant::now();
                while begun.elapsed() < delay {
                    std::hint::spin_loop();
                }
                writer.kill();
                None
            }
        };
        let mut opened = false;
        while let Some(line) = writer.told() {
            let words: Vec<_> = line.split(' ').collect();
            let number = |index: usize| words[index].parse::<u64>().expect("a number");
            match words[0] {
                "opened" => {
                    opened = true;
                    self.read_beside();
                    self.opened(Duration::from_micros(number(1)), number(2), number(3), words[4] == "true");
                }
                "ack" => {
                    let part = |index| u32::try_from(number(index)).expect("a small number");
                    let mark = Mark { round: part(2), writer: part(3), count: part(4), place: part(5) };
                    self.model.acknowledge(number(1), mark);
                    left = left.map(|left| left.saturating_sub(1));
                    if number(1) % 4 == 0 {
                        self.read_beside();
                    }
                    if left == Some(0) {
                        writer.kill();
                        left = None;
                    }
                }
                other => panic!("it told {other}"),
            }
        }
        assert_eq!(left, None, "the process ended by itself");
        assert!(writer.reap(), "the process ended by itself");
        self.figures.kills += 1;
        opened
    }

    /// Has the other process read the journal, beside what comes now.
    fn read_beside(&mut self) {
        let asked = self.reader.child.stdin.as_mut().map(|stdin| stdin.write_all(b"."));
        asked.expect("it was asked for").expect("the reader is there");
    }

    /// Recovery keeps what readers saw before it, and nothing else.
    fn opened(&mut self, took: Duration, next_seq: u64, cut: u64, rotation_completed: bool) {
        self.opening = (self.opening * 3 + took) / 4;
        assert_eq!(next_seq, self.model.newest() + 1, "recovery and readers disagree");
        self.figures.torn += u32::from(cut > 0);
        self.figures.rotations_completed += u32::from(rotation_completed);
    }

    fn classify(&mut self, opened: bool) {
        let names = self.place.names();
        let active = names.iter().any(|name| name == "journal.jsonl");
        let next = names.iter().any(|name| name.ends_with(".next"));
        let number = |name: &str| name.strip_prefix("journal.jsonl.").and_then(|n| n.parse::<u64>().ok());
        let newest = names.iter().filter_map(|name| Some((number(name)?, name))).max();
        let bytes = newest.map(|(_, name)| fs::read(self.place.dir().join(name)).expect("it can be read"));
        let unfinished = bytes.is_some_and(|bytes| !bytes.ends_with(b"\t\n"));
        let figures = &mut self.figures;
        match () {
            () if !opened => figures.in_open += 1,
            () if !active || unfinished => figures.in_rotation += 1,
            () if next => figures.next_prepared += 1,
            () => figures.steady += 1,
        }
    }

    /// Opened and closed in peace.
    fn finish(&mut self) {
        let options = JournalOptions::new().backend(self.run.on.0);
        let store = options.open_blocking(self.place.path()).expect("the last kill is recovered from, too");
        assert_eq!(store.open_report().next_seq, self.model.newest() + 1);
        store.blocking().close().expect("it can be closed");
        self.model.check_all(self.place.path());
    }
}
