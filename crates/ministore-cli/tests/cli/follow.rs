//! `replay --follow`: prints records as they become durable.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
    time::Instant,
};

use ministore_uring::{JournalOptions, MiniStore, Reader};

use crate::support::{CommandExt, ProgramOutput, TIMEOUT, TestDir, kill, lines};

struct FollowProcess {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl FollowProcess {
    fn start(command: &mut Command) -> Self {
        let mut child = command.arg("--follow").spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// Waits for the next line.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    /// Waits until the command ends.
    fn wait(mut self) -> ProgramOutput {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        let mut output = ProgramOutput::from(self.child.wait_with_output().unwrap());
        output.stdout = rest;
        output
    }
}

fn store(dir: &TestDir) -> MiniStore {
    JournalOptions::new().max_segment_bytes(4000).open_blocking(dir.journal()).unwrap()
}

#[test]
fn follow_prints_appended_records() {
    let dir = TestDir::new();
    let store = store(&dir);
    store.blocking().append(&0).unwrap();
    let mut following = FollowProcess::start(dir.command("replay").arg("--with-seq"));
    assert_eq!(following.line(), "1\t0\n");
    for n in 1..50 {
        store.blocking().append(&n).unwrap();
        assert_eq!(following.line(), format!("{}\t{n}\n", n + 1));
    }
    kill(&following.child, "INT");
    assert_eq!(following.wait().code(130).stdout, "");
}

#[test]
fn follow_continues_over_rotations_and_reopens() {
    let (dir, text) = (TestDir::new(), lines(900));
    dir.ingest().run_with_stdin(b"").ok();
    let mut following = FollowProcess::start(&mut dir.command("replay"));
    let mut seen = String::new();
    for part in text.split_inclusive('\n').collect::<Vec<_>>().chunks(300) {
        dir.ingest().args(["--max-segment-bytes", "16KiB"]).run_with_stdin(part.concat().as_bytes()).ok();
        for _ in 0..part.len() {
            seen += &following.line();
        }
    }
    assert_eq!(seen, text);
    assert!(dir.snapshot().len() > 5, "the journal was not rotated");
    kill(&following.child, "TERM");
    following.wait().code(143);
}

#[test]
fn follow_limit_ends_the_command() {
    let dir = TestDir::new();
    let store = store(&dir);
    store.blocking().append_batch([1, 2, 3]).unwrap();
    let following = FollowProcess::start(dir.command("replay").args(["--from", "2", "--limit", "3"]));
    store.blocking().append_batch([4, 5]).unwrap();
    assert_eq!(following.wait().ok().stdout, "2\n3\n4\n");
}

#[test]
fn follow_ends_when_stdout_reader_closes() {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(b"1\n").ok();
    let mut following = FollowProcess::start(&mut dir.command("replay"));
    assert_eq!(following.line(), "1\n");
    let FollowProcess { mut child, stdout } = following;
    drop(stdout);
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < TIMEOUT, "the command does not end");
        std::thread::yield_now();
    }
    let output = ProgramOutput::from(child.wait_with_output().unwrap()).ok();
    assert!(output.errors().is_empty(), "{output:?}");
}

#[test]
fn follow_from_trimmed_record_returns_66() {
    let dir = TestDir::new();
    let store = store(&dir);
    for n in 0..40 {
        store.blocking().append_batch(vec![n; 100]).unwrap();
    }
    store.blocking().close().unwrap();
    std::fs::remove_file(dir.path("journal.jsonl.001")).unwrap();
    let first = Reader::open(dir.journal()).unwrap().records::<u64>().next().unwrap().unwrap().seq;
    let output = dir.command("replay").args(["--follow", "--from", "1"]).run().code(66);
    assert!(output.error().contains(&format!("records before {first} were trimmed")), "{output:?}");
    let oldest = dir.command("replay").args(["--follow", "--with-seq", "--limit", "1"]).run().ok();
    assert!(oldest.stdout.starts_with(&format!("{first}\t")), "{oldest:?}");
}

#[test]
fn follow_missing_journal_returns_66() {
    let dir = TestDir::new();
    dir.command("replay").arg("--follow").run().code(66);
}

/// Kills the writer repeatedly while it appends: every followed record stays in the journal.
#[test]
fn followed_records_survive_writer_kills() {
    const ROUNDS: usize = 8;
    let (dir, text) = (TestDir::new(), lines(200_000));
    dir.ingest().run_with_stdin(b"0\n").ok();
    let mut following = FollowProcess::start(dir.command("replay").arg("--with-seq"));
    let mut seen = following.line();
    for round in 0..ROUNDS {
        let mut command = dir.ingest();
        command.args(["--max-segment-bytes", "64KiB"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = text.clone();
        let feeder =
            std::thread::spawn(move || drop(std::io::Write::write_all(&mut stdin, input.as_bytes())));
        for _ in 0..100 + round * 370 {
            seen += &following.line();
        }
        kill(&child, "KILL");
        child.wait().unwrap();
        feeder.join().unwrap();
    }
    dir.ingest().run_with_stdin(b"\"end\"\n").ok();
    loop {
        let line = following.line();
        seen += &line;
        if line.ends_with("\t\"end\"\n") {
            break;
        }
    }
    kill(&following.child, "INT");
    following.wait().code(130);
    assert_eq!(seen, dir.command("replay").arg("--with-seq").run().ok().stdout);
}
