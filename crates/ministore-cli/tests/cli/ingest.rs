//! `ingest`: what goes in comes out again, line by line.

use crate::support::{Place, Run, lines};

#[test]
fn a_file_comes_out_as_it_went_in() {
    let (place, text) = (Place::new(), lines(5000));
    let file = place.write("in.ndjson", &text);
    let ran = place.ingest().arg(file).run().ok();
    assert!(ran.out.contains("5,000 durable (complete)"), "{}", ran.out);
    assert!(ran.out.contains("p99.9"), "{}", ran.out);
    assert_eq!(place.replay(), text);
}

#[test]
fn standard_input_is_read_where_no_file_is_named() {
    let (place, text) = (Place::new(), lines(300));
    place.ingest().run_with(text.as_bytes()).ok();
    assert_eq!(place.replay(), text);
}

#[test]
fn several_inputs_are_read_in_their_order() {
    let place = Place::new();
    let (first, last) = (place.write("1", "1\n2"), place.write("3", "4\n"));
    place.ingest().arg(first).arg("-").arg(last).run_with(b"3").ok();
    assert_eq!(place.replay(), "1\n2\n3\n4\n");
}

#[test]
fn crlf_blank_lines_and_a_missing_last_lf_are_tolerated() {
    let place = Place::new();
    let ran = place.ingest().arg("--json").run_with(b"\r\n1\r\n\n \t\r\n  [2, 3] \t\r\n\n\"last\"").ok();
    assert_eq!(place.replay(), "1\n[2, 3]\n\"last\"\n");
    assert_eq!(ran.json()["records"], 3);
    assert_eq!(ran.json()["skipped"], 0);
}

#[test]
fn sync_mode_flag_sets_the_mode_in_use() {
    for mode in ["auto", "dsync", "fdatasync"] {
        let place = Place::new();
        let ran = place.ingest().args(["--json", "--sync-mode", mode]).run_with(b"1\n2\n").ok();
        let used = ran.json()["sync_mode"].as_str().unwrap().to_owned();
        assert!(["dsync", "fdatasync"].contains(&used.as_str()), "{used}");
        assert!(mode != "fdatasync" || used == mode, "{used}");
        assert_eq!(place.replay(), "1\n2\n");
    }
    let refused = Place::new().ingest().args(["--sync-mode", "fsync"]).run_with(b"1\n");
    assert_eq!(refused.code, Some(64), "{refused:?}");
}

#[test]
fn a_second_run_appends() {
    let place = Place::new();
    place.ingest().run_with(b"1\n").ok();
    place.ingest().run_with(b"2\n").ok();
    assert_eq!(place.replay(), "1\n2\n");
}

#[test]
fn an_empty_input_makes_an_empty_journal() {
    let place = Place::new();
    let ran = place.ingest().arg("--json").run().ok();
    assert_eq!((&ran.json()["records"], &ran.json()["outcome"]), (&0.into(), &"complete".into()));
    assert_eq!(place.replay(), "");
}

#[test]
fn the_summary_adds_up() {
    let (place, text) = (Place::new(), lines(2000));
    let summary = place.ingest().arg("--json").run_with(text.as_bytes()).ok().json();
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
    let place = Place::new();
    let ran = place.ingest().run_with(b"1\n").ok();
    assert_eq!(ran.errors(), [""; 0]);
}

#[test]
fn segments_are_as_small_as_asked_and_no_more_than_asked() {
    let (place, text) = (Place::new(), lines(4000));
    let options =
        ["--max-segment-bytes", "64KiB", "--no-preallocate", "--backend", "blocking", "--max-segments", "2"];
    for part in text.as_bytes().chunk_by(|&byte, _| byte != b'\n').collect::<Vec<_>>().chunks(500) {
        place.ingest().args(options).run_with(&part.concat()).ok();
    }
    let kept = place.replay();
    assert!(text.ends_with(&kept) && kept.len() < text.len());
}

#[test]
fn file_without_checksums_is_header_and_lines() {
    let (place, text) = (Place::new(), lines(20));
    place.ingest().arg("--no-checksums").run_with(text.as_bytes()).ok();
    let file = std::fs::read_to_string(place.journal()).unwrap();
    let (header, rest) = file.split_once('\n').unwrap();
    assert!(header.starts_with("// MINISTORE JOURNAL v"));
    assert_eq!(rest, text);
}

#[test]
fn a_line_larger_than_a_block_is_one_record() {
    let place = Place::new();
    let text = format!("1\n\"{}\"\n2\n", "x".repeat(3 << 20));
    place.ingest().run_with(text.as_bytes()).ok();
    assert_eq!(place.replay(), text);
}
