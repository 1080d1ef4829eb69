//! `replay` of a part of a journal: `--last`, `--to`, `--where` and `--pointer`.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::Command,
    time::Instant,
};

use ministore_uring::{JournalOptions, Reader};
use serde_json::value::RawValue;

use crate::support::{CommandExt, TIMEOUT, TestDir, kill, lines};

/// Creates a journal of 2,000 records in many segments.
fn rotated_journal() -> TestDir {
    let dir = TestDir::new();
    let store = JournalOptions::new().max_segment_bytes(16 << 10).open_blocking(dir.journal()).unwrap();
    let lines = lines(2000);
    let records: Vec<&RawValue> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for batch in records.chunks(20) {
        store.blocking().append_batch(batch).unwrap();
    }
    store.blocking().close().unwrap();
    assert!(dir.path("journal.jsonl.005").exists(), "the journal was not rotated");
    dir
}

fn journal_of(text: &str) -> TestDir {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(text.as_bytes()).ok();
    dir
}

fn replay(dir: &TestDir, args: &[&str]) -> String {
    dir.command("replay").args(args).run().ok().stdout
}

/// Returns records `from..=to` of `lines(2000)`.
fn expected(from: usize, to: usize) -> String {
    lines(2000).split_inclusive('\n').skip(from - 1).take(to + 1 - from).collect()
}

#[test]
fn last_prints_the_newest_records() {
    let dir = rotated_journal();
    for last in [1, 2, 150, 1999, 2000, 5000] {
        let args = ["--last", &last.to_string()];
        assert_eq!(replay(&dir, &args), expected(2001 - last.min(2000), 2000), "--last {last}");
    }
    assert_eq!(replay(&dir, &["--last", "0"]), "");
    assert_eq!(replay(&dir, &["--last", "100", "--limit", "3", "--with-seq"]).lines().count(), 3);
    assert!(replay(&dir, &["--last", "100", "--limit", "3", "--with-seq"]).starts_with("1901\t"));
    assert_eq!(replay(&journal_of(""), &["--last", "3"]), "");
}

/// Older segments are not read, so that damage in them is not found.
#[test]
fn last_does_not_read_older_segments() {
    let dir = rotated_journal();
    crate::support::damage(&dir.path("journal.jsonl.002"), "{\"n\":");
    dir.command("replay").run().code(65);
    assert_eq!(replay(&dir, &["--last", "50"]), expected(1951, 2000));
}

#[test]
fn last_of_trimmed_journal_prints_remaining() {
    let dir = rotated_journal();
    fs::remove_file(dir.path("journal.jsonl.001")).unwrap();
    let first = Reader::open(dir.journal()).unwrap().raw_records().next_record().unwrap().unwrap().seq;
    assert!(first > 1);
    assert_eq!(replay(&dir, &["--last", "1000000"]), expected(first as usize, 2000));
    let followed = replay(&dir, &["--last", "1000000", "--follow", "--limit", "1", "--with-seq"]);
    assert!(followed.starts_with(&format!("{first}\t")), "{followed}");
}

#[test]
fn last_works_without_checksums() {
    let dir = TestDir::new();
    dir.ingest()
        .args(["--no-checksums", "--max-segment-bytes", "1KiB"])
        .run_with_stdin(b"1\n2\n3\n4\n5\n")
        .ok();
    assert_eq!(replay(&dir, &["--last", "2", "--with-seq"]), "4\t4\n5\t5\n");
}

#[test]
fn to_ends_at_the_given_record() {
    let dir = rotated_journal();
    assert_eq!(replay(&dir, &["--to", "3"]), expected(1, 3));
    assert_eq!(replay(&dir, &["--from", "500", "--to", "700"]), expected(500, 700));
    assert_eq!(replay(&dir, &["--from", "700", "--to", "700"]), expected(700, 700));
    assert_eq!(replay(&dir, &["--from", "1999", "--to", "9999"]), expected(1999, 2000));
    assert_eq!(replay(&dir, &["--from", "5", "--to", "9", "--limit", "2"]), expected(5, 6));
}

const EVENTS: &str = "\
{\"type\":\"login\",\"user\":{\"id\":7,\"name\":\"ada\"},\"cost\":1.50}
{\"type\":\"logout\",\"user\":{\"id\":7}}
{\"type\":\"login\",\"user\":{\"id\":8,\"name\":\"bob\"},\"cost\":12345678901234567890123}
[\"login\",{\"id\":9}]
\"login\"
";

#[test]
fn pointer_prints_value_unchanged() {
    let dir = journal_of(EVENTS);
    assert_eq!(replay(&dir, &["--pointer", "/user/name"]), "\"ada\"\n\"bob\"\n");
    assert_eq!(replay(&dir, &["--pointer", "/cost"]), "1.50\n12345678901234567890123\n");
    assert_eq!(replay(&dir, &["--pointer", "/1/id", "--with-seq"]), "4\t9\n");
    assert_eq!(replay(&dir, &["--pointer", ""]), EVENTS);
    assert_eq!(replay(&dir, &["--pointer", "/user/id", "--limit", "2"]), "7\n7\n");
    assert_eq!(replay(&dir, &["--pointer", "/nothing"]), "");
}

#[test]
fn limit_counts_records_that_match_where() {
    let dir = journal_of(EVENTS);
    let events: Vec<&str> = EVENTS.split_inclusive('\n').collect();
    assert_eq!(replay(&dir, &["--where", "/type=\"login\""]), [events[0], events[2]].concat());
    assert_eq!(replay(&dir, &["--where", "/user"]), events[..3].concat());
    assert_eq!(replay(&dir, &["--where", "/type=\"login\"", "--where", "/user/id=8.0"]), events[2]);
    assert_eq!(replay(&dir, &["--where", "=\"login\"", "--with-seq"]), "5\t\"login\"\n");
    assert_eq!(
        replay(&dir, &["--where", "/type=\"login\"", "--pointer", "/user/name", "--limit", "1"]),
        "\"ada\"\n"
    );
    // `--last` applies before `--where`.
    assert_eq!(replay(&dir, &["--last", "4", "--where", "/type=\"login\""]), events[2]);
}

#[test]
fn conflicting_options_return_64() {
    let dir = journal_of("1\n");
    let rejected = |args: &[&str]| dir.command("replay").args(args).run().code(64);
    for other in ["--from", "--to"] {
        let output = rejected(&["--last", "3", other, "2"]);
        assert!(output.stderr.contains("--last") && output.stderr.contains(other), "{output:?}");
    }
    let output = rejected(&["--from", "3", "--to", "2"]);
    assert_eq!(output.error(), "ministore: --to 2 is less than --from 3");
    rejected(&["--pointer", "a"]);
    let output = rejected(&["--where", "/type=login"]);
    assert!(output.stderr.contains("'\"login\"'"), "{output:?}");
    rejected(&["--to", "0"]);
}

/// Like `tail -n N -f`.
#[test]
fn follow_starts_with_last_records() {
    let dir = TestDir::new();
    let store = JournalOptions::new().open_blocking(dir.journal()).unwrap();
    store.blocking().append_batch(1..=9).unwrap();
    let mut command = dir.command("replay");
    let mut child = command.args(["--last", "2", "--follow"]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        line
    };
    assert_eq!([line(), line()], ["8\n", "9\n"]);
    store.blocking().append(&10).unwrap();
    assert_eq!(line(), "10\n");
    kill(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn follow_last_0_prints_only_new_records() {
    let dir = TestDir::new();
    let store = JournalOptions::new().open_blocking(dir.journal()).unwrap();
    store.blocking().append_batch(1..=9).unwrap();
    let mut child = dir.command("replay").args(["--last", "0", "--follow", "--limit", "1"]).spawn().unwrap();
    let started = Instant::now();
    // The test cannot observe when following starts, so it appends until a record was printed.
    let mut newest = 9;
    while child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < TIMEOUT, "the command does not end");
        newest += 1;
        store.blocking().append(&newest).unwrap();
        std::thread::yield_now();
    }
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    let seen: u64 = out.trim_end().parse().unwrap();
    assert!(seen > 9 && seen <= newest, "{out}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn follow_waits_for_the_to_record() {
    let dir = TestDir::new();
    let store = JournalOptions::new().open_blocking(dir.journal()).unwrap();
    store.blocking().append_batch(1..=3).unwrap();
    let mut command = dir.command("replay");
    let child = command.args(["--follow", "--from", "2", "--to", "5"]).spawn().unwrap();
    store.blocking().append_batch(4..=9).unwrap();
    let output = crate::support::ProgramOutput::from(child.wait_with_output().unwrap()).ok();
    assert_eq!(output.stdout, "2\n3\n4\n5\n");
}

#[test]
fn follow_applies_where_and_pointer() {
    let dir = TestDir::new();
    let store = JournalOptions::new().open_blocking(dir.journal()).unwrap();
    let event = |kind: &str, n: u64| serde_json::json!({ "kind": kind, "n": n });
    store.blocking().append_batch([event("a", 1), event("b", 2)]).unwrap();
    let mut command = dir.command("replay");
    let child = command
        .args(["--follow", "--where", "/kind=\"b\"", "--pointer", "/n", "--limit", "3"])
        .spawn()
        .unwrap();
    store.blocking().append_batch([event("b", 3), event("a", 4), event("b", 5), event("b", 6)]).unwrap();
    let output = crate::support::ProgramOutput::from(child.wait_with_output().unwrap()).ok();
    assert_eq!(output.stdout, "2\n3\n5\n");
}

/// Only a few blocks are in memory, however many records are requested.
#[test]
fn last_uses_bounded_memory() {
    let dir = TestDir::new();
    let store = JournalOptions::new().open_blocking(dir.journal()).unwrap();
    let record = "x".repeat(1000);
    for _ in 0..60 {
        store.blocking().append_batch(std::iter::repeat_n(&record, 1000)).unwrap();
    }
    store.blocking().close().unwrap();
    let replay = dir.command("replay");
    let mut limited = Command::new("sh");
    // In KiB: half of the size of the replayed records.
    limited
        .args(["-c", "ulimit -d 30000; exec \"$@\"", "sh"])
        .arg(replay.get_program())
        .args(replay.get_args());
    let output = limited.args(["--last", "59999", "--with-seq"]).output().unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.iter().filter(|&&byte| byte == b'\n').count()),
        (Some(0), 59_999),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
