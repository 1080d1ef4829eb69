//! The targets that one run of this program can judge: ratios of medians, 300-byte records.

use serde::Serialize;

use super::{
    entrant::{Entrant, Role},
    phases::Figures,
    plan::TARGET_BYTES,
    results::Results,
};

/// A ratio and what it should be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    /// What is compared.
    pub what: String,
    /// The two medians.
    pub measured: String,
    /// The first by the second.
    pub ratio: f64,
    /// What the ratio is to be: at least or at most.
    pub bound: String,
    /// Whether it is.
    pub met: bool,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// Two figures to divide, and how they are written.
struct Comparison {
    what: String,
    ours: f64,
    theirs: f64,
    unit: &'static str,
    bound: Bound,
}

impl Comparison {
    fn judge(self) -> Target {
        let ratio = self.ours / self.theirs;
        let (met, bound) = match self.bound {
            Bound::AtLeast(least) => (ratio >= least, format!("at least {least}")),
            Bound::AtMost(most) => (ratio <= most, format!("at most {most}")),
        };
        let measured = format!("{} / {} {}", grouped(self.ours), grouped(self.theirs), self.unit);
        Target { what: self.what, measured, ratio, bound, met }
    }
}

/// A figure with commas between the thousands.
#[must_use]
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

/// The targets whose measurements are there.
#[must_use]
pub fn judge(results: &Results) -> Vec<Target> {
    let judged =
        [one_caller(results), many_callers(results), submit(results), bulk(results), rotation(results)];
    judged.into_iter().flatten().map(Comparison::judge).collect()
}

fn of(results: &Results, entrant: Entrant, callers: usize) -> Option<Figures> {
    results.median(entrant, callers, TARGET_BYTES)
}

fn p50(figures: Figures) -> f64 {
    figures.p50_us
}

fn rate(figures: Figures) -> f64 {
    figures.records_per_second
}

/// The cheaper way to write in place, by latency; its name and p50.
#[must_use]
pub fn floor(results: &Results, record_bytes: usize) -> Option<(Entrant, Figures)> {
    let ways = [Entrant::FloorDirect, Entrant::FloorBuffered];
    let floors =
        ways.into_iter().filter_map(|way| results.median(way, 1, record_bytes).map(|found| (way, found)));
    floors.min_by(|(_, left), (_, right)| left.p50_us.total_cmp(&right.p50_us))
}

/// The peer with the highest rate.
#[must_use]
pub fn best_peer(results: &Results, callers: usize, record_bytes: usize) -> Option<(Entrant, Figures)> {
    let peers = results.entrants().into_iter().filter(|entrant| entrant.role() == Role::Peer);
    let found =
        peers.filter_map(|peer| results.median(peer, callers, record_bytes).map(|found| (peer, found)));
    found.max_by(|(_, left), (_, right)| left.records_per_second.total_cmp(&right.records_per_second))
}

fn one_caller(results: &Results) -> Vec<Comparison> {
    let mut judged = Vec::new();
    for way in [Entrant::Append, Entrant::AppendBlocking] {
        let Some(ours) = of(results, way, 1).map(p50) else { continue };
        let mut against = |name: &str, theirs: Option<Figures>, most| {
            if let Some(theirs) = theirs.map(p50) {
                let what = format!("one caller, p50: {} / {name}", way.label());
                judged.push(Comparison { what, ours, theirs, unit: "µs", bound: Bound::AtMost(most) });
            }
        };
        if let Some((floor, figures)) = floor(results, TARGET_BYTES) {
            against(floor.label(), Some(figures), 1.25);
        }
        for peer in [Entrant::Okaywal, Entrant::RaftEngine] {
            against(peer.label(), of(results, peer, 1), 1.0);
        }
    }
    judged
}

fn many_callers(results: &Results) -> Vec<Comparison> {
    let mut judged = Vec::new();
    for (callers, least) in [(16, 1.5), (256, 5.0), (2048, 5.0)] {
        let Some(ours) = of(results, Entrant::Append, callers).map(rate) else { continue };
        let mut against = |name: &str, theirs: Figures, least| {
            let what = format!("{callers} callers, rate: append / {name}");
            judged.push(Comparison {
                what,
                ours,
                theirs: rate(theirs),
                unit: "records/s",
                bound: Bound::AtLeast(least),
            });
        };
        if let Some((peer, figures)) = best_peer(results, callers, TARGET_BYTES) {
            against(&format!("the best peer ({})", peer.label()), figures, least);
        }
        for echo in [Entrant::Echo, Entrant::EchoEmpty] {
            if let Some(figures) = of(results, echo, callers).filter(|_| callers > 16) {
                against(echo.label(), figures, 0.9);
            }
        }
    }
    judged
}

fn submit(results: &Results) -> Vec<Comparison> {
    let Some(ours) = of(results, Entrant::Submit, 0).map(rate) else { return Vec::new() };
    let what = "submit, two tasks, rate: / 1,000,000 records/s".into();
    let unit = "records/s";
    let mut judged = vec![Comparison { what, ours, theirs: 1e6, unit, bound: Bound::AtLeast(1.0) }];
    if let Some(theirs) = of(results, Entrant::Append, 256).map(rate) {
        let what = "submit, two tasks, rate: / 256 appending callers".into();
        judged.push(Comparison { what, ours, theirs, unit, bound: Bound::AtLeast(3.0) });
    }
    judged
}

/// The faster way to write 1 MiB in place.
#[must_use]
pub fn bulk_floor(results: &Results, record_bytes: usize) -> Option<(Entrant, Figures)> {
    let ways = [Entrant::BulkFloorDirect, Entrant::BulkFloorBuffered];
    let floors =
        ways.into_iter().filter_map(|way| results.median(way, 0, record_bytes).map(|found| (way, found)));
    floors.max_by(|(_, left), (_, right)| left.bytes_per_second.total_cmp(&right.bytes_per_second))
}

fn bulk(results: &Results) -> Vec<Comparison> {
    let Some((floor, limit)) = bulk_floor(results, TARGET_BYTES) else { return Vec::new() };
    let ways = [Entrant::AppendBatch, Entrant::AppendJson];
    let found = ways.into_iter().filter_map(|way| Some((way, of(results, way, 0)?)));
    let compare = |(way, figures): (Entrant, Figures)| Comparison {
        what: format!("bulk, bytes: {} / {}", way.label(), floor.label()),
        ours: figures.bytes_per_second / 1e6,
        theirs: limit.bytes_per_second / 1e6,
        unit: "MB/s",
        bound: Bound::AtLeast(0.8),
    };
    found.map(compare).collect()
}

fn rotation(results: &Results) -> Vec<Comparison> {
    let rotating = of(results, Entrant::AppendSmallSegments, 256);
    let none = of(results, Entrant::AppendOneSegment, 256);
    let (Some(rotating), Some(none)) = (rotating, none) else { return Vec::new() };
    vec![Comparison {
        what: "256 callers, p99.9: 4 MiB segments / one that is never rotated".into(),
        ours: rotating.p999_us,
        theirs: none.p999_us,
        unit: "µs",
        bound: Bound::AtMost(1.5),
    }]
}
