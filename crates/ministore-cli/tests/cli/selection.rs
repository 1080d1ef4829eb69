//! `replay` of a part of a journal: the newest records, up to some record, those with some value, a part of each.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::Command,
    time::Instant,
};

use ministore_uring::{JournalOptions, Reader};
use serde_json::value::RawValue;

use crate::support::{PATIENCE, Place, Run, kill, lines};

/// Many segments: 2,000 records.
fn segments() -> Place {
    let place = Place::new();
    let store = JournalOptions::new().max_segment_bytes(16 << 10).open_blocking(place.journal()).unwrap();
    let lines = lines(2000);
    let records: Vec<&RawValue> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for batch in records.chunks(20) {
        store.blocking().append_batch(batch).unwrap();
    }
    store.blocking().close().unwrap();
    assert!(place.path("journal.jsonl.005").exists(), "it was not rotated");
    place
}

fn with(text: &str) -> Place {
    let place = Place::new();
    place.ingest().run_with(text.as_bytes()).ok();
    place
}

fn replay(place: &Place, args: &[&str]) -> String {
    place.command("replay").args(args).run().ok().out
}

/// Records `from..=to` of `lines(2000)`.
fn expected(from: usize, to: usize) -> String {
    lines(2000).split_inclusive('\n').skip(from - 1).take(to + 1 - from).collect()
}

#[test]
fn the_newest_records_are_the_end_of_the_whole() {
    let place = segments();
    for last in [1, 2, 150, 1999, 2000, 5000] {
        let args = ["--last", &last.to_string()];
        assert_eq!(replay(&place, &args), expected(2001 - last.min(2000), 2000), "--last {last}");
    }
    assert_eq!(replay(&place, &["--last", "0"]), "");
    assert_eq!(replay(&place, &["--last", "100", "--limit", "3", "--with-seq"]).lines().count(), 3);
    assert!(replay(&place, &["--last", "100", "--limit", "3", "--with-seq"]).starts_with("1901\t"));
    assert_eq!(replay(&with(""), &["--last", "3"]), "");
}

/// What stands before them is not read: damage there is not met.
#[test]
fn the_newest_records_are_found_without_reading_the_others() {
    let place = segments();
    crate::support::damage(&place.path("journal.jsonl.002"), "{\"n\":");
    place.command("replay").run().code(65);
    assert_eq!(replay(&place, &["--last", "50"]), expected(1951, 2000));
}

#[test]
fn of_a_journal_whose_oldest_records_are_gone_the_newest_are_what_is_left() {
    let place = segments();
    fs::remove_file(place.path("journal.jsonl.001")).unwrap();
    let first = Reader::open(place.journal()).unwrap().raw_records().next_record().unwrap().unwrap().seq;
    assert!(first > 1);
    assert_eq!(replay(&place, &["--last", "1000000"]), expected(first as usize, 2000));
    let followed = replay(&place, &["--last", "1000000", "--follow", "--limit", "1", "--with-seq"]);
    assert!(followed.starts_with(&format!("{first}\t")), "{followed}");
}

#[test]
fn plain_journals_have_newest_records_too() {
    let place = Place::new();
    place.ingest().args(["--no-checksums", "--max-segment-bytes", "1KiB"]).run_with(b"1\n2\n3\n4\n5\n").ok();
    assert_eq!(replay(&place, &["--last", "2", "--with-seq"]), "4\t4\n5\t5\n");
}

#[test]
fn follow_ends_at_the_given_record() {
    let place = segments();
    assert_eq!(replay(&place, &["--to", "3"]), expected(1, 3));
    assert_eq!(replay(&place, &["--from", "500", "--to", "700"]), expected(500, 700));
    assert_eq!(replay(&place, &["--from", "700", "--to", "700"]), expected(700, 700));
    assert_eq!(replay(&place, &["--from", "1999", "--to", "9999"]), expected(1999, 2000));
    assert_eq!(replay(&place, &["--from", "5", "--to", "9", "--limit", "2"]), expected(5, 6));
}

const EVENTS: &str = "\
{\"type\":\"login\",\"user\":{\"id\":7,\"name\":\"ada\"},\"cost\":1.50}
{\"type\":\"logout\",\"user\":{\"id\":7}}
{\"type\":\"login\",\"user\":{\"id\":8,\"name\":\"bob\"},\"cost\":12345678901234567890123}
[\"login\",{\"id\":9}]
\"login\"
";

#[test]
fn a_pointer_shows_the_value_there_as_it_was_written() {
    let place = with(EVENTS);
    assert_eq!(replay(&place, &["--pointer", "/user/name"]), "\"ada\"\n\"bob\"\n");
    assert_eq!(replay(&place, &["--pointer", "/cost"]), "1.50\n12345678901234567890123\n");
    assert_eq!(replay(&place, &["--pointer", "/1/id", "--with-seq"]), "4\t9\n");
    assert_eq!(replay(&place, &["--pointer", ""]), EVENTS);
    assert_eq!(replay(&place, &["--pointer", "/user/id", "--limit", "2"]), "7\n7\n");
    assert_eq!(replay(&place, &["--pointer", "/nothing"]), "");
}

#[test]
fn conditions_choose_records_and_the_limit_counts_what_is_written() {
    let place = with(EVENTS);
    let events: Vec<&str> = EVENTS.split_inclusive('\n').collect();
    assert_eq!(replay(&place, &["--where", "/type=\"login\""]), [events[0], events[2]].concat());
    assert_eq!(replay(&place, &["--where", "/user"]), events[..3].concat());
    assert_eq!(replay(&place, &["--where", "/type=\"login\"", "--where", "/user/id=8.0"]), events[2]);
    assert_eq!(replay(&place, &["--where", "=\"login\"", "--with-seq"]), "5\t\"login\"\n");
    assert_eq!(
        replay(&place, &["--where", "/type=\"login\"", "--pointer", "/user/name", "--limit", "1"]),
        "\"ada\"\n"
    );
    // The run of records is chosen first.
    assert_eq!(replay(&place, &["--last", "4", "--where", "/type=\"login\""]), events[2]);
}

#[test]
fn what_contradicts_itself_is_64_and_says_what_does_not_go_together() {
    let place = with("1\n");
    let refused = |args: &[&str]| place.command("replay").args(args).run().code(64);
    for other in ["--from", "--to"] {
        let ran = refused(&["--last", "3", other, "2"]);
        assert!(ran.err.contains("--last") && ran.err.contains(other), "{ran:?}");
    }
    let ran = refused(&["--from", "3", "--to", "2"]);
    assert_eq!(ran.error(), "ministore: --to 2 is less than --from 3");
    refused(&["--pointer", "a"]);
    let ran = refused(&["--where", "/type=login"]);
    assert!(ran.err.contains("'\"login\"'"), "{ran:?}");
    refused(&["--to", "0"]);
}

/// As `tail -n N -f`.
#[test]
fn following_begins_with_the_newest_records() {
    let place = Place::new();
    let store = JournalOptions::new().open_blocking(place.journal()).unwrap();
    store.blocking().append_batch(1..=9).unwrap();
    let mut command = place.command("replay");
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
fn following_with_nothing_of_what_is_there_shows_what_comes() {
    let place = Place::new();
    let store = JournalOptions::new().open_blocking(place.journal()).unwrap();
    store.blocking().append_batch(1..=9).unwrap();
    let mut child =
        place.command("replay").args(["--last", "0", "--follow", "--limit", "1"]).spawn().unwrap();
    let begun = Instant::now();
    // Nobody can tell when it has begun: records come until it has seen one.
    let mut newest = 9;
    while child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < PATIENCE, "it does not end");
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
fn following_waits_for_the_record_it_ends_with() {
    let place = Place::new();
    let store = JournalOptions::new().open_blocking(place.journal()).unwrap();
    store.blocking().append_batch(1..=3).unwrap();
    let mut command = place.command("replay");
    let child = command.args(["--follow", "--from", "2", "--to", "5"]).spawn().unwrap();
    store.blocking().append_batch(4..=9).unwrap();
    let ran = crate::support::Ran::from(child.wait_with_output().unwrap()).ok();
    assert_eq!(ran.out, "2\n3\n4\n5\n");
}

#[test]
fn following_only_what_is_wanted() {
    let place = Place::new();
    let store = JournalOptions::new().open_blocking(place.journal()).unwrap();
    let event = |kind: &str, n: u64| serde_json::json!({ "kind": kind, "n": n });
    store.blocking().append_batch([event("a", 1), event("b", 2)]).unwrap();
    let mut command = place.command("replay");
    let child = command
        .args(["--follow", "--where", "/kind=\"b\"", "--pointer", "/n", "--limit", "3"])
        .spawn()
        .unwrap();
    store.blocking().append_batch([event("b", 3), event("a", 4), event("b", 5), event("b", 6)]).unwrap();
    let ran = crate::support::Ran::from(child.wait_with_output().unwrap()).ok();
    assert_eq!(ran.out, "2\n3\n5\n");
}

/// However much is asked for, no more than some blocks of it are in memory.
#[test]
fn the_newest_of_many_records_take_no_memory() {
    let place = Place::new();
    let store = JournalOptions::new().open_blocking(place.journal()).unwrap();
    let record = "x".repeat(1000);
    for _ in 0..60 {
        store.blocking().append_batch(std::iter::repeat_n(&record, 1000)).unwrap();
    }
    store.blocking().close().unwrap();
    let replay = place.command("replay");
    let mut limited = Command::new("sh");
    // In KiB: half of what is replayed.
    limited
        .args(["-c", "ulimit -d 30000; exec \"$@\"", "sh"])
        .arg(replay.get_program())
        .args(replay.get_args());
    let ran = limited.args(["--last", "59999", "--with-seq"]).output().unwrap();
    assert_eq!(
        (ran.status.code(), ran.stdout.iter().filter(|&&byte| byte == b'\n').count()),
        (Some(0), 59_999),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}
