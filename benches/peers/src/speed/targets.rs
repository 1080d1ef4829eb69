//! The targets that one run of this program can evaluate: ratios of medians.

use serde::Serialize;

use super::{
    bench_case::{BenchCase, Role},
    phases::Measurement,
    plan::{LARGE_RECORD_CALLERS, LARGE_RECORDS, TARGET_RECORDS},
    records::RecordKind,
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
    /// Whether the ratio is at most 3 % beyond the bound.
    pub met: bool,
}

/// A target is missed when its ratio is further beyond the bound than this part of it.
const TOLERANCE: f64 = 0.03;

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
            Bound::AtLeast(least) => (ratio >= least * (1.0 - TOLERANCE), format!("at least {least}")),
            Bound::AtMost(most) => (ratio <= most * (1.0 + TOLERANCE), format!("at most {most}")),
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
    let comparisons = [
        one_caller(results),
        many_callers(results),
        submit(results),
        pipelined(results),
        large_records(results),
        rotation(results),
    ];
    comparisons.into_iter().flatten().map(Comparison::evaluate).collect()
}

fn of(results: &Results, case: BenchCase, callers: usize) -> Option<Measurement> {
    results.median(case, callers, TARGET_RECORDS)
}

fn p50(measurement: Measurement) -> f64 {
    measurement.p50_us
}

fn rate(measurement: Measurement) -> f64 {
    measurement.records_per_second
}

/// Returns the baseline with the lower median latency, and its results.
pub fn baseline(results: &Results, records: RecordKind) -> Option<(BenchCase, Measurement)> {
    let cases = [BenchCase::FloorDirect, BenchCase::FloorBuffered];
    let floors = cases
        .into_iter()
        .filter_map(|case| results.median(case, 1, records).map(|measured| (case, measured)));
    floors.min_by(|(_, left), (_, right)| left.p50_us.total_cmp(&right.p50_us))
}

/// Returns the peer with the highest rate.
pub fn best_peer(results: &Results, callers: usize, records: RecordKind) -> Option<(BenchCase, Measurement)> {
    let peers = results.cases().into_iter().filter(|case| case.role() == Role::Peer);
    let measured =
        peers.filter_map(|peer| results.median(peer, callers, records).map(|measured| (peer, measured)));
    measured.max_by(|(_, left), (_, right)| left.records_per_second.total_cmp(&right.records_per_second))
}

/// Returns the target of one blocking caller, which holds for slow disks, too. The floor writes as the store does: on a
/// loop device over FUSE, a direct `O_DSYNC` write takes two flushes, and a buffered write with `fdatasync` one.
pub fn evaluate_slow_disk(results: &Results) -> Option<Target> {
    latency(results, BenchCase::AppendBlocking, BenchCase::FloorDirect, 1.0).map(Comparison::evaluate)
}

/// Compares the latency of one caller with that of another case.
fn latency(results: &Results, ours: BenchCase, theirs: BenchCase, most: f64) -> Option<Comparison> {
    Some(Comparison {
        what: format!("one caller, p50: {} / {}", ours.label(), theirs.label()),
        ours: of(results, ours, 1).map(p50)?,
        theirs: of(results, theirs, 1).map(p50)?,
        unit: "µs",
        bound: Bound::AtMost(most),
    })
}

fn blocking_caller(results: &Results) -> Option<Comparison> {
    let (floor, _) = baseline(results, TARGET_RECORDS)?;
    latency(results, BenchCase::AppendBlocking, floor, 1.0)
}

fn one_caller(results: &Results) -> Vec<Comparison> {
    let floor = baseline(results, TARGET_RECORDS);
    let comparisons = [
        floor.and_then(|(floor, _)| latency(results, BenchCase::Append, floor, 1.1)),
        latency(results, BenchCase::Append, BenchCase::Okaywal, 1.0),
        latency(results, BenchCase::Append, BenchCase::RaftEngine, 1.0),
        blocking_caller(results),
    ];
    comparisons.into_iter().flatten().collect()
}

/// Compares the rate of `append` with that of the best peer.
fn with_best_peer(results: &Results, callers: usize, records: RecordKind, least: f64) -> Option<Comparison> {
    let ours = results.median(BenchCase::Append, callers, records).map(rate)?;
    let (peer, theirs) = best_peer(results, callers, records)?;
    let call = if records.ready_json { "append_json" } else { "append" };
    Some(Comparison {
        what: format!("{callers} callers, {records}, rate: {call} / the best peer ({})", peer.label()),
        ours,
        theirs: rate(theirs),
        unit: "records/s",
        bound: Bound::AtLeast(least),
    })
}

fn many_callers(results: &Results) -> Vec<Comparison> {
    let mut comparisons = Vec::new();
    for (callers, of_echo, of_peer) in [(16, None, 2.0), (256, Some(0.85), 6.0), (2048, Some(0.95), 9.0)] {
        let ours = of(results, BenchCase::Append, callers).map(rate);
        let echo = of(results, BenchCase::Echo, callers).map(rate);
        if let (Some(ours), Some(theirs), Some(least)) = (ours, echo, of_echo) {
            let what = format!("{callers} callers, rate: append / {}", BenchCase::Echo.label());
            let bound = Bound::AtLeast(least);
            comparisons.push(Comparison { what, ours, theirs, unit: "records/s", bound });
        }
        comparisons.extend(with_best_peer(results, callers, TARGET_RECORDS, of_peer));
    }
    comparisons
}

fn large_records(results: &Results) -> Vec<Comparison> {
    let of_callers = |callers| with_best_peer(results, callers, LARGE_RECORDS, 1.0);
    LARGE_RECORD_CALLERS.into_iter().filter_map(of_callers).collect()
}

fn submit(results: &Results) -> Vec<Comparison> {
    let ours = of(results, BenchCase::Submit, 0).map(rate);
    let theirs = of(results, BenchCase::Append, 256).map(rate);
    let (Some(ours), Some(theirs)) = (ours, theirs) else { return Vec::new() };
    let what = "submit, two tasks, rate: / 256 appending callers".into();
    vec![Comparison { what, ours, theirs, unit: "records/s", bound: Bound::AtLeast(3.0) }]
}

/// Returns the faster way to write 1 MiB in place.
pub fn bulk_baseline(results: &Results, records: RecordKind) -> Option<(BenchCase, Measurement)> {
    let cases = [BenchCase::BulkFloorDirect, BenchCase::BulkFloorBuffered];
    let floors = cases
        .into_iter()
        .filter_map(|case| results.median(case, 0, records).map(|measured| (case, measured)));
    floors.max_by(|(_, left), (_, right)| left.bytes_per_second.total_cmp(&right.bytes_per_second))
}

/// Compares bytes in bulk with the same writes to a growing file.
fn pipelined(results: &Results) -> Vec<Comparison> {
    let targets = [(BenchCase::Submit, 0.8), (BenchCase::AppendBatch, 0.85), (BenchCase::AppendJson, 0.6)];
    let compare = |(case, least): (BenchCase, f64)| {
        let floor = case.growing_floor()?;
        Some(Comparison {
            what: format!("bulk, bytes: {} / {}", case.label(), floor.label()),
            ours: of(results, case, 0)?.bytes_per_second / 1e6,
            theirs: of(results, floor, 0)?.bytes_per_second / 1e6,
            unit: "MB/s",
            bound: Bound::AtLeast(least),
        })
    };
    targets.into_iter().filter_map(compare).collect()
}

fn rotation(results: &Results) -> Vec<Comparison> {
    let rotating = of(results, BenchCase::AppendSmallSegments, 256);
    let none = of(results, BenchCase::AppendOneSegment, 256);
    let (Some(rotating), Some(none)) = (rotating, none) else { return Vec::new() };
    [("p99", rotating.p99_us, none.p99_us), ("p99.9", rotating.p999_us, none.p999_us)]
        .map(|(percentile, ours, theirs)| Comparison {
            what: format!("256 callers, {percentile}: 4 MiB segments / one segment, not preallocated"),
            ours,
            theirs,
            unit: "µs",
            bound: Bound::AtMost(1.2),
        })
        .into()
}

#[cfg(test)]
mod tests {
    use super::{Bound, Comparison};

    #[test]
    fn target_is_missed_beyond_three_percent() {
        let met = |ours, bound| {
            let what = String::new();
            Comparison { what, ours, theirs: 100.0, unit: "", bound }.evaluate().met
        };
        assert!(met(103.0, Bound::AtMost(1.0)) && !met(103.1, Bound::AtMost(1.0)));
        assert!(met(194.0, Bound::AtLeast(2.0)) && !met(193.9, Bound::AtLeast(2.0)));
    }
}
