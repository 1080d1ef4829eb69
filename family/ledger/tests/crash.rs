//! The program is killed at random moments, many rounds on one directory, and recovered.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use fastrand::Rng;
use ministate::Mutator;
use ministore::MiniStore;
use ministore_family_ledger::{Count, JOURNAL, Ledger};

/// The default of `FAMILY_ROUNDS`.
const ROUNDS: u64 = 100;

/// Maximum number of reports per round before the kill.
const MAX_REPORTS: u64 = 200;

/// Counts over all rounds.
#[derive(Debug, Default)]
struct KillStats {
    counted: u64,
    snapshots: u64,
    /// Kills while a snapshot was being written: one of its files was not renamed yet.
    inside_snapshots: u64,
    /// Kills between the two renames: the state was new, its number old.
    between_renames: u64,
}

/// The last acknowledged number of each client. The state may contain one number more per client.
type Acknowledged = BTreeMap<u32, u64>;

#[test]
fn acknowledged_mutations_survive_kills() {
    let rounds = env_number("FAMILY_ROUNDS").unwrap_or(ROUNDS);
    let seed = env_number("FAMILY_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("to repeat this run: FAMILY_SEED={seed} FAMILY_ROUNDS={rounds} family/run");
    let mut random = Rng::with_seed(seed);
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (mut acknowledged, mut stats) = (Acknowledged::new(), KillStats::default());
    for round in 0..rounds {
        let mut program = LedgerProcess::start(dir.path());
        program.check_recovered(dir.path(), &mut acknowledged, round);
        for _ in 0..random.u64(..MAX_REPORTS) {
            program.read_report(&mut acknowledged, &mut stats);
        }
        program.kill(&mut acknowledged, &mut stats);
        count_snapshot_state(dir.path(), &mut stats);
    }
    let mut program = LedgerProcess::start(dir.path());
    program.check_recovered(dir.path(), &mut acknowledged, rounds);
    program.kill(&mut acknowledged, &mut stats);
    // Write to standard error directly, because the test harness captures `eprintln!` of passing tests.
    writeln!(io::stderr(), "{rounds} kills: {stats:?}").unwrap();
    assert!(stats.counted > rounds, "{stats:?}");
    if cfg!(feature = "snapshot") {
        assert!(stats.snapshots > rounds && stats.inside_snapshots > 0, "{stats:?}");
    }
}

/// The running program and its reports. It is killed on drop, so that a failed check leaves no process.
struct LedgerProcess {
    child: Child,
    lines: io::Lines<BufReader<ChildStdout>>,
}

impl LedgerProcess {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ministore-family-ledger"))
            .arg(dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Checks that the recovered state contains the acknowledged mutations and equals a replay of the journal, then
    /// updates `acknowledged` from it.
    fn check_recovered(&mut self, dir: &Path, acknowledged: &mut Acknowledged, round: u64) {
        let line = self.lines.next().expect("the program recovers").unwrap();
        let (sequence, ledger) = line.strip_prefix("recovered ").unwrap().split_once(' ').unwrap();
        let ledger: Ledger = serde_json::from_str(ledger).unwrap();
        assert_eq!(ledger.lost, 0, "round {round}: {ledger:?}");
        for (client, acked) in &*acknowledged {
            let found = ledger.last.get(client).copied().unwrap_or(0);
            assert!(
                found == *acked || found == acked + 1,
                "round {round}: client {client}: acknowledged {acked}, found {found}"
            );
        }
        let records = replay(dir);
        let mut replayed = Ledger::default();
        let known: u64 = ledger.last.values().sum();
        // The program has already appended more mutations, which are not part of the recovered state.
        for record in records.iter().take(known as usize) {
            record.apply(&mut replayed);
        }
        assert_eq!(replayed, ledger, "round {round}");
        assert_eq!(sequence.parse::<u64>().unwrap(), known, "round {round}: wrong sequence number");
        *acknowledged = ledger.last;
    }

    /// Reads one report. Returns `false` at the end of the output.
    fn read_report(&mut self, acknowledged: &mut Acknowledged, stats: &mut KillStats) -> bool {
        let Some(line) = self.lines.next() else { return false };
        let line = line.unwrap();
        match line.strip_prefix("counted ").map(|counted| counted.split_once(' ').unwrap()) {
            Some((client, number)) => {
                acknowledged.insert(client.parse().unwrap(), number.parse().unwrap());
                stats.counted += 1;
            }
            None => {
                assert_eq!(line, "snapshot");
                stats.snapshots += 1;
            }
        }
        true
    }

    /// Kills the program and reads its remaining reports.
    fn kill(mut self, acknowledged: &mut Acknowledged, stats: &mut KillStats) {
        self.child.kill().unwrap();
        while self.read_report(acknowledged, stats) {}
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), None, "the program ended before the kill: {status}");
    }
}

impl Drop for LedgerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn count_snapshot_state(dir: &Path, stats: &mut KillStats) {
    let exists = |name: &str| dir.join(name).exists();
    stats.inside_snapshots += u64::from(exists("snapshot.json.tmp") || exists("snapshot.seq.tmp"));
    let state = fs::read_to_string(dir.join("snapshot.json"));
    let number = fs::read_to_string(dir.join("snapshot.seq"));
    if let (Ok(state), Ok(number)) = (state, number) {
        let state: Ledger = serde_json::from_str(&state).unwrap();
        let applied: u64 = state.last.values().sum();
        stats.between_renames += u64::from(applied > number.parse().unwrap() && exists("snapshot.seq.tmp"));
    }
}

fn replay(dir: &Path) -> Vec<Count> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(MiniStore::replay(dir.join(JOURNAL))).unwrap()
}

fn env_number(name: &str) -> Option<u64> {
    Some(std::env::var(name).ok()?.parse().unwrap())
}
