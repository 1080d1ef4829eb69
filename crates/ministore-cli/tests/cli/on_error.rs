//! `ingest` and lines that are not JSON.

use std::fs;

use crate::support::{Place, Run, lines};

/// Good, bad, good, bad, good.
const MIXED: &str = "{\"a\":1}\n{\"a\":}\n{\"a\":2}\r\n  nonsense\r\n{\"a\":3}\n";
const GOOD: &str = "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n";

#[test]
fn a_bad_line_stops_with_65_and_its_place() {
    let place = Place::new();
    let file = place.write("in.ndjson", MIXED);
    let ran = place.ingest().arg(&file).run().code(65);
    assert!(ran.error().starts_with(&format!("{}:2:6: ", file.display())), "{}", ran.error());
    assert!(ran.out.contains("1 durable (failed)"), "{}", ran.out);
    assert_eq!(place.replay(), "{\"a\":1}\n");
}

#[test]
fn the_column_counts_white_space_before_the_value() {
    let place = Place::new();
    let ran = place.ingest().run_with(b"1\n\n   [1,x]\n").code(65);
    assert!(ran.error().starts_with("<stdin>:3:7: "), "{}", ran.error());
}

#[test]
fn lines_are_counted_in_each_file() {
    let place = Place::new();
    let (first, second) = (place.write("1", "1\n2\n3\n"), place.write("2", "4\n}\n"));
    let ran = place.ingest().arg(first).arg(&second).run().code(65);
    assert!(ran.error().starts_with(&format!("{}:2:1: ", second.display())), "{}", ran.error());
    assert_eq!(place.replay(), "1\n2\n3\n4\n");
}

#[test]
fn everything_before_a_bad_line_is_durable() {
    let (place, text) = (Place::new(), lines(30_000));
    let ran = place.ingest().arg("--json").run_with((text.clone() + "x\n1\n").as_bytes()).code(65);
    assert_eq!((&ran.json()["records"], &ran.json()["outcome"]), (&30_000.into(), &"failed".into()));
    assert_eq!(place.replay(), text);
}

#[test]
fn skip_continues_and_counts() {
    let place = Place::new();
    let ran = place.ingest().args(["--on-error", "skip", "--json"]).run_with(MIXED.as_bytes()).ok();
    assert_eq!((&ran.json()["records"], &ran.json()["skipped"]), (&3.into(), &2.into()));
    assert_eq!(place.replay(), GOOD);
}

#[test]
fn quarantine_keeps_bad_lines_as_they_are() {
    let place = Place::new();
    let bad = place.write("bad", "from before\n");
    let on_error = format!("--on-error=quarantine={}", bad.display());
    let ran = place.ingest().args([&on_error, "--json"]).run_with(MIXED.as_bytes()).ok();
    assert_eq!((&ran.json()["quarantined"], &ran.json()["skipped"]), (&2.into(), &0.into()));
    assert_eq!(fs::read_to_string(bad).unwrap(), "from before\n{\"a\":}\n  nonsense\r\n");
    assert_eq!(place.replay(), GOOD);
}

#[test]
fn what_json_does_not_allow_is_a_bad_line() {
    for bad in ["1 2", "{}{}", "NaN", "'a'", "[1,]", "\"\u{1}\"", "01", "{\"a\" 1}", "\"", "nul"] {
        let place = Place::new();
        place.ingest().run_with(bad.as_bytes()).code(65);
        assert_eq!(place.replay(), "", "{bad}");
    }
    Place::new().ingest().run_with(b"\"\xff\"").code(65);
}

#[test]
fn a_line_beyond_the_limit_is_bad_and_kept_whole() {
    let place = Place::new();
    let long = format!("\"{}\"", "x".repeat(17 << 20));
    let bad = place.path("bad");
    let on_error = format!("--on-error=quarantine={}", bad.display());
    place.ingest().arg(on_error).run_with(format!("1\n{long}\r\n2\n{long}").as_bytes()).ok();
    assert_eq!(place.replay(), "1\n2\n");
    assert!(fs::read_to_string(bad).unwrap() == format!("{long}\r\n{long}\n"));
}

#[test]
fn a_line_beyond_the_limit_stops_with_its_place() {
    let place = Place::new();
    let ran = place.ingest().run_with(format!("1\n{}", "7".repeat(17 << 20)).as_bytes()).code(65);
    assert!(ran.error().starts_with("<stdin>:2:16777217: "), "{}", ran.error());
}

/// JSON by its grammar, but not readable for everyone; and where it fails.
fn unreadable() -> Vec<(String, usize)> {
    vec![
        (r#"{"a":"x\ud83d y"}"#.to_owned(), 8),
        (r#"{"\udc00":1}"#.to_owned(), 3),
        ("[1, -1e400]".to_owned(), 5),
        (format!("{}1{}", "[".repeat(129), "]".repeat(129)), 128),
    ]
}

#[test]
fn unreadable_json_is_a_bad_line_with_its_place() {
    for (json, column) in unreadable() {
        let place = Place::new();
        let ran = place.ingest().run_with(format!("1\n\n  {json}\n2\n").as_bytes()).code(65);
        assert!(ran.error().starts_with(&format!("<stdin>:3:{}: ", column + 2)), "{}", ran.error());
        assert_eq!(place.replay(), "1\n");
    }
}

#[test]
fn unreadable_json_is_skipped_or_quarantined() {
    let bad: Vec<_> = unreadable().into_iter().map(|(json, _)| json + "\n").collect();
    let text = format!("1\n{}2\n", bad.join("\"fine\"\n"));
    let place = Place::new();
    let ran = place.ingest().args(["--on-error", "skip", "--json"]).run_with(text.as_bytes()).ok();
    assert_eq!((&ran.json()["records"], &ran.json()["skipped"]), (&5.into(), &4.into()));
    assert_eq!(place.replay(), "1\n\"fine\"\n\"fine\"\n\"fine\"\n2\n");

    let place = Place::new();
    let file = place.path("bad");
    let on_error = format!("--on-error=quarantine={}", file.display());
    let ran = place.ingest().args([&on_error, "--json"]).run_with(text.as_bytes()).ok();
    assert_eq!((&ran.json()["records"], &ran.json()["quarantined"]), (&5.into(), &4.into()));
    assert_eq!(fs::read_to_string(file).unwrap(), bad.concat());
}

#[test]
fn resume_skips_the_same_unreadable_lines() {
    let (place, lines) = (Place::new(), lines(2000));
    let bad: Vec<_> = unreadable().into_iter().map(|(json, _)| json + "\n").collect();
    let first = format!("{}{lines}", bad.concat());
    let (file, whole) =
        (place.write("in.ndjson", format!("{first}x\n")), format!("{first}{}3\n", bad.concat()));
    let mut ingest = place.ingest();
    ingest.args(["--on-error", "skip"]).arg(&file).run().ok();
    place.write("in.ndjson", &whole);
    let ran = place.ingest().args(["--on-error", "skip", "--resume", "--json"]).arg(&file).run().ok();
    assert_eq!(ran.json()["records"], 1, "{}", ran.out);
    assert_eq!(place.replay(), format!("{lines}3\n"));
}
