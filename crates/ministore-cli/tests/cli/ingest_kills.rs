//! Kills `ingest --resume` at random moments, many times: every line is appended exactly once.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use fastrand::Rng;
use ministore_uring::Reader;
use serde_json::value::RawValue;

use crate::support::{CommandExt, TestDir, head, lines};

const ROUNDS: u32 = 30;
const LINES: usize = 2400;

/// Checks that the journal contains a prefix of the text. Returns the number of lines.
fn check_prefix(dir: &TestDir, text: &str) -> usize {
    let records = Reader::open(dir.journal()).unwrap().records::<Box<RawValue>>();
    let mut lines = text.lines();
    let mut count = 0;
    for record in records {
        assert_eq!(Some(record.unwrap().value.get()), lines.next());
        count += 1;
    }
    count
}

#[expect(clippy::print_stderr, reason = "shown if the test fails")]
fn kill_repeatedly(backend: &str) {
    let (dir, text) = (TestDir::new(), lines(LINES));
    let mut random = Rng::with_seed(1);
    let mut durable = 0;
    for round in 0..ROUNDS {
        eprintln!("{backend}, round {round}, {durable} lines in the journal");
        let mut command = dir.ingest();
        command.args(["--resume", "--backend", backend]);
        command.args(["--max-segment-bytes", ["2KiB", "16KiB", "1MiB"][random.usize(..3)]]);
        if random.u8(..4) == 0 {
            command.arg("--no-preallocate");
        }
        let mut child = command.spawn_with_stdin();
        let mut stdin = child.stdin.take().unwrap();
        // Lines that are already present are sent at once, the others one by one, so that each can become a batch.
        let given = (durable + random.usize(1..150)).min(LINES);
        drop(stdin.write_all(head(&text, durable).as_bytes()));
        for line in head(&text, given)[head(&text, durable).len()..].split_inclusive('\n') {
            drop(stdin.write_all(line.as_bytes()));
        }
        let delay = Duration::from_micros(random.u64(..40_000));
        let started = Instant::now();
        match random.u8(..3) {
            0 => while started.elapsed() < delay {},
            1 => {}
            _ => {
                while given > durable
                    && check_prefix(&dir, &text) <= durable
                    && child.try_wait().unwrap().is_none()
                {}
            }
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "the run must be killed");
        let found = check_prefix(&dir, &text);
        assert!((durable..=given).contains(&found), "{found}, not from {durable} to {given}");
        durable = found;
    }
    assert!(durable > 0);
    let output =
        dir.ingest().args(["--resume", "--json", "--backend", backend]).run_with_stdin(text.as_bytes()).ok();
    assert_eq!(output.json()["already_present"], durable);
    assert_eq!(dir.replay(), text);
    dir.command("verify").run().ok();
}

#[test]
fn killed_ingest_stores_each_line_once() {
    kill_repeatedly("auto");
}

#[test]
fn killed_blocking_ingest_stores_each_line_once() {
    kill_repeatedly("blocking");
}
