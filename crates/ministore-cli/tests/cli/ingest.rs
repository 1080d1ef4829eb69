//! `ingest`: replay returns the ingested lines.

use crate::support::{CommandExt, TestDir, lines};

#[test]
fn ingested_file_replays_unchanged() {
    let (dir, text) = (TestDir::new(), lines(5000));
    let file = dir.write("in.ndjson", &text);
    let output = dir.ingest().arg(file).run().ok();
    assert!(output.stdout.contains("5,000 durable (complete)"), "{}", output.stdout);
    assert!(output.stdout.contains("p99.9"), "{}", output.stdout);
    assert_eq!(dir.replay(), text);
}

#[test]
fn stdin_is_read_without_file_arguments() {
    let (dir, text) = (TestDir::new(), lines(300));
    dir.ingest().run_with_stdin(text.as_bytes()).ok();
    assert_eq!(dir.replay(), text);
}

#[test]
fn inputs_are_read_in_argument_order() {
    let dir = TestDir::new();
    let (first, last) = (dir.write("1", "1\n[2]"), dir.write("3", "4\n"));
    dir.ingest().arg(first).arg("-").arg(last).run_with_stdin(b"3\n").ok();
    assert_eq!(dir.replay(), "1\n[2]\n3\n4\n");
}

#[test]
fn crlf_blank_lines_and_missing_lf_are_accepted() {
    let dir = TestDir::new();
    let output =
        dir.ingest().arg("--json").run_with_stdin(b"\r\n1\r\n\n \t\r\n  [2, 3] \t\r\n\n\"last\"").ok();
    assert_eq!(dir.replay(), "1\n[2, 3]\n\"last\"\n");
    assert_eq!(output.json()["records"], 3);
    assert_eq!(output.json()["skipped"], 0);
}

#[test]
fn sync_mode_flag_sets_the_mode_in_use() {
    for mode in ["auto", "dsync", "fdatasync"] {
        let dir = TestDir::new();
        let output = dir.ingest().args(["--json", "--sync-mode", mode]).run_with_stdin(b"1\n2\n").ok();
        let used = output.json()["sync_mode"].as_str().unwrap().to_owned();
        assert!(["dsync", "fdatasync"].contains(&used.as_str()), "{used}");
        assert!(mode != "fdatasync" || used == mode, "{used}");
        assert_eq!(dir.replay(), "1\n2\n");
    }
    let rejected = TestDir::new().ingest().args(["--sync-mode", "fsync"]).run_with_stdin(b"1\n");
    assert_eq!(rejected.code, Some(64), "{rejected:?}");
}

#[test]
fn header_flag_chooses_the_first_line() {
    let first_line =
        |dir: &TestDir| std::fs::read_to_string(dir.journal()).unwrap().lines().next().unwrap().to_owned();
    let dir = TestDir::new();
    dir.ingest().args(["--header", "json"]).run_with_stdin(b"1\n").ok();
    assert!(first_line(&dir).starts_with(r#"{"$ministore":{"journal":"0.2.0","#), "{}", first_line(&dir));
    dir.ingest().run_with_stdin(b"2\n").ok();
    assert_eq!(dir.replay(), "1\n2\n");
    let dir = TestDir::new();
    dir.ingest().env("MINISTORE_HEADER", "json").run_with_stdin(b"1\n").ok();
    assert!(first_line(&dir).starts_with('{'), "{}", first_line(&dir));
    let rejected =
        TestDir::new().ingest().args(["--header", "json", "--no-checksums"]).run_with_stdin(b"1\n");
    assert_eq!(rejected.code, Some(64), "{rejected:?}");
    assert!(rejected.error().contains("header"), "{rejected:?}");
}

#[test]
fn second_run_appends() {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(b"1\n").ok();
    dir.ingest().run_with_stdin(b"2\n").ok();
    assert_eq!(dir.replay(), "1\n2\n");
}

#[test]
fn empty_input_creates_empty_journal() {
    let dir = TestDir::new();
    let output = dir.ingest().arg("--json").run().ok();
    assert_eq!((&output.json()["records"], &output.json()["outcome"]), (&0.into(), &"complete".into()));
    assert_eq!(dir.replay(), "");
}

#[test]
fn summary_totals_are_consistent() {
    let (dir, text) = (TestDir::new(), lines(2000));
    let summary = dir.ingest().arg("--json").run_with_stdin(text.as_bytes()).ok().json();
    assert_eq!(summary["records"], 2000);
    assert_eq!(summary["bytes"], text.len() - 2000);
    assert_eq!(summary["durable_seq"], 2000);
    let commits = summary["commits"].as_u64().unwrap();
    assert!((1..=2000).contains(&commits), "{summary}");
    let latency =
        ["p50", "p99", "p99.9", "max"].map(|name| summary["commit_latency_us"][name].as_f64().unwrap());
    assert!(latency.is_sorted() && latency[0] > 0.0, "{summary}");
}

#[test]
fn only_summary_is_printed_without_terminal() {
    let dir = TestDir::new();
    let output = dir.ingest().run_with_stdin(b"1\n").ok();
    assert_eq!(output.errors(), [""; 0]);
}

#[test]
fn segment_size_and_count_are_limited() {
    let (dir, text) = (TestDir::new(), lines(4000));
    let options =
        ["--max-segment-bytes", "64KiB", "--no-preallocate", "--backend", "blocking", "--max-segments", "2"];
    for part in text.as_bytes().chunk_by(|&byte, _| byte != b'\n').collect::<Vec<_>>().chunks(500) {
        dir.ingest().args(options).run_with_stdin(&part.concat()).ok();
    }
    let kept = dir.replay();
    assert!(text.ends_with(&kept) && kept.len() < text.len());
}

#[test]
fn file_without_checksums_is_header_and_lines() {
    let (dir, text) = (TestDir::new(), lines(20));
    dir.ingest().arg("--no-checksums").run_with_stdin(text.as_bytes()).ok();
    let file = std::fs::read_to_string(dir.journal()).unwrap();
    let (header, rest) = file.split_once('\n').unwrap();
    assert!(header.starts_with("// MINISTORE JOURNAL v"));
    assert_eq!(rest, text);
}

#[test]
fn line_larger_than_a_block_is_one_record() {
    let dir = TestDir::new();
    let text = format!("1\n\"{}\"\n2\n", "x".repeat(3 << 20));
    dir.ingest().run_with_stdin(text.as_bytes()).ok();
    assert_eq!(dir.replay(), text);
}
