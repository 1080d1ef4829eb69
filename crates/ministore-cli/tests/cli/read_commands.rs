//! `replay`, `inspect` and `verify` of sound journals.

use std::io::{BufRead, BufReader};

use crate::support::{CommandExt, TestDir, lines};

fn journal_of(text: &str) -> TestDir {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(text.as_bytes()).ok();
    dir
}

#[test]
fn replay_honours_from_and_limit() {
    let dir = journal_of("1\n2\n3\n4\n5\n");
    let replay = |args: &[&str]| dir.command("replay").args(args).run().ok().stdout;
    assert_eq!(replay(&["--from", "4"]), "4\n5\n");
    assert_eq!(replay(&["--limit", "2"]), "1\n2\n");
    assert_eq!(replay(&["--from", "2", "--limit", "3"]), "2\n3\n4\n");
    assert_eq!(replay(&["--from", "6"]), "");
    assert_eq!(replay(&["--limit", "0"]), "");
}

#[test]
fn replay_with_seq_prints_number_and_tab() {
    let dir = journal_of("{\"a\":1}\n[2]\n");
    let output = dir.command("replay").args(["--with-seq", "--from", "2"]).run().ok();
    assert_eq!(output.stdout, "2\t[2]\n");
}

#[test]
fn get_prints_records_in_argument_order() {
    let dir = TestDir::new();
    dir.ingest().args(["--max-segment-bytes", "16KiB"]).run_with_stdin(lines(2000).as_bytes()).ok();
    let all = lines(2000);
    let all: Vec<_> = all.lines().collect();
    let output = dir.command("get").args(["1500", "1", "1999", "1500"]).run().ok();
    let expected: Vec<_> = [1500, 1, 1999, 1500].map(|seq: usize| all[seq - 1]).into();
    assert_eq!(output.stdout.lines().collect::<Vec<_>>(), expected);
    let output = dir.command("get").args(["--with-seq", "2000"]).run().ok();
    assert_eq!(output.stdout, format!("2000\t{}\n", all[1999]));
}

#[test]
fn get_reports_missing_records() {
    let dir = journal_of("1\n2\n");
    let output = dir.command("get").args(["2", "3", "1"]).run().code(66);
    assert_eq!(output.stdout, "2\n", "records before the missing one are printed");
    assert!(output.error().ends_with("record 3 does not exist yet"), "{output:?}");
    dir.command("get").arg("0").run().code(64);
    dir.command("get").run().code(64);
    let output = TestDir::new().command("get").arg("1").run().code(66);
    assert!(output.error().contains("journal.jsonl"), "{output:?}");
    let store = ministore_uring::MiniStore::open_blocking(dir.journal()).unwrap();
    store.blocking().rotate().unwrap();
    store.blocking().append(&3).unwrap();
    assert_eq!(store.blocking().trim_before(3).unwrap(), 3);
    let output = dir.command("get").args(["3", "2"]).run().code(66);
    assert_eq!(output.stdout, "3\n");
    assert!(output.error().ends_with("records before 3 were trimmed"), "{output:?}");
}

#[test]
fn replay_keeps_every_byte_of_a_record() {
    let text = "{ \"b\" : 1.50, \"a\":\"\\u00e4\\/\" ,\"b\":1e2}\n[ 12345678901234567890123 , -0.0 ]\n";
    assert_eq!(journal_of(text).replay(), text);
}

#[test]
fn replay_returns_0_when_reader_closes() {
    let dir = journal_of(&lines(20_000));
    let mut child = dir.command("replay").spawn().unwrap();
    let mut first = String::new();
    BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
    assert_eq!(first, lines(1));
}

#[test]
fn replay_reads_an_open_journal() {
    let dir = journal_of("1\n");
    let store = ministore_uring::MiniStore::open_blocking(dir.journal()).unwrap();
    store.blocking().append(&2).unwrap();
    assert_eq!(dir.replay(), "1\n2\n");
}

#[test]
fn inspect_totals_match_segments() {
    let dir = TestDir::new();
    for part in 0..6 {
        let options = ["--max-segment-bytes", "16KiB", "--no-preallocate"];
        dir.ingest().args(options).run_with_stdin(lines(300 + part).as_bytes()).ok();
    }
    let inspect = dir.command("inspect").arg("--json").run().ok().json();
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
    let dir = journal_of(&lines(1234));
    let table = dir.command("inspect").run().ok().stdout;
    let rows: Vec<Vec<&str>> = table.lines().map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["segment", "records", "sequence", "groups", "bytes", "checksums", "state"]);
    assert_eq!((rows[1][0], rows[1][1], rows[1][2]), ("journal.jsonl", "1,234", "1–1234"));
    assert_eq!((rows[1][5], rows[1][6], rows[2][0]), ("yes", "closed", "total"));
}

#[test]
fn verify_sound_journal_prints_one_line() {
    let dir = journal_of(&lines(100));
    let out = dir.command("verify").run().ok().stdout;
    assert_eq!(out.lines().count(), 1, "{out}");
    assert!(out.contains("sound: 100 records"), "{out}");
    let json = dir.command("verify").arg("--json").run().ok().json();
    assert_eq!((&json["sound"], &json["records"]), (&true.into(), &100.into()));
}
