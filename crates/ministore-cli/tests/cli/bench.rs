//! `bench`: rates and percentiles of one point and of a sweep; no file is left.

use std::fs;

use serde_json::Value;

use crate::support::{CommandExt, TestDir, kill, ministore};

const POINTS: [&str; 6] = ["p50", "p90", "p99", "p99.9", "p99.99", "max"];

/// Runs `bench` with these arguments and returns its JSON report. Checks that its directory is left empty.
fn bench(args: &str) -> Value {
    let dir = TestDir::new();
    let args = args.split_whitespace();
    let report = ministore(["bench", "--json", "--dir"]).arg(dir.root()).args(args).run().ok().json();
    assert_eq!(dir.snapshot().len(), 0);
    report
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// Returns the rounds of all points.
fn rounds(report: &Value) -> Vec<&Value> {
    array(&report["points"]).iter().flat_map(|point| array(&point["rounds"])).collect()
}

#[test]
fn bench_reports_and_leaves_directory_unchanged() {
    let dir = TestDir::new();
    let args = ["bench", "--duration", "0.2s", "--warm-up", "0s", "--clients", "5", "--dir"];
    let output = ministore(args).arg(dir.root()).run().ok();
    for name in ["rate", "durable appends/s", "p99.99", "records per commit", "backend"] {
        assert!(output.stdout.contains(name), "{name}: {}", output.stdout);
    }
    assert_eq!(dir.snapshot().len(), 0);
}

#[test]
fn json_report_totals_are_consistent() {
    let report = bench("--duration 0.2s --clients 3 --record-bytes 100 --rounds 3");
    assert_eq!((&report["schema"], &report["complete"]), (&"ministore-bench/1".into(), &true.into()));
    assert!(report["host"]["kernel"].is_string() && report["file_system"]["kind"].is_string(), "{report}");
    let point = &report["points"][0];
    assert_eq!(array(&point["rounds"]).len(), 3);
    for round in rounds(&report) {
        let number = |name: &str| number(&round[name]);
        assert!(number("appends") >= 1.0, "{round}");
        assert!(
            (number("appends") / number("seconds") - number("appends_per_second")).abs() < 1.0,
            "{round}"
        );
        assert!((1.0..=3.0).contains(&number("records_per_commit")), "{round}");
        let latency = POINTS.map(|name| round["latency_us"][name].as_f64().unwrap());
        assert!(latency.is_sorted() && latency[0] > 0.0, "{round}");
        let in_time: u64 = array(&round["timeline"]).iter().map(|one| one["appends"].as_u64().unwrap()).sum();
        assert_eq!(in_time, round["appends"].as_u64().unwrap());
        assert_eq!((round["not_started"].as_u64(), round["rate_met"].is_null()), (Some(0), true));
        for stage in ["queue_wait", "encode", "sync", "notify"] {
            assert!(round["stages_us"][stage]["p50"].is_number(), "{stage}: {round}");
        }
    }
    let mut rates: Vec<_> =
        rounds(&report).iter().map(|round| number(&round["appends_per_second"])).collect();
    rates.sort_by(f64::total_cmp);
    let spread = ["min", "median", "max"].map(|name| number(&point["appends_per_second"][name]));
    assert_eq!(spread, *rates);
    let all: u64 = rounds(&report).iter().map(|round| round["appends"].as_u64().unwrap()).sum();
    let last = array(&point["curve"]).last().unwrap();
    assert_eq!((&last["quantile"], last["appends"].as_u64()), (&1.0.into(), Some(all)));
    let groups: u64 = array(&point["group_sizes"]).iter().map(|size| size["groups"].as_u64().unwrap()).sum();
    let commits: u64 = rounds(&report).iter().map(|round| round["commits"].as_u64().unwrap()).sum();
    assert_eq!(groups, commits);
}

#[test]
fn sweep_measures_every_combination() {
    let report =
        bench("--duration 0.1s --warm-up 0.05s --clients 1..=4 --record-bytes 50,500 --backend blocking");
    let of = |point: &Value| (point["clients"].as_u64().unwrap(), point["record_bytes"].as_u64().unwrap());
    let points: Vec<_> = array(&report["points"]).iter().map(of).collect();
    assert_eq!(points, [(1, 50), (2, 50), (4, 50), (1, 500), (2, 500), (4, 500)]);
    assert!(rounds(&report).iter().all(|round| round["backend"] == "blocking"), "{report}");
}

#[test]
fn round_without_due_append_is_omitted_with_warning() {
    let dir = TestDir::new();
    let args = ["bench", "--json", "--rate", "0.1", "--duration", "0.1s", "--warm-up", "0.1s", "--dir"];
    let output = ministore(args).arg(dir.root()).run().ok();
    assert!(array(&output.json()["points"]).is_empty(), "{}", output.stdout);
    assert!(output.stderr.contains("no append was due within the duration"), "{}", output.stderr);
}

#[test]
fn each_round_measures_every_point_once() {
    let dir = TestDir::new();
    let args = ["-v", "bench", "--json", "--duration", "0.05s", "--clients", "1,2", "--rounds", "2", "--dir"];
    let output = ministore(args).arg(dir.root()).run().ok();
    let rates = output.stderr.lines().filter(|line| line.contains("durable appends per second"));
    let clients: Vec<_> = rates.map(|line| if line.contains(" 1x300-auto:") { 1 } else { 2 }).collect();
    assert_eq!(clients, [1, 2, 1, 2], "{}", output.stderr);
}

#[test]
fn open_loop_meets_a_feasible_rate() {
    let report = bench("--rate 50 --duration 1s --warm-up 0.2s");
    let round = rounds(&report)[0];
    assert_eq!(report["points"][0]["rate"], 50.0);
    let due = round["appends"].as_u64().unwrap() + round["not_started"].as_u64().unwrap();
    assert!((49..=51).contains(&due), "{round}");
    assert!(round["schedule_lag_us"]["p99"].is_number(), "{round}");
}

#[test]
fn open_loop_reports_unmet_rate() {
    let report = bench("--rate 1000000 --clients 1 --duration 0.3s --warm-up 0s");
    let round = rounds(&report)[0];
    assert_eq!(round["rate_met"], false);
    let (appends, unsent) = (round["appends"].as_u64().unwrap(), round["not_started"].as_u64().unwrap());
    assert!((299_999..=300_001).contains(&(appends + unsent)) && unsent > appends, "{appends} and {unsent}");
    // Half of them were due in the first half of the time and waited during the second half.
    assert!(number(&round["latency_us"]["p50"]) > 100_000.0, "{}", round["latency_us"]);
}

#[test]
fn rotations_are_counted_per_interval() {
    let report = bench("--duration 1s --warm-up 0s --record-bytes 4096 --max-segment-bytes 1KiB");
    let round = rounds(&report)[0];
    let in_time: u64 = array(&round["timeline"]).iter().map(|one| one["rotations"].as_u64().unwrap()).sum();
    assert!(in_time > 0, "{round}");
    assert_eq!(round["rotations"].as_u64(), Some(in_time));
}

#[test]
fn interrupted_sweep_reports_partial_results() {
    let (dir, scratch) = (TestDir::new(), TestDir::new());
    let out = dir.path("out.json");
    let args =
        ["-v", "bench", "--json", "--duration", "0.2s", "--clients", "1,2", "--rounds", "1000", "--dir"];
    let mut bench = ministore(args);
    bench.arg(scratch.root()).stdout(fs::File::create(&out).unwrap());
    let mut bench = bench.spawn_with_stdin();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(bench.stderr.take().unwrap()));
    lines.find(|line| line.as_ref().unwrap().contains("durable appends per second")).unwrap().unwrap();
    kill(&bench, "INT");
    assert_eq!(lines.map(Result::unwrap).filter(|line| line.contains("error:")).count(), 0);
    assert_eq!(bench.wait().unwrap().code(), Some(130));
    let report: Value = serde_json::from_str(&fs::read_to_string(out).unwrap()).unwrap();
    assert_eq!(report["complete"], false);
    assert!(!rounds(&report).is_empty());
    assert_eq!(scratch.snapshot().len(), 0);
}

#[test]
fn invalid_bench_options_return_64() {
    for args in ["--clients 0", "--rate 0", "--duration 0s", "--rounds 0", "--backend x", "--commit-delay 5"]
    {
        ministore(["bench"]).args(args.split(' ')).run().code(64);
    }
    let many = (1..=1001).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    assert!(ministore(["bench", "--clients", &many]).run().code(64).error().contains("1001 points"));
}

#[test]
fn hgrm_file_has_plotter_format() {
    let (dir, scratch) = (TestDir::new(), TestDir::new());
    let file = dir.path("latency.hgrm");
    let mut bench = ministore(["bench", "--json", "--duration", "0.2s", "--clients", "2", "--dir"]);
    let report = bench.arg(scratch.root()).arg("--hgrm").arg(&file).run().ok().json();
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["       Value     Percentile TotalCount 1/(1-Percentile)", ""]);
    let rows: Vec<Vec<&str>> = lines[2..]
        .iter()
        .filter(|line| !line.starts_with('#'))
        .map(|row| row.split_whitespace().collect())
        .collect();
    let last = rows.last().unwrap();
    assert_eq!((last[1], last[2]), ("1.000000000000", &*rounds(&report)[0]["appends"].to_string()));
    for (line, start) in lines[lines.len() - 3..].iter().zip(["#[Mean    = ", "#[Max     = ", "#[Buckets = "])
    {
        assert!(line.starts_with(start) && line.ends_with(']'), "{line}");
    }
}

#[test]
fn sweep_points_have_own_hgrm_and_hlog_tags() {
    let (dir, scratch) = (TestDir::new(), TestDir::new());
    let mut bench = ministore(["bench", "--json", "--duration", "0.1s", "--clients", "1,2", "--dir"]);
    bench.arg(scratch.root()).arg("--hgrm").arg(dir.path("l.hgrm"));
    bench.arg("--hlog").arg(dir.path("l.hlog")).run().ok();
    let names: Vec<_> = dir.snapshot().into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, ["l.1x300-auto.hgrm", "l.2x300-auto.hgrm", "l.hlog"].map(|name| dir.path(name)));
    let log = fs::read_to_string(dir.path("l.hlog")).unwrap();
    for tag in ["Tag=1x300-auto/sync,", "Tag=2x300-auto/sync,"] {
        assert!(log.lines().any(|line| line.starts_with(tag)), "{tag}");
    }
}

#[test]
fn interval_log_has_lines_for_each_stage() {
    let (dir, scratch) = (TestDir::new(), TestDir::new());
    let file = dir.path("stages.hlog");
    let mut bench = ministore(["bench", "--json", "--duration", "1.2s", "--clients", "2", "--dir"]);
    bench.arg(scratch.root()).arg("--hlog").arg(&file).run().ok();
    let text = fs::read_to_string(file).unwrap();
    for stage in ["queue_wait", "encode", "sync", "notify", "group_records", "group_bytes"] {
        let lines = text.lines().filter(|line| line.starts_with(&format!("Tag={stage},"))).count();
        assert!(lines >= 2, "{lines} lines of {stage} in more than a second");
    }
}
