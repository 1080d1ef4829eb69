//! Runs the program: the shortest runs that produce every kind of output.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

/// Runs one short round in a directory.
fn speed(dir: &Path, arguments: &[&str]) -> Output {
    let short = ["--rounds", "1", "--seconds", "0.05", "--warm-up", "0.02", "--dir"];
    Command::new(env!("CARGO_BIN_EXE_speed")).args(short).arg(dir).args(arguments).output().unwrap()
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn run_writes_tables_json_pictures_and_cleans_up() {
    let dir = directory();
    let (json, tables, charts) = (dir.path().join("r.json"), dir.path().join("r.md"), dir.path().join("svg"));
    let logs = dir.path().join("logs");
    fs::create_dir(&logs).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_speed"))
        .args([
            "--rounds",
            "2",
            "--seconds",
            "0.05",
            "--warm-up",
            "0.02",
            "--callers",
            "1,3",
            "--sizes",
            "300",
        ])
        .args(["--only", "append,submit,okaywal,sqlite,echo,floor-buffered", "--dir"])
        .arg(&logs)
        .arg("--json")
        .arg(&json)
        .arg("--markdown")
        .arg(&tables)
        .arg("--svg")
        .arg(&charts)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(fs::read_dir(&logs).unwrap().count(), 0, "a log was not removed");

    let tables = fs::read_to_string(tables).unwrap();
    assert!(text(&output.stdout).contains(&tables));
    for expected in
        ["## Records of 300 B", "| ours: append |", "| SQLite |", "| limit: echo |", "ministore-uring 0."]
    {
        assert!(tables.contains(expected), "{expected:?} is not in {tables}");
    }

    let report: Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2 * 4 + 2, "two numbers of callers, the floor, and in bulk");
    for row in rows {
        assert_eq!(row["rounds"].as_array().unwrap().len(), 2);
        assert!(row["median"]["calls"].as_u64().unwrap() > 0);
        assert!(row["median"]["p50_us"].as_f64() <= row["median"]["p999_us"].as_f64());
        assert!(row["median"]["processors"].as_f64() > Some(0.0));
    }
    assert!(report["machine"]["file_system"].is_string());

    for name in ["rate-300.svg", "latency-p50-300.svg", "latency-p99-300.svg"] {
        let picture = fs::read_to_string(charts.join(name)).unwrap();
        // On a busy disk a log may have no acknowledgement in so short a window; its rate is then missing from the
        // chart.
        let logs = if name.starts_with("rate") {
            [">limit: echo</text>"; 2]
        } else {
            [">ours: append</text>", ">okaywal</text>"]
        };
        for expected in ["<title id=", "<desc id="].into_iter().chain(logs) {
            assert!(picture.contains(expected), "{expected:?} is not in {name}");
        }
    }
}

#[test]
fn acknowledged_records_are_counted_in_the_logs() {
    let dir = directory();
    let json = dir.path().join("r.json");
    let all = "append,append-blocking,submit,append-batch,append-json,append-small-segments,append-one-segment,\
               ministore,wal-db,walrus-rust,raft-engine,raft-log,sqlite,sqlite-connections,written-only";
    let arguments = ["--callers", "2", "--sizes", "300", "--in-flight", "100", "--only", all, "--json"];
    let output = speed(dir.path(), &[&arguments[..], &[json.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 13, "two of them take part with 256 callers only");
    for row in rows {
        let round = &row["rounds"][0];
        assert!(round["acknowledged"].as_u64().unwrap() > 0);
        assert_eq!(round["kept"], round["acknowledged"], "{}", row["entrant"]);
    }
}

#[test]
fn growing_floor_repeats_the_measured_writes() {
    let dir = directory();
    let json = dir.path().join("r.json");
    let cases =
        ["--callers", "1", "--sizes", "300", "--only", "submit,growing-submit,append-half-busy", "--json"];
    let output = speed(dir.path(), &[&cases[..], &[json.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    let write_bytes = |case: &str| {
        let row = rows.iter().find(|row| row["entrant"] == case).unwrap();
        row["median"]["write_bytes"].as_f64().unwrap()
    };
    let (ours, floor) = (write_bytes("submit"), write_bytes("growing-submit"));
    assert!(floor >= ours && floor - ours < 4096.0, "{floor} bytes instead of {ours}");
    assert_eq!(report["targets"].as_array().unwrap().len(), 1);
    for expected in ["| one caller | p50 in µs | processors used |", "| ours: append, half-busy workers |"] {
        assert!(text(&output.stdout).contains(expected), "{expected:?} is missing");
    }
}

#[test]
fn ready_json_is_compared_with_peers() {
    let dir = directory();
    let only = "append,append-blocking,okaywal,wal-db,raft-engine,raft-log,echo";
    let output = speed(dir.path(), &["--callers", "4", "--sizes", "json:65536", "--only", only]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for expected in ["## Records of 64 KiB, ready JSON", "append_json / the best peer"] {
        assert!(text(&output.stdout).contains(expected), "{expected:?} is missing");
    }
}

#[test]
fn blocking_caller_is_compared_on_a_slow_disk() {
    let dir = directory();
    let output = speed(dir.path(), &["--slow-disk", "2ms"]);
    let errors = text(&output.stderr);
    if let Some(skipped) = errors.lines().find(|line| line.starts_with("SKIPPED: ")) {
        #[expect(clippy::print_stderr, reason = "the message of a skipped test")]
        {
            eprintln!("{skipped}");
        }
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let line = text(&output.stdout).lines().find(|line| line.starts_with("| 2ms |")).unwrap().to_owned();
    let floor: String = line.split(" | ").nth(1).unwrap().replace(',', "");
    assert!(floor.parse::<f64>().unwrap() >= 2000.0, "{line}");
}

#[test]
fn more_callers_than_cores_each_have_a_thread() {
    let dir = directory();
    let output = speed(dir.path(), &["--callers", "600", "--sizes", "100", "--only", "raft-engine,echo"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn log_without_results_fails_the_run_and_is_named() {
    let dir = directory();
    // Shorter than any record.
    let output = speed(dir.path(), &["--callers", "1", "--sizes", "10", "--only", "append"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("What gave no figures"), "{}", text(&output.stdout));
}

#[test]
fn wrong_argument_is_a_usage_error() {
    let dir = directory();
    for arguments in [
        &["--only", "nobody"][..],
        &["--callers", "0"],
        &["--rounds", "0"],
        &["--svg"],
        &["--callers", ""],
        &["--slow-disk", "5"],
    ] {
        let output = speed(dir.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).starts_with("error:"));
    }
    let output = speed(dir.path(), &["--callers", "4", "--sizes", "300", "--only", "floor-direct"]);
    assert_eq!(output.status.code(), Some(2), "nothing was to be measured");
}
