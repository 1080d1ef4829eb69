//! `ingest --resume` killed at random moments, round after round: no line is lost, none is there twice.

use std::{
    io::Write,
    ops::Range,
    time::{Duration, Instant},
};

use ministore_uring::Reader;
use serde_json::value::RawValue;

use crate::support::{Place, Run, head, lines};

const ROUNDS: u32 = 30;
const LINES: usize = 2400;

/// Numbers that look random, from a seed (xorshift).
struct Random(u64);

impl Random {
    fn draw(&mut self, range: Range<u64>) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        range.start + self.0 % (range.end - range.start)
    }
}

/// The journal holds the first lines of the text and nothing else; how many.
fn check(place: &Place, text: &str) -> usize {
    let records = Reader::open(place.journal()).unwrap().records::<Box<RawValue>>();
    let mut lines = text.lines();
    let mut count = 0;
    for record in records {
        assert_eq!(Some(record.unwrap().value.get()), lines.next());
        count += 1;
    }
    count
}

#[expect(clippy::print_stderr, reason = "shown where the test fails")]
fn killed_over_and_over(backend: &str) {
    let (place, text) = (Place::new(), lines(LINES));
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut durable = 0;
    for round in 0..ROUNDS {
        eprintln!("{backend}, round {round}, {durable} lines in the journal");
        let mut command = place.ingest();
        command.args(["--resume", "--backend", backend]);
        command.args(["--max-segment-bytes", ["2KiB", "16KiB", "1MiB"][random.draw(0..3) as usize]]);
        if random.draw(0..4) == 0 {
            command.arg("--no-preallocate");
        }
        let mut child = command.begin();
        let mut stdin = child.stdin.take().unwrap();
        // What is there already at once, the rest in pieces: each may become a batch of its own.
        let given = (durable + random.draw(1..150) as usize).min(LINES);
        drop(stdin.write_all(head(&text, durable).as_bytes()));
        for line in head(&text, given)[head(&text, durable).len()..].split_inclusive('\n') {
            drop(stdin.write_all(line.as_bytes()));
        }
        let delay = Duration::from_micros(random.draw(0..40_000));
        let begun = Instant::now();
        match random.draw(0..3) {
            0 => while begun.elapsed() < delay {},
            1 => {}
            _ => {
                while given > durable
                    && check(&place, &text) <= durable
                    && child.try_wait().unwrap().is_none()
                {}
            }
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "it was killed");
        let found = check(&place, &text);
        assert!((durable..=given).contains(&found), "{found}, not from {durable} to {given}");
        durable = found;
    }
    assert!(durable > 0);
    let ran =
        place.ingest().args(["--resume", "--json", "--backend", backend]).run_with(text.as_bytes()).ok();
    assert_eq!(ran.json()["already_present"], durable);
    assert_eq!(place.replay(), text);
    place.command("verify").run().ok();
}

#[test]
fn a_run_that_is_killed_over_and_over_takes_every_line_once() {
    killed_over_and_over("auto");
}

#[test]
fn a_run_that_is_killed_over_and_over_takes_every_line_once_with_blocking_calls() {
    killed_over_and_over("blocking");
}
