//! The program is killed at random moments, round after round on one directory, and recovered.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use ministate::Mutator;
use ministore::MiniStore;
use ministore_family_ledger::{Count, JOURNAL, Ledger};

/// `FAMILY_ROUNDS`, or as many as a test has time for.
const ROUNDS: u64 = 100;

/// So many lines a round are waited for, at most.
const LINES_MAX: u64 = 200;

/// What the rounds came to.
#[derive(Debug, Default)]
struct Tally {
    counted: u64,
    snapshots: u64,
    /// Killed while a snapshot was being written: a file of its was not renamed yet.
    inside_snapshots: u64,
    /// Killed between the two renames: the state was new, its number old.
    between_renames: u64,
}

/// What is acknowledged, and what else may be there: of each client one number more.
type Acknowledged = BTreeMap<u32, u64>;

#[test]
fn no_acknowledged_mutation_is_lost_when_the_program_is_killed() {
    let rounds = from_environment("FAMILY_ROUNDS").unwrap_or(ROUNDS);
    let seed = from_environment("FAMILY_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("to have this again: FAMILY_SEED={seed} FAMILY_ROUNDS={rounds} family/run");
    let mut random = seed;
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (mut acknowledged, mut tally) = (Acknowledged::new(), Tally::default());
    for round in 0..rounds {
        let mut program = Program::start(dir.path());
        program.check_recovered(dir.path(), &mut acknowledged, round);
        for _ in 0..next(&mut random) % LINES_MAX {
            program.hear(&mut acknowledged, &mut tally);
        }
        program.kill(&mut acknowledged, &mut tally);
        look_around(dir.path(), &mut tally);
    }
    let mut program = Program::start(dir.path());
    program.check_recovered(dir.path(), &mut acknowledged, rounds);
    program.kill(&mut acknowledged, &mut tally);
    // Past the harness, which swallows what a passing test prints.
    writeln!(io::stderr(), "{rounds} kills: {tally:?}").unwrap();
    assert!(tally.counted > rounds, "{tally:?}");
    if cfg!(feature = "snapshot") {
        assert!(tally.snapshots > rounds && tally.inside_snapshots > 0, "{tally:?}");
    }
}

/// The program, and what it says. Killed where a check fails, too.
struct Program {
    child: Child,
    lines: io::Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ministore-family-ledger"))
            .arg(dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// What the program recovered holds what was acknowledged, and is what the journal says. Takes it in.
    fn check_recovered(&mut self, dir: &Path, acknowledged: &mut Acknowledged, round: u64) {
        let line = self.lines.next().expect("it could not recover").unwrap();
        let (sequence, ledger) = line.strip_prefix("recovered ").unwrap().split_once(' ').unwrap();
        let ledger: Ledger = serde_json::from_str(ledger).unwrap();
        assert_eq!(ledger.lost, 0, "round {round}: {ledger:?}");
        for (client, told) in &*acknowledged {
            let found = ledger.last.get(client).copied().unwrap_or(0);
            assert!(
                found == *told || found == told + 1,
                "round {round}: client {client} was told {told}, found is {found}"
            );
        }
        let records = replay(dir);
        let mut replayed = Ledger::default();
        let known: u64 = ledger.last.values().sum();
        // It counts on already: what is behind that is not part of what it recovered.
        for record in records.iter().take(known as usize) {
            record.apply(&mut replayed);
        }
        assert_eq!(replayed, ledger, "round {round}");
        assert_eq!(
            sequence.parse::<u64>().unwrap(),
            known,
            "round {round}: it does not know how many there are"
        );
        *acknowledged = ledger.last;
    }

    /// One line; `false` at the end.
    fn hear(&mut self, acknowledged: &mut Acknowledged, tally: &mut Tally) -> bool {
        let Some(line) = self.lines.next() else { return false };
        let line = line.unwrap();
        match line.strip_prefix("counted ").map(|counted| counted.split_once(' ').unwrap()) {
            Some((client, number)) => {
                acknowledged.insert(client.parse().unwrap(), number.parse().unwrap());
                tally.counted += 1;
            }
            None => {
                assert_eq!(line, "snapshot");
                tally.snapshots += 1;
            }
        }
        true
    }

    /// Takes in what it still said, whole lines only: `lines` gives the last one without its end.
    fn kill(mut self, acknowledged: &mut Acknowledged, tally: &mut Tally) {
        self.child.kill().unwrap();
        while self.hear(acknowledged, tally) {}
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), None, "it ended before it was killed: {status}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn look_around(dir: &Path, tally: &mut Tally) {
    let is_there = |name: &str| dir.join(name).exists();
    tally.inside_snapshots += u64::from(is_there("snapshot.json.tmp") || is_there("snapshot.seq.tmp"));
    let state = fs::read_to_string(dir.join("snapshot.json"));
    let number = fs::read_to_string(dir.join("snapshot.seq"));
    if let (Ok(state), Ok(number)) = (state, number) {
        let state: Ledger = serde_json::from_str(&state).unwrap();
        let holds: u64 = state.last.values().sum();
        tally.between_renames += u64::from(holds > number.parse().unwrap() && is_there("snapshot.seq.tmp"));
    }
}

fn replay(dir: &Path) -> Vec<Count> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(MiniStore::replay(dir.join(JOURNAL))).unwrap()
}

fn from_environment(name: &str) -> Option<u64> {
    Some(std::env::var(name).ok()?.parse().unwrap())
}

/// An xorshift: any seed but 0.
fn next(random: &mut u64) -> u64 {
    *random = (*random).max(1);
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}
