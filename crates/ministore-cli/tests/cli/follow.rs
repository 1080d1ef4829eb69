//! `replay --follow`: records as they become durable, until somebody has seen enough.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
    time::Instant,
};

use ministore_uring::{JournalOptions, MiniStore, Reader};

use crate::support::{PATIENCE, Place, Ran, Run, kill, lines};

struct Following {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Following {
    fn begin(command: &mut Command) -> Self {
        let mut child = command.arg("--follow").spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// The next line, which comes by itself.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }

    /// Waits for its end.
    fn end(mut self) -> Ran {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        let mut ran = Ran::from(self.child.wait_with_output().unwrap());
        ran.out = rest;
        ran
    }
}

fn store(place: &Place) -> MiniStore {
    JournalOptions::new().max_segment_bytes(4000).open_blocking(place.journal()).unwrap()
}

#[test]
fn what_is_appended_is_shown_at_once() {
    let place = Place::new();
    let store = store(&place);
    store.blocking().append(&0).unwrap();
    let mut following = Following::begin(place.command("replay").arg("--with-seq"));
    assert_eq!(following.line(), "1\t0\n");
    for n in 1..50 {
        store.blocking().append(&n).unwrap();
        assert_eq!(following.line(), format!("{}\t{n}\n", n + 1));
    }
    kill(&following.child, "INT");
    assert_eq!(following.end().code(130).out, "");
}

#[test]
fn follow_continues_over_rotations_and_reopens() {
    let (place, text) = (Place::new(), lines(900));
    place.ingest().run_with(b"").ok();
    let mut following = Following::begin(&mut place.command("replay"));
    let mut seen = String::new();
    for part in text.split_inclusive('\n').collect::<Vec<_>>().chunks(300) {
        place.ingest().args(["--max-segment-bytes", "16KiB"]).run_with(part.concat().as_bytes()).ok();
        for _ in 0..part.len() {
            seen += &following.line();
        }
    }
    assert_eq!(seen, text);
    assert!(place.snapshot().len() > 5, "it was not rotated");
    kill(&following.child, "TERM");
    following.end().code(143);
}

#[test]
fn it_ends_after_so_many_records() {
    let place = Place::new();
    let store = store(&place);
    store.blocking().append_batch([1, 2, 3]).unwrap();
    let following = Following::begin(place.command("replay").args(["--from", "2", "--limit", "3"]));
    store.blocking().append_batch([4, 5]).unwrap();
    assert_eq!(following.end().ok().out, "2\n3\n4\n");
}

#[test]
fn it_ends_with_its_reader_though_there_is_nothing_to_write() {
    let place = Place::new();
    place.ingest().run_with(b"1\n").ok();
    let mut following = Following::begin(&mut place.command("replay"));
    assert_eq!(following.line(), "1\n");
    let Following { mut child, out } = following;
    drop(out);
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        std::thread::yield_now();
    }
    let ran = Ran::from(child.wait_with_output().unwrap()).ok();
    assert!(ran.errors().is_empty(), "{ran:?}");
}

#[test]
fn records_that_were_deleted_are_no_silence() {
    let place = Place::new();
    let store = store(&place);
    for n in 0..40 {
        store.blocking().append_batch(vec![n; 100]).unwrap();
    }
    store.blocking().close().unwrap();
    std::fs::remove_file(place.path("journal.jsonl.001")).unwrap();
    let first = Reader::open(place.journal()).unwrap().records::<u64>().next().unwrap().unwrap().seq;
    let ran = place.command("replay").args(["--follow", "--from", "1"]).run().code(66);
    assert!(ran.error().contains(&format!("records before {first} were trimmed")), "{ran:?}");
    let oldest = place.command("replay").args(["--follow", "--with-seq", "--limit", "1"]).run().ok();
    assert!(oldest.out.starts_with(&format!("{first}\t")), "{oldest:?}");
}

#[test]
fn a_mistyped_name_is_not_waited_for() {
    let place = Place::new();
    place.command("replay").arg("--follow").run().code(66);
}

/// The writer is killed in the middle of its work, again and again; what was shown is what is kept.
#[test]
fn what_was_shown_is_kept_though_writers_are_killed() {
    const ROUNDS: usize = 8;
    let (place, text) = (Place::new(), lines(200_000));
    place.ingest().run_with(b"0\n").ok();
    let mut following = Following::begin(place.command("replay").arg("--with-seq"));
    let mut seen = following.line();
    for round in 0..ROUNDS {
        let mut command = place.ingest();
        command.args(["--max-segment-bytes", "64KiB"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = text.clone();
        let feeding =
            std::thread::spawn(move || drop(std::io::Write::write_all(&mut stdin, input.as_bytes())));
        for _ in 0..100 + round * 370 {
            seen += &following.line();
        }
        kill(&child, "KILL");
        child.wait().unwrap();
        feeding.join().unwrap();
    }
    place.ingest().run_with(b"\"end\"\n").ok();
    loop {
        let line = following.line();
        seen += &line;
        if line.ends_with("\t\"end\"\n") {
            break;
        }
    }
    kill(&following.child, "INT");
    following.end().code(130);
    assert_eq!(seen, place.command("replay").arg("--with-seq").run().ok().out);
}
