//! A short run of the program: every file system that is here, every workload, the controls.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    io::{self, Write},
    process::{Command, Output},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ministore-powercut");

/// Crash points on each file system, and how many must have been tried at least: enough is counted between recordings.
const POINTS: u64 = 30;

/// What the program says where the machine has not what it needs.
const NOT_HERE: &str = "SKIPPED: power cuts: needs";

/// To the terminal even where the test passes.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn run(args: &[&str]) -> (Output, String) {
    let output = Command::new(PROGRAM).args(args).output().unwrap();
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output, said)
}

/// Columns of the table, by their place.
fn column(row: &[&str], place: usize) -> u64 {
    row[place].parse().unwrap_or_else(|_| panic!("column {place} of {row:?}"))
}

#[test]
fn acknowledged_records_survive_power_cuts() {
    let points = POINTS.to_string();
    let (output, said) = run(&["--points", &points, "--seed", "7"]);
    say(&said);
    if said.contains(NOT_HERE) {
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{said}");
    let table = String::from_utf8_lossy(&output.stdout);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let rows: Vec<_> = rows.iter().filter(|row| ["ext4", "xfs", "btrfs"].contains(&row[0])).collect();
    assert!(!rows.is_empty(), "no file system was tried: {said}");
    for row in rows {
        let [records, flushes, points, images, lost, early, unflushed] =
            [3, 5, 6, 7, 9, 11, 12].map(|place| column(row, place));
        assert!(records > 500 && flushes > 100, "hardly anything was recorded: {row:?}");
        assert!(points >= POINTS - 2 && images > points, "hardly anything was tried: {row:?}");
        assert_eq!(lost, 0, "{row:?}");
        assert!(early > 0 && unflushed > 0, "a loss that had to be found was not: {row:?}");
    }
}

#[test]
fn a_run_that_tried_nothing_does_not_pass() {
    let (output, said) = run(&["--fs", "ext4", "--points", "0"]);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("SKIPPED"), "{said}");
}

#[test]
fn what_is_not_understood_is_refused() {
    for args in [&["--fs", "vfat"][..], &["--workers", "0"], &["--points"], &["replay", "ext4"]] {
        let (output, said) = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains("usage:"), "{args:?}: {said}");
    }
}
