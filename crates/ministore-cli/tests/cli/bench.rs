//! `bench`: rates and percentiles, of one point and of a sweep, and nothing left behind.

use std::fs;

use serde_json::Value;

use crate::support::{Place, Run, kill, ministore};

const POINTS: [&str; 6] = ["p50", "p90", "p99", "p99.9", "p99.99", "max"];

/// What `bench` tells with these arguments; the directory it measures in is left as it was.
fn bench(args: &str) -> Value {
    let place = Place::new();
    let args = args.split_whitespace();
    let told = ministore(["bench", "--json", "--dir"]).arg(place.dir.path()).args(args).run().ok().json();
    assert_eq!(place.snapshot().len(), 0);
    told
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// Those of all points and rounds.
fn rounds(told: &Value) -> Vec<&Value> {
    array(&told["points"]).iter().flat_map(|point| array(&point["rounds"])).collect()
}

#[test]
fn bench_reports_and_leaves_directory_unchanged() {
    let place = Place::new();
    let args = ["bench", "--duration", "0.2s", "--warm-up", "0s", "--clients", "5", "--dir"];
    let ran = ministore(args).arg(place.dir.path()).run().ok();
    for name in ["rate", "durable appends/s", "p99.99", "records per commit", "backend"] {
        assert!(ran.out.contains(name), "{name}: {}", ran.out);
    }
    assert_eq!(place.snapshot().len(), 0);
}

#[test]
fn the_json_report_adds_up() {
    let told = bench("--duration 0.2s --clients 3 --record-bytes 100 --rounds 3");
    assert_eq!((&told["schema"], &told["complete"]), (&"ministore-bench/1".into(), &true.into()));
    assert!(told["host"]["kernel"].is_string() && told["file_system"]["kind"].is_string(), "{told}");
    let point = &told["points"][0];
    assert_eq!(array(&point["rounds"]).len(), 3);
    for round in rounds(&told) {
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
    let mut rates: Vec<_> = rounds(&told).iter().map(|round| number(&round["appends_per_second"])).collect();
    rates.sort_by(f64::total_cmp);
    let spread = ["min", "median", "max"].map(|name| number(&point["appends_per_second"][name]));
    assert_eq!(spread, *rates);
    let all: u64 = rounds(&told).iter().map(|round| round["appends"].as_u64().unwrap()).sum();
    let last = array(&point["curve"]).last().unwrap();
    assert_eq!((&last["quantile"], last["appends"].as_u64()), (&1.0.into(), Some(all)));
    let groups: u64 = array(&point["group_sizes"]).iter().map(|size| size["groups"].as_u64().unwrap()).sum();
    let commits: u64 = rounds(&told).iter().map(|round| round["commits"].as_u64().unwrap()).sum();
    assert_eq!(groups, commits);
}

#[test]
fn sweep_measures_every_combination() {
    let told =
        bench("--duration 0.1s --warm-up 0.05s --clients 1..=4 --record-bytes 50,500 --backend blocking");
    let of = |point: &Value| (point["clients"].as_u64().unwrap(), point["record_bytes"].as_u64().unwrap());
    let points: Vec<_> = array(&told["points"]).iter().map(of).collect();
    assert_eq!(points, [(1, 50), (2, 50), (4, 50), (1, 500), (2, 500), (4, 500)]);
    assert!(rounds(&told).iter().all(|round| round["backend"] == "blocking"), "{told}");
}

#[test]
fn round_without_a_due_append_is_left_out_with_a_warning() {
    let place = Place::new();
    let args = ["bench", "--json", "--rate", "0.1", "--duration", "0.1s", "--warm-up", "0.1s", "--dir"];
    let ran = ministore(args).arg(place.dir.path()).run().ok();
    assert!(array(&ran.json()["points"]).is_empty(), "{}", ran.out);
    assert!(ran.err.contains("no append was due within the duration"), "{}", ran.err);
}

#[test]
fn in_each_round_every_point_is_measured_once() {
    let place = Place::new();
    let args = ["-v", "bench", "--json", "--duration", "0.05s", "--clients", "1,2", "--rounds", "2", "--dir"];
    let ran = ministore(args).arg(place.dir.path()).run().ok();
    let told = ran.err.lines().filter(|line| line.contains("durable appends per second"));
    let callers: Vec<_> = told.map(|line| if line.contains(" 1x300-auto:") { 1 } else { 2 }).collect();
    assert_eq!(callers, [1, 2, 1, 2], "{}", ran.err);
}

#[test]
fn an_open_loop_keeps_a_rate_that_the_disk_can_take_and_says_how_late_it_was() {
    let told = bench("--rate 50 --duration 1s --warm-up 0.2s");
    let round = rounds(&told)[0];
    assert_eq!(told["points"][0]["rate"], 50.0);
    let due = round["appends"].as_u64().unwrap() + round["not_started"].as_u64().unwrap();
    assert!((49..=51).contains(&due), "{round}");
    assert!(round["schedule_lag_us"]["p99"].is_number(), "{round}");
}

#[test]
fn a_rate_that_is_too_much_is_not_kept_and_nothing_that_was_due_is_forgotten() {
    let told = bench("--rate 1000000 --clients 1 --duration 0.3s --warm-up 0s");
    let round = rounds(&told)[0];
    assert_eq!(round["rate_met"], false);
    let (appends, unsent) = (round["appends"].as_u64().unwrap(), round["not_started"].as_u64().unwrap());
    assert!((299_999..=300_001).contains(&(appends + unsent)) && unsent > appends, "{appends} and {unsent}");
    // Half of them were due in the first half of the time, and waited for the second.
    assert!(number(&round["latency_us"]["p50"]) > 100_000.0, "{}", round["latency_us"]);
}

#[test]
fn rotations_are_counted_where_they_fell() {
    let told = bench("--duration 1s --warm-up 0s --record-bytes 4096 --max-segment-bytes 1KiB");
    let round = rounds(&told)[0];
    let in_time: u64 = array(&round["timeline"]).iter().map(|one| one["rotations"].as_u64().unwrap()).sum();
    assert!(in_time > 0, "{round}");
    assert_eq!(round["rotations"].as_u64(), Some(in_time));
}

#[test]
fn interrupted_sweep_reports_partial_results() {
    let (place, scratch) = (Place::new(), Place::new());
    let out = place.path("out.json");
    let args =
        ["-v", "bench", "--json", "--duration", "0.2s", "--clients", "1,2", "--rounds", "1000", "--dir"];
    let mut bench = ministore(args);
    bench.arg(scratch.dir.path()).stdout(fs::File::create(&out).unwrap());
    let mut bench = bench.begin();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(bench.stderr.take().unwrap()));
    lines.find(|line| line.as_ref().unwrap().contains("durable appends per second")).unwrap().unwrap();
    kill(&bench, "INT");
    assert_eq!(lines.map(Result::unwrap).filter(|line| line.contains("ERROR")).count(), 0);
    assert_eq!(bench.wait().unwrap().code(), Some(130));
    let told: Value = serde_json::from_str(&fs::read_to_string(out).unwrap()).unwrap();
    assert_eq!(told["complete"], false);
    assert!(!rounds(&told).is_empty());
    assert_eq!(scratch.snapshot().len(), 0);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    for args in ["--clients 0", "--rate 0", "--duration 0s", "--rounds 0", "--backend x", "--commit-delay 5"]
    {
        ministore(["bench"]).args(args.split(' ')).run().code(64);
    }
    let many = (1..=1001).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    assert!(ministore(["bench", "--clients", &many]).run().code(64).error().contains("1001 points"));
}

#[test]
fn the_distribution_is_what_the_plotter_reads() {
    let (place, scratch) = (Place::new(), Place::new());
    let file = place.path("latency.hgrm");
    let mut bench = ministore(["bench", "--json", "--duration", "0.2s", "--clients", "2", "--dir"]);
    let told = bench.arg(scratch.dir.path()).arg("--hgrm").arg(&file).run().ok().json();
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["       Value     Percentile TotalCount 1/(1-Percentile)", ""]);
    let rows: Vec<Vec<&str>> = lines[2..]
        .iter()
        .filter(|line| !line.starts_with('#'))
        .map(|row| row.split_whitespace().collect())
        .collect();
    let last = rows.last().unwrap();
    assert_eq!((last[1], last[2]), ("1.000000000000", &*rounds(&told)[0]["appends"].to_string()));
    for (line, start) in lines[lines.len() - 3..].iter().zip(["#[Mean    = ", "#[Max     = ", "#[Buckets = "])
    {
        assert!(line.starts_with(start) && line.ends_with(']'), "{line}");
    }
}

#[test]
fn each_point_of_a_sweep_has_a_distribution_of_its_own_and_tags_in_the_log() {
    let (place, scratch) = (Place::new(), Place::new());
    let mut bench = ministore(["bench", "--json", "--duration", "0.1s", "--clients", "1,2", "--dir"]);
    bench.arg(scratch.dir.path()).arg("--hgrm").arg(place.path("l.hgrm"));
    bench.arg("--hlog").arg(place.path("l.hlog")).run().ok();
    let names: Vec<_> = place.snapshot().into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, ["l.1x300-auto.hgrm", "l.2x300-auto.hgrm", "l.hlog"].map(|name| place.path(name)));
    let log = fs::read_to_string(place.path("l.hlog")).unwrap();
    for tag in ["Tag=1x300-auto/sync,", "Tag=2x300-auto/sync,"] {
        assert!(log.lines().any(|line| line.starts_with(tag)), "{tag}");
    }
}

#[test]
fn the_interval_log_has_a_line_a_stage() {
    let (place, scratch) = (Place::new(), Place::new());
    let file = place.path("stages.hlog");
    let mut bench = ministore(["bench", "--json", "--duration", "1.2s", "--clients", "2", "--dir"]);
    bench.arg(scratch.dir.path()).arg("--hlog").arg(&file).run().ok();
    let text = fs::read_to_string(file).unwrap();
    for stage in ["queue_wait", "encode", "sync", "notify", "group_records", "group_bytes"] {
        let lines = text.lines().filter(|line| line.starts_with(&format!("Tag={stage},"))).count();
        assert!(lines >= 2, "{lines} lines of {stage} in more than a second");
    }
}
