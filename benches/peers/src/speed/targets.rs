//! The targets that one run of this program can evaluate: ratios of medians, 300-byte records.

use serde::Serialize;

use super::{
    bench_case::{BenchCase, Role},
    phases::Measurement,
    plan::TARGET_BYTES,
    results::Results,
};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    pub what: String,
    pub measured: String,
    /// The first median divided by the second.
    pub ratio: f64,
    /// The bound of the ratio: at least or at most.
    pub bound: String,
    pub met: bool,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// Two values to divide, and their format.
struct Comparison {
    what: String,
    ours: f64,
    theirs: f64,
    unit: &'static str,
    bound: Bound,
}

impl Comparison {
    fn evaluate(self) -> Target {
        let ratio = self.ours / self.theirs;
        let (met, bound) = match self.bound {
            Bound::AtLeast(least) => (ratio >= least, format!("at least {least}")),
            Bound::AtMost(most) => (ratio <= most, format!("at most {most}")),
        };
        let measured = format!("{} / {} {}", grouped(self.ours), grouped(self.theirs), self.unit);
        Target { what: self.what, measured, ratio, bound, met }
    }
}

/// Formats a value with commas between the thousands.
pub fn grouped(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns the targets whose measurements exist.
pub fn evaluate(results: &Results) -> Vec<Target> {
    let comparisons =
        [one_caller(results), many_callers(results), submit(results), pipelined(results), rotation(results)];
    comparisons.into_iter().flatten().map(Comparison::evaluate).collect()
}

fn of(results: &Results, case: BenchCase, callers: usize) -> Option<Measurement> {
    results.median(case, callers, TARGET_BYTES)
}

fn p50(measurement: Measurement) -> f64 {
    measurement.p50_us
}

fn rate(measurement: Measurement) -> f64 {
    measurement.records_per_second
}

/// Returns the baseline with the lower median latency, and its results.
pub fn baseline(results: &Results, record_bytes: usize) -> Option<(BenchCase, Measurement)> {
    let cases = [BenchCase::FloorDirect, BenchCase::FloorBuffered];
    let floors = cases
        .into_iter()
        .filter_map(|case| results.median(case, 1, record_bytes).map(|measured| (case, measured)));
    floors.min_by(|(_, left), (_, right)| left.p50_us.total_cmp(&right.p50_us))
}

/// Returns the peer with the highest rate.
pub fn best_peer(results: &Results, callers: usize, record_bytes: usize) -> Option<(BenchCase, Measurement)> {
    let peers = results.cases().into_iter().filter(|case| case.role() == Role::Peer);
    let measured =
        peers.filter_map(|peer| results.median(peer, callers, record_bytes).map(|measured| (peer, measured)));
    measured.max_by(|(_, left), (_, right)| left.records_per_second.total_cmp(&right.records_per_second))
}

fn one_caller(results: &Results) -> Vec<Comparison> {
    let mut comparisons = Vec::new();
    for case in [BenchCase::Append, BenchCase::AppendBlocking] {
        let Some(ours) = of(results, case, 1).map(p50) else { continue };
        let mut compare_with = |name: &str, theirs: Option<Measurement>, most| {
            if let Some(theirs) = theirs.map(p50) {
                let what = format!("one caller, p50: {} / {name}", case.label());
                comparisons.push(Comparison { what, ours, theirs, unit: "µs", bound: Bound::AtMost(most) });
            }
        };
        if let Some((baseline, measurement)) = baseline(results, TARGET_BYTES) {
            compare_with(baseline.label(), Some(measurement), 1.25);
        }
        for peer in [BenchCase::Okaywal, BenchCase::RaftEngine] {
            compare_with(peer.label(), of(results, peer, 1), 1.0);
        }
    }
    comparisons
}

fn many_callers(results: &Results) -> Vec<Comparison> {
    let mut comparisons = Vec::new();
    for (callers, least) in [(16, 1.5), (256, 5.0), (2048, 5.0)] {
        let Some(ours) = of(results, BenchCase::Append, callers).map(rate) else { continue };
        let mut compare_with = |name: &str, theirs: Measurement, least| {
            let what = format!("{callers} callers, rate: append / {name}");
            comparisons.push(Comparison {
                what,
                ours,
                theirs: rate(theirs),
                unit: "records/s",
                bound: Bound::AtLeast(least),
            });
        };
        if let Some((peer, measurement)) = best_peer(results, callers, TARGET_BYTES) {
            compare_with(&format!("the best peer ({})", peer.label()), measurement, least);
        }
        for echo in [BenchCase::Echo, BenchCase::EchoEmpty] {
            if let Some(measurement) = of(results, echo, callers).filter(|_| callers > 16) {
                compare_with(echo.label(), measurement, 0.9);
            }
        }
    }
    comparisons
}

fn submit(results: &Results) -> Vec<Comparison> {
    let Some(ours) = of(results, BenchCase::Submit, 0).map(rate) else { return Vec::new() };
    let what = "submit, two tasks, rate: / 1,000,000 records/s".into();
    let unit = "records/s";
    let mut comparisons = vec![Comparison { what, ours, theirs: 1e6, unit, bound: Bound::AtLeast(1.0) }];
    if let Some(theirs) = of(results, BenchCase::Append, 256).map(rate) {
        let what = "submit, two tasks, rate: / 256 appending callers".into();
        comparisons.push(Comparison { what, ours, theirs, unit, bound: Bound::AtLeast(3.0) });
    }
    comparisons
}

/// Returns the faster way to write 1 MiB in place.
pub fn bulk_baseline(results: &Results, record_bytes: usize) -> Option<(BenchCase, Measurement)> {
    let cases = [BenchCase::BulkFloorDirect, BenchCase::BulkFloorBuffered];
    let floors = cases
        .into_iter()
        .filter_map(|case| results.median(case, 0, record_bytes).map(|measured| (case, measured)));
    floors.max_by(|(_, left), (_, right)| left.bytes_per_second.total_cmp(&right.bytes_per_second))
}

fn pipelined(results: &Results) -> Vec<Comparison> {
    let Some((baseline, limit)) = bulk_baseline(results, TARGET_BYTES) else { return Vec::new() };
    let cases = [BenchCase::AppendBatch, BenchCase::AppendJson];
    let measured = cases.into_iter().filter_map(|case| Some((case, of(results, case, 0)?)));
    let compare = |(case, measurement): (BenchCase, Measurement)| Comparison {
        what: format!("bulk, bytes: {} / {}", case.label(), baseline.label()),
        ours: measurement.bytes_per_second / 1e6,
        theirs: limit.bytes_per_second / 1e6,
        unit: "MB/s",
        bound: Bound::AtLeast(0.8),
    };
    measured.map(compare).collect()
}

fn rotation(results: &Results) -> Vec<Comparison> {
    let rotating = of(results, BenchCase::AppendSmallSegments, 256);
    let none = of(results, BenchCase::AppendOneSegment, 256);
    let (Some(rotating), Some(none)) = (rotating, none) else { return Vec::new() };
    vec![Comparison {
        what: "256 callers, p99.9: 4 MiB segments / one that is never rotated".into(),
        ours: rotating.p999_us,
        theirs: none.p999_us,
        unit: "µs",
        bound: Bound::AtMost(1.5),
    }]
}
