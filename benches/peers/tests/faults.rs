//! Runs the program: short runs of the faults that need neither root nor FUSE.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Output};

use serde_json::Value;

fn faults(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_faults")).args(arguments).output().unwrap()
}

/// Returns the cell of the only log under `column`.
fn cell(output: &Output, column: &str) -> String {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let table = &report["tables"][0];
    let columns = table["columns"].as_array().unwrap();
    let index = columns.iter().position(|name| name.as_str() == Some(column)).unwrap();
    table["rows"][0]["cells"][index].as_str().unwrap().to_string()
}

#[test]
fn ministore_uring_keeps_acknowledged_records() {
    let only = ["--json", "--rounds", "7", "--only", "ministore-uring"];
    for fault in ["killed", "torn-tail", "changed-byte", "missing-file", "two-writers"] {
        let output = faults(&[&only[..], &[fault]].concat());
        assert_eq!(output.status.code(), Some(0), "{fault}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn log_that_returns_changed_records_is_detected() {
    let output = faults(&["--json", "--rounds", "7", "--only", "ministore", "changed-byte"]);
    assert_eq!(output.status.code(), Some(0), "others are not blamed");
    assert_ne!(cell(&output, "invented records returned"), "0");
}

#[test]
fn records_lost_by_two_writers_are_counted() {
    let output = faults(&["--json", "--only", "okaywal", "two-writers"]);
    assert_ne!(cell(&output, "acknowledged, missing"), "0");
}

#[test]
fn impossible_run_is_not_success() {
    assert_eq!(faults(&["--rounds", "0"]).status.code(), Some(2));
    assert_eq!(faults(&["no-such-fault"]).status.code(), Some(2));
}
