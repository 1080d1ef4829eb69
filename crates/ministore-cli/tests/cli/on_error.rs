//! `ingest` and lines that are not JSON.

use std::fs;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

use crate::support::{CommandExt, TestDir, lines, quarantined};

/// Returns the bytes of a quarantined line.
fn content(entry: &Value) -> Vec<u8> {
    match entry["text"].as_str() {
        Some(text) => text.into(),
        None => BASE64_STANDARD.decode(entry["base64"].as_str().unwrap()).unwrap(),
    }
}

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
    assert!(fs::read_to_string(&bad).unwrap().starts_with("from before\n"));
    let entries = quarantined(&bad);
    let texts: Vec<_> = entries.iter().map(|entry| entry["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["{\"a\":}", "  nonsense\r"]);
    let place = |entry: &Value| ["line", "column", "offset"].map(|name| entry[name].as_u64().unwrap());
    assert_eq!((place(&entries[0]), place(&entries[1])), ([2, 6, 13], [4, 4, 27]));
    assert_eq!((&entries[0]["input"], &entries[0]["reason"]), (&"<stdin>".into(), &"expected value".into()));
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
    let entries = quarantined(&bad);
    assert!(
        content(&entries[0]) == format!("{long}\r").as_bytes() && content(&entries[1]) == long.as_bytes()
    );
    assert_eq!((&entries[0]["line"], &entries[1]["line"]), (&2.into(), &4.into()));
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
    let texts: Vec<_> =
        quarantined(&file).iter().map(|entry| entry["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(texts.join("\n") + "\n", bad.concat());
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

#[test]
fn skip_reports_the_first_places() {
    let dir = TestDir::new();
    let file = dir.write("in.ndjson", "1\nx\n".repeat(7) + "{\"a\":}\n");
    let output = dir.ingest().args(["--on-error", "skip"]).arg(&file).run().ok();
    let errors = output.errors();
    assert_eq!(errors.len(), 6, "{output:?}");
    assert!(errors[0].contains(&format!("{}:2:1: ", file.display())), "{output:?}");
    assert!(errors[0].ends_with("expected value (skipped)"), "{output:?}");
    assert!(errors[5].contains("3 more bad lines skipped"), "{output:?}");
    assert!(dir.ingest().args(["--on-error", "skip", "-q"]).arg(&file).run().ok().stderr.is_empty());
}

#[test]
fn quarantined_lines_can_be_ingested_after_repair() {
    let dir = TestDir::new();
    let bad = dir.path("bad");
    let on_error = format!("--on-error=quarantine={}", bad.display());
    dir.ingest().arg(on_error).run_with_stdin(b"1\n{\"a\":2\n\"\xff\"\n3\n").ok();
    let fixed: Vec<_> =
        quarantined(&bad).iter().map(content).map(|text| [&text[..], b"}\n"].concat()).collect();
    dir.ingest().run_with_stdin(&fixed[0]).ok();
    assert_eq!(dir.replay(), "1\n3\n{\"a\":2}\n");
    assert_eq!(fixed[1], b"\"\xff\"}\n");
}

#[test]
fn input_without_any_record_returns_65() {
    for policy in ["skip", "quarantine"] {
        let dir = TestDir::new();
        let policy = if policy == "skip" {
            policy.to_owned()
        } else {
            format!("quarantine={}", dir.path("q").display())
        };
        let file = dir.write("in.log", "first message\nsecond message\n\n");
        let output = dir.ingest().args(["--on-error", &policy]).arg(&file).run().code(65);
        assert!(output.stderr.contains("no line is a record (2 bad lines)"), "{output:?}");
        let good = dir.write("good", "1\n");
        dir.ingest().args(["--on-error", &policy]).arg(&good).run().ok();
    }
}

#[test]
fn value_over_several_lines_is_explained() {
    let cases = [
        ("{\n  \"a\": 1,\n  \"b\": [\n    2\n  ]\n}\n", "ends inside an object", "jq -c . "),
        ("[\n{\"a\":1},\n{\"a\":2}\n]\n", "ends inside an array", "jq -c '.[]' "),
        ("[{\"a\":1},\n{\"a\":2}]\n", "ends inside an array", "jq -c '.[]' "),
    ];
    for (text, reason, hint) in cases {
        for policy in ["stop", "skip", "quarantine"] {
            let dir = TestDir::new();
            let file = dir.write("in.json", text);
            let on_error = match policy {
                "quarantine" => format!("quarantine={}", dir.path("q").display()),
                policy => policy.to_owned(),
            };
            let output = dir.ingest().args(["--on-error", &on_error]).arg(&file).run().code(65);
            assert!(output.error().starts_with(&format!("{}:1:", file.display())), "{output:?}");
            assert!(output.error().contains(reason) && output.hint().contains(hint), "{output:?}");
            assert!(!output.hint().contains("--on-error"), "{output:?}");
            assert_eq!(dir.replay(), "");
        }
        let dir = TestDir::new();
        dir.write("in.json", text);
        let mut import = crate::support::ministore(["import".as_ref(), dir.path("in.json").as_os_str()]);
        let output = import.arg(dir.journal()).run().code(65);
        assert!(output.error().contains(reason) && output.hint().contains(hint), "{output:?}");
    }
}

#[test]
fn comma_after_value_is_explained() {
    let dir = TestDir::new();
    let file = dir.write("in.json", "{\"a\":1},\n{\"a\":2},\n{\"a\":3}\n");
    let output = dir.ingest().arg(&file).run().code(65);
    assert!(output.error().contains("a comma follows the value"), "{output:?}");
    assert!(output.hint().contains("sed 's/,$//'"), "{output:?}");
}

#[test]
fn incomplete_last_number_is_a_bad_line() {
    let dir = TestDir::new();
    let file = dir.write("in.ndjson", "12\n34");
    let output = dir.ingest().arg(&file).run().code(65);
    assert!(output.error().contains(":2:3: incomplete line: LF is missing (byte 5)"), "{output:?}");
    assert_eq!(dir.replay(), "12\n");
    fs::write(&file, "12\n345\n").unwrap();
    dir.ingest().arg("--resume").arg(&file).run().ok();
    assert_eq!(dir.replay(), "12\n345\n");
    let other = TestDir::new();
    let file = other.write("in.ndjson", "12\n34");
    let mut import = crate::support::ministore(["import".as_ref(), file.as_os_str()]);
    import.arg(other.journal()).run().code(65);
}
