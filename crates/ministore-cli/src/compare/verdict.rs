//! Judges differences: significant if they exceed the spread of the rounds. Pure.

use serde::Serialize;

use crate::bench::report::Summary;

/// With fewer rounds a difference is not significant: two of two differ by chance one time in three.
pub(super) const ROUNDS_MIN: usize = 3;

/// The verdict about a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Every round of B is better than every round of A.
    Better,
    /// Every round of B is worse than every round of A.
    Worse,
    /// The rounds overlap, or the difference is tolerated.
    Same,
    TooFewRounds,
    /// The percentile depends on few appends; the maximum always does.
    TooFewAppends,
}

/// The number of appends of every round that must be beyond a percentile to judge it.
const BEYOND_MIN: f64 = 10.0;

/// Whether a quantile can be judged with this many appends. 1 - 0.99 is slightly less than 0.01.
pub(super) fn enough(appends: f64, quantile: f64) -> bool {
    appends * (1.0 - quantile) >= BEYOND_MIN * (1.0 - 1e-9)
}

/// The direction in which a figure improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Higher,
    Lower,
}

/// Judges B against A; `tolerated` is a fraction of the median of A (0.05: five percent).
pub(super) fn judge(a: &[f64], b: &[f64], direction: Direction, tolerated: f64) -> Verdict {
    if a.len() < ROUNDS_MIN || b.len() < ROUNDS_MIN {
        return Verdict::TooFewRounds;
    }
    let (a, b) = (Summary::of(a.iter().copied()), Summary::of(b.iter().copied()));
    let enough = (b.median - a.median).abs() > tolerated * a.median.abs();
    let (higher, lower) = (b.min > a.max, b.max < a.min);
    match direction {
        _ if !enough => Verdict::Same,
        Direction::Higher if higher => Verdict::Better,
        Direction::Higher if lower => Verdict::Worse,
        Direction::Lower if lower => Verdict::Better,
        Direction::Lower if higher => Verdict::Worse,
        _ => Verdict::Same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_rounds_are_the_same() {
        let a = [100.0, 110.0, 105.0];
        let cases = [
            (&[111.0, 120.0, 130.0][..], Verdict::Better),
            (&[99.0, 90.0, 98.0], Verdict::Worse),
            (&[110.0, 120.0, 130.0], Verdict::Same),
            (&[100.0, 1.0, 1.0], Verdict::Same),
            (&[1.0, 1.0], Verdict::TooFewRounds),
            (&[], Verdict::TooFewRounds),
        ];
        for (b, verdict) in cases {
            assert_eq!(judge(&a, b, Direction::Higher, 0.0), verdict, "{b:?}");
        }
        assert_eq!(judge(&[1.0; 2], &[9.0; 9], Direction::Higher, 0.0), Verdict::TooFewRounds);
    }

    #[test]
    fn lower_latency_is_better() {
        assert_eq!(judge(&[2.0; 3], &[1.0; 3], Direction::Lower, 0.0), Verdict::Better);
        assert_eq!(judge(&[2.0; 3], &[3.0; 3], Direction::Lower, 0.0), Verdict::Worse);
    }

    #[test]
    fn percentile_needs_ten_appends_beyond_it() {
        assert!(enough(1_000.0, 0.99) && !enough(999.0, 0.99));
        assert!(enough(20.0, 0.5) && !enough(1e12, 1.0));
    }

    #[test]
    fn tolerated_difference_is_the_same() {
        assert_eq!(judge(&[100.0; 3], &[95.0; 3], Direction::Higher, 0.05), Verdict::Same);
        assert_eq!(judge(&[100.0; 3], &[94.0; 3], Direction::Higher, 0.05), Verdict::Worse);
    }
}
