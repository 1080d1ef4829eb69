//! `ingest` and lines that are not JSON.

use std::fs;

use crate::support::{CommandExt, TestDir, lines};

/// Alternating good and bad lines.
const MIXED: &str = "{\"a\":1}\n{\"a\":}\n{\"a\":2}\r\n  nonsense\r\n{\"a\":3}\n";
const GOOD: &str = "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n";

#[test]
fn bad_line_returns_65_with_location() {
    let dir = TestDir::new();
    let file = dir.write("in.ndjson", MIXED);
    let output = dir.ingest().arg(&file).run().code(65);
    assert!(output.error().starts_with(&format!("{}:2:6: ", file.display())), "{}", output.error());
    assert!(output.stdout.contains("1 durable (failed)"), "{}", output.stdout);
    assert_eq!(dir.replay(), "{\"a\":1}\n");
}

#[test]
fn column_counts_leading_white_space() {
    let dir = TestDir::new();
    let output = dir.ingest().run_with_stdin(b"1\n\n   [1,x]\n").code(65);
    assert!(output.error().starts_with("<stdin>:3:7: "), "{}", output.error());
}

#[test]
fn lines_are_numbered_per_file() {
    let dir = TestDir::new();
    let (first, second) = (dir.write("1", "1\n2\n3\n"), dir.write("2", "4\n}\n"));
    let output = dir.ingest().arg(first).arg(&second).run().code(65);
    assert!(output.error().starts_with(&format!("{}:2:1: ", second.display())), "{}", output.error());
    assert_eq!(dir.replay(), "1\n2\n3\n4\n");
}

#[test]
fn lines_before_a_bad_line_are_durable() {
    let (dir, text) = (TestDir::new(), lines(30_000));
    let output = dir.ingest().arg("--json").run_with_stdin((text.clone() + "x\n1\n").as_bytes()).code(65);
    assert_eq!((&output.json()["records"], &output.json()["outcome"]), (&30_000.into(), &"failed".into()));
    assert_eq!(dir.replay(), text);
}

#[test]
fn skip_continues_and_counts() {
    let dir = TestDir::new();
    let output = dir.ingest().args(["--on-error", "skip", "--json"]).run_with_stdin(MIXED.as_bytes()).ok();
    assert_eq!((&output.json()["records"], &output.json()["skipped"]), (&3.into(), &2.into()));
    assert_eq!(dir.replay(), GOOD);
}

#[test]
fn quarantine_keeps_bad_lines_unchanged() {
    let dir = TestDir::new();
    let bad = dir.write("bad", "from before\n");
    let on_error = format!("--on-error=quarantine={}", bad.display());
    let output = dir.ingest().args([&on_error, "--json"]).run_with_stdin(MIXED.as_bytes()).ok();
    assert_eq!((&output.json()["quarantined"], &output.json()["skipped"]), (&2.into(), &0.into()));
    assert_eq!(fs::read_to_string(bad).unwrap(), "from before\n{\"a\":}\n  nonsense\r\n");
    assert_eq!(dir.replay(), GOOD);
}

#[test]
fn invalid_json_is_a_bad_line() {
    for bad in ["1 2", "{}{}", "NaN", "'a'", "[1,]", "\"\u{1}\"", "01", "{\"a\" 1}", "\"", "nul"] {
        let dir = TestDir::new();
        dir.ingest().run_with_stdin(bad.as_bytes()).code(65);
        assert_eq!(dir.replay(), "", "{bad}");
    }
    TestDir::new().ingest().run_with_stdin(b"\"\xff\"").code(65);
}

#[test]
fn too_long_line_is_quarantined_whole() {
    let dir = TestDir::new();
    let long = format!("\"{}\"", "x".repeat(17 << 20));
    let bad = dir.path("bad");
    let on_error = format!("--on-error=quarantine={}", bad.display());
    dir.ingest().arg(on_error).run_with_stdin(format!("1\n{long}\r\n2\n{long}").as_bytes()).ok();
    assert_eq!(dir.replay(), "1\n2\n");
    assert!(fs::read_to_string(bad).unwrap() == format!("{long}\r\n{long}\n"));
}

#[test]
fn too_long_line_returns_65_with_location() {
    let dir = TestDir::new();
    let output = dir.ingest().run_with_stdin(format!("1\n{}", "7".repeat(17 << 20)).as_bytes()).code(65);
    assert!(output.error().starts_with("<stdin>:2:16777217: "), "{}", output.error());
}

/// Returns values that match the grammar of JSON but that some readers cannot parse, each with the column of the error.
fn unreadable() -> Vec<(String, usize)> {
    vec![
        (r#"{"a":"x\ud83d y"}"#.to_owned(), 8),
        (r#"{"\udc00":1}"#.to_owned(), 3),
        ("[1, -1e400]".to_owned(), 5),
        (format!("{}1{}", "[".repeat(129), "]".repeat(129)), 128),
    ]
}

#[test]
fn unreadable_json_is_reported_with_location() {
    for (json, column) in unreadable() {
        let dir = TestDir::new();
        let output = dir.ingest().run_with_stdin(format!("1\n\n  {json}\n2\n").as_bytes()).code(65);
        assert!(output.error().starts_with(&format!("<stdin>:3:{}: ", column + 2)), "{}", output.error());
        assert_eq!(dir.replay(), "1\n");
    }
}

#[test]
fn unreadable_json_is_skipped_or_quarantined() {
    let bad: Vec<_> = unreadable().into_iter().map(|(json, _)| json + "\n").collect();
    let text = format!("1\n{}2\n", bad.join("\"fine\"\n"));
    let dir = TestDir::new();
    let output = dir.ingest().args(["--on-error", "skip", "--json"]).run_with_stdin(text.as_bytes()).ok();
    assert_eq!((&output.json()["records"], &output.json()["skipped"]), (&5.into(), &4.into()));
    assert_eq!(dir.replay(), "1\n\"fine\"\n\"fine\"\n\"fine\"\n2\n");

    let dir = TestDir::new();
    let file = dir.path("bad");
    let on_error = format!("--on-error=quarantine={}", file.display());
    let output = dir.ingest().args([&on_error, "--json"]).run_with_stdin(text.as_bytes()).ok();
    assert_eq!((&output.json()["records"], &output.json()["quarantined"]), (&5.into(), &4.into()));
    assert_eq!(fs::read_to_string(file).unwrap(), bad.concat());
}

#[test]
fn resume_skips_the_same_unreadable_lines() {
    let (dir, lines) = (TestDir::new(), lines(2000));
    let bad: Vec<_> = unreadable().into_iter().map(|(json, _)| json + "\n").collect();
    let first = format!("{}{lines}", bad.concat());
    let (file, whole) =
        (dir.write("in.ndjson", format!("{first}x\n")), format!("{first}{}3\n", bad.concat()));
    let mut ingest = dir.ingest();
    ingest.args(["--on-error", "skip"]).arg(&file).run().ok();
    dir.write("in.ndjson", &whole);
    let output = dir.ingest().args(["--on-error", "skip", "--resume", "--json"]).arg(&file).run().ok();
    assert_eq!(output.json()["records"], 1, "{}", output.stdout);
    assert_eq!(dir.replay(), format!("{lines}3\n"));
}
