//! `replay`, `inspect` and `verify` of sound journals.

use std::io::{BufRead, BufReader};

use crate::support::{Place, Run, lines};

fn with(text: &str) -> Place {
    let place = Place::new();
    place.ingest().run_with(text.as_bytes()).ok();
    place
}

#[test]
fn replay_honours_from_and_to() {
    let place = with("1\n2\n3\n4\n5\n");
    let replay = |args: &[&str]| place.command("replay").args(args).run().ok().out;
    assert_eq!(replay(&["--from", "4"]), "4\n5\n");
    assert_eq!(replay(&["--limit", "2"]), "1\n2\n");
    assert_eq!(replay(&["--from", "2", "--limit", "3"]), "2\n3\n4\n");
    assert_eq!(replay(&["--from", "6"]), "");
    assert_eq!(replay(&["--limit", "0"]), "");
}

#[test]
fn replay_shows_sequence_numbers_before_a_tab() {
    let place = with("{\"a\":1}\n[2]\n");
    let ran = place.command("replay").args(["--with-seq", "--from", "2"]).run().ok();
    assert_eq!(ran.out, "2\t[2]\n");
}

#[test]
fn get_writes_the_records_asked_for_in_that_order() {
    let place = Place::new();
    place.ingest().args(["--max-segment-bytes", "16KiB"]).run_with(lines(2000).as_bytes()).ok();
    let all = lines(2000);
    let all: Vec<_> = all.lines().collect();
    let ran = place.command("get").args(["1500", "1", "1999", "1500"]).run().ok();
    let expected: Vec<_> = [1500, 1, 1999, 1500].map(|seq: usize| all[seq - 1]).into();
    assert_eq!(ran.out.lines().collect::<Vec<_>>(), expected);
    let ran = place.command("get").args(["--with-seq", "2000"]).run().ok();
    assert_eq!(ran.out, format!("2000\t{}\n", all[1999]));
}

#[test]
fn get_reports_missing_records() {
    let place = with("1\n2\n");
    let ran = place.command("get").args(["2", "3", "1"]).run().code(66);
    assert_eq!(ran.out, "2\n", "what comes before it is written");
    assert!(ran.error().ends_with("record 3 does not exist yet"), "{ran:?}");
    place.command("get").arg("0").run().code(64);
    place.command("get").run().code(64);
    let ran = Place::new().command("get").arg("1").run().code(66);
    assert!(ran.error().contains("journal.jsonl"), "{ran:?}");
    let store = ministore_uring::MiniStore::open_blocking(place.journal()).unwrap();
    store.blocking().rotate().unwrap();
    store.blocking().append(&3).unwrap();
    assert_eq!(store.blocking().trim_before(3).unwrap(), 3);
    let ran = place.command("get").args(["3", "2"]).run().code(66);
    assert_eq!(ran.out, "3\n");
    assert!(ran.error().ends_with("records before 3 were trimmed"), "{ran:?}");
}

#[test]
fn replay_keeps_every_byte_of_a_record() {
    let text = "{ \"b\" : 1.50, \"a\":\"\\u00e4\\/\" ,\"b\":1e2}\n[ 12345678901234567890123 , -0.0 ]\n";
    assert_eq!(with(text).replay(), text);
}

#[test]
fn replay_ends_with_0_when_its_reader_has_seen_enough() {
    let place = with(&lines(20_000));
    let mut child = place.command("replay").spawn().unwrap();
    let mut first = String::new();
    BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
    assert_eq!(first, lines(1));
}

#[test]
fn replay_reads_a_journal_that_is_being_written() {
    let place = with("1\n");
    let store = ministore_uring::MiniStore::open_blocking(place.journal()).unwrap();
    store.blocking().append(&2).unwrap();
    assert_eq!(place.replay(), "1\n2\n");
}

#[test]
fn the_sums_of_inspect_agree() {
    let place = Place::new();
    for part in 0..6 {
        let options = ["--max-segment-bytes", "16KiB", "--no-preallocate"];
        place.ingest().args(options).run_with(lines(300 + part).as_bytes()).ok();
    }
    let inspect = place.command("inspect").arg("--json").run().ok().json();
    let segments = inspect["segments"].as_array().unwrap();
    assert!(segments.len() > 1, "{inspect}");
    let sum = |name: &str| segments.iter().map(|segment| segment[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!(inspect["records"], 6 * 300 + 15);
    for name in ["records", "groups", "file_bytes"] {
        assert_eq!(inspect[name], sum(name), "{name}");
    }
    for segment in segments {
        let [first, last, records] = ["first_seq", "last_seq", "records"].map(|name| segment[name].as_u64());
        let numbered = last.zip(first).map_or(0, |(last, first)| last + 1 - first);
        assert_eq!(Some(numbered), records, "{segment}");
        let on_disk = std::fs::metadata(segment["path"].as_str().unwrap()).unwrap().len();
        assert_eq!((&segment["file_bytes"], &segment["state"]), (&on_disk.into(), &"closed".into()));
        assert_eq!(segment["checksummed"], true);
    }
}

#[test]
fn inspect_shows_a_row_for_each_segment() {
    let place = with(&lines(1234));
    let table = place.command("inspect").run().ok().out;
    let rows: Vec<Vec<&str>> = table.lines().map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["segment", "records", "sequence", "groups", "bytes", "checksums", "state"]);
    assert_eq!((rows[1][0], rows[1][1], rows[1][2]), ("journal.jsonl", "1,234", "1–1234"));
    assert_eq!((rows[1][5], rows[1][6], rows[2][0]), ("yes", "closed", "total"));
}

#[test]
fn a_sound_journal_verifies_in_one_line() {
    let place = with(&lines(100));
    let out = place.command("verify").run().ok().out;
    assert_eq!(out.lines().count(), 1, "{out}");
    assert!(out.contains("sound: 100 records"), "{out}");
    let json = place.command("verify").arg("--json").run().ok().json();
    assert_eq!((&json["sound"], &json["records"]), (&true.into(), &100.into()));
}
