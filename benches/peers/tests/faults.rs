//! The program itself: short runs of what needs neither root nor FUSE.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Output};

use serde_json::Value;

fn faults(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_faults")).args(arguments).output().unwrap()
}

/// The cell of the only contestant under `column`.
fn cell(output: &Output, column: &str) -> String {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let table = &report["tables"][0];
    let columns = table["columns"].as_array().unwrap();
    let index = columns.iter().position(|name| name.as_str() == Some(column)).unwrap();
    table["rows"][0]["cells"][index].as_str().unwrap().to_string()
}

#[test]
fn ours_keeps_what_it_acknowledged() {
    let only = ["--json", "--rounds", "7", "--only", "ministore-uring"];
    for fault in ["killed", "torn-tail", "changed-byte", "missing-file", "two-writers"] {
        let output = faults(&[&only[..], &[fault]].concat());
        assert_eq!(output.status.code(), Some(0), "{fault}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_log_that_returns_changed_records_is_seen() {
    let output = faults(&["--json", "--rounds", "7", "--only", "ministore", "changed-byte"]);
    assert_eq!(output.status.code(), Some(0), "others are not blamed");
    assert_ne!(cell(&output, "invented records returned"), "0");
}

#[test]
fn records_that_two_writers_lose_are_counted() {
    let output = faults(&["--json", "--only", "okaywal", "two-writers"]);
    assert_ne!(cell(&output, "acknowledged, missing"), "0");
}

#[test]
fn what_cannot_be_done_is_not_success() {
    assert_eq!(faults(&["--rounds", "0"]).status.code(), Some(2));
    assert_eq!(faults(&["no-such-fault"]).status.code(), Some(2));
}
