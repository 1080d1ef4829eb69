//! Signals during `ingest`: accepted records are durable, and the command does not wait for the end of its input.

use std::{
    fs,
    io::{Write, pipe},
    process::Stdio,
    thread,
    time::Instant,
};

use crate::support::{CommandExt, ProgramOutput, TIMEOUT, TestDir, feed, kill, lines};

fn interrupted(signal: &str, args: &[&str]) -> (TestDir, ProgramOutput) {
    let (dir, text) = (TestDir::new(), lines(1000));
    let mut child = dir.ingest().args(args).spawn_with_stdin();
    feed(&mut child, text.as_bytes());
    dir.wait_for_durable(1000);
    kill(&child, signal);
    // Standard input stays open until the child has ended.
    let stdin = child.stdin.take();
    let output = ProgramOutput::from(child.wait_with_output().unwrap());
    drop(stdin);
    assert_eq!(dir.replay(), text);
    (dir, output)
}

#[test]
fn sigint_returns_130_and_a_summary() {
    let (_place, output) = interrupted("INT", &[]);
    let output = output.code(130);
    assert!(output.stdout.contains("1,000 durable (interrupted)"), "{}", output.stdout);
    assert!(output.error().contains("--resume"), "{}", output.error());
}

#[test]
fn sigterm_returns_143_and_a_summary() {
    let (_place, output) = interrupted("TERM", &["--json"]);
    let output = output.code(143);
    assert_eq!((&output.json()["records"], &output.json()["outcome"]), (&1000.into(), &"interrupted".into()));
}

#[test]
fn signal_closes_the_journal() {
    let (dir, _) = interrupted("INT", &[]);
    let inspect = dir.command("inspect").arg("--json").run().ok().json();
    assert_eq!(inspect["segments"][0]["state"], "closed", "{inspect}");
}

#[test]
fn interrupted_run_is_resumed() {
    let (dir, _) = interrupted("INT", &[]);
    let text = lines(1500);
    dir.ingest().arg("--resume").run_with_stdin(text.as_bytes()).ok();
    assert_eq!(dir.replay(), text);
}

/// Sends two signals to a run that cannot finish, because its summary does not fit into the full pipe.
fn interrupted_twice(first: &str, second: &str, code: i32) {
    let (dir, text) = (TestDir::new(), lines(300));
    let (_unread, mut full) = pipe().unwrap();
    let capacity = rustix::pipe::fcntl_getpipe_size(&full).unwrap();
    full.write_all(&vec![b'.'; capacity]).unwrap();
    let mut command = dir.ingest();
    let mut child = command.stdin(Stdio::piped()).stdout(full).spawn().unwrap();
    feed(&mut child, text.as_bytes());
    dir.wait_for_durable(300);
    kill(&child, first);
    let started = Instant::now();
    let wait_for = |what: &str, mut is_done: Box<dyn FnMut() -> bool + '_>| {
        while !is_done() {
            assert!(started.elapsed() < TIMEOUT, "{what}");
            thread::yield_now();
        }
    };
    wait_for("the journal is not closed", Box::new(|| fs::read(dir.journal()).unwrap().ends_with(b"\t\n")));
    assert!(child.try_wait().unwrap().is_none(), "the run ended although its summary cannot be written");
    kill(&child, second);
    let mut status = None;
    wait_for(
        "the run does not end",
        Box::new(|| {
            status = child.try_wait().unwrap();
            status.is_some()
        }),
    );
    assert_eq!(status.unwrap().code(), Some(code));
    assert_eq!(dir.replay(), text);
    dir.ingest().arg("--resume").run_with_stdin(lines(400).as_bytes()).ok();
    assert_eq!(dir.replay(), lines(400));
}

#[test]
fn second_sigint_ends_a_blocked_run() {
    interrupted_twice("INT", "INT", 130);
}

#[test]
fn sigterm_after_sigint_ends_a_blocked_run() {
    interrupted_twice("INT", "TERM", 143);
}
