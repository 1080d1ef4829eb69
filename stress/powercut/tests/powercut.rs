//! A short run of the program on every available file system, with the controls.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    io::{self, Write},
    process::{Command, Output},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ministore-powercut");

/// Crash points to test on each file system.
const POINTS: u64 = 30;

/// The message of the program if the machine cannot run the test.
const SKIPPED: &str = "SKIPPED: power cuts: needs";

/// Writes to standard error directly, because the test harness captures the output of passing tests.
fn print_uncaptured(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn run(args: &[&str]) -> (Output, String) {
    let output = Command::new(PROGRAM).args(args).output().unwrap();
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output, text)
}

/// Returns the value of a column of the table.
fn column(row: &[&str], index: usize) -> u64 {
    row[index].parse().unwrap_or_else(|_| panic!("column {index} of {row:?}"))
}

#[test]
fn acknowledged_records_survive_power_cuts() {
    let points = POINTS.to_string();
    let (output, text) = run(&["--points", &points, "--seed", "7"]);
    print_uncaptured(&text);
    if text.contains(SKIPPED) {
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{text}");
    let table = String::from_utf8_lossy(&output.stdout);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let rows: Vec<_> = rows.iter().filter(|row| ["ext4", "xfs", "btrfs"].contains(&row[0])).collect();
    assert!(!rows.is_empty(), "no file system was tested: {text}");
    for row in rows {
        let [records, flushes, points, images, lost, early, unflushed] =
            [3, 5, 6, 7, 9, 11, 12].map(|index| column(row, index));
        assert!(records > 500 && flushes > 100, "too little was recorded: {row:?}");
        assert!(points >= POINTS - 2 && images > points, "too few images were tested: {row:?}");
        assert_eq!(lost, 0, "{row:?}");
        assert!(early > 0 && unflushed > 0, "a control found no loss: {row:?}");
    }
}

#[test]
fn run_without_crash_points_fails() {
    let (output, text) = run(&["--fs", "ext4", "--points", "0"]);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("SKIPPED"), "{text}");
}

#[test]
fn invalid_arguments_are_rejected() {
    for args in [&["--fs", "vfat"][..], &["--workers", "0"], &["--points"], &["replay", "ext4"]] {
        let (output, text) = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
        assert!(text.contains("error:") && text.contains("--help"), "{args:?}: {text}");
    }
}
