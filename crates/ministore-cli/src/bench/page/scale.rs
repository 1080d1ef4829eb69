//! Axes: the position of a value, and the labelled values. Pure.
//!
//! `benches/peers` compiles this file and `chart.rs` too.

/// The kind of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScaleKind {
    Linear,
    Log,
}

/// The range of values of an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    pub(super) kind: ScaleKind,
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Scale {
    /// From 0 to slightly more than the maximum.
    pub(super) fn linear(values: impl Iterator<Item = f64>) -> Self {
        let top = values.fold(0.0, f64::max);
        let top = if top > 0.0 { top } else { 1.0 };
        let step = step(top);
        Self { kind: ScaleKind::Linear, from: 0.0, to: (top / step).ceil() * step }
    }

    /// From a round value below the minimum to one above the maximum. Only positive values can be shown.
    pub(super) fn log(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for value in values.filter(|value| *value > 0.0) {
            (low, high) = (low.min(value), high.max(value));
        }
        if high <= 0.0 {
            (low, high) = (1.0, 10.0);
        }
        let (from, to) = (round_down(low), round_up(high));
        Self { kind: ScaleKind::Log, from, to: if to > from { to } else { from * 10.0 } }
    }

    /// Returns the position of a value: 0 at the start of the axis, 1 at its end.
    pub(super) fn position(&self, value: f64) -> f64 {
        let Self { kind, from, to } = *self;
        let position = match kind {
            ScaleKind::Linear => (value - from) / (to - from),
            ScaleKind::Log => (value.max(from) / from).ln() / (to / from).ln(),
        };
        position.clamp(0.0, 1.0)
    }

    /// The labelled values: round and not too many.
    pub(super) fn ticks(&self) -> Vec<f64> {
        match self.kind {
            ScaleKind::Linear => {
                let step = step(self.to);
                let steps = (0..=20).map(|n| f64::from(n) * step);
                steps.filter(|tick| (self.from..=self.to * (1.0 + 1e-9)).contains(tick)).collect()
            }
            ScaleKind::Log => {
                let all = |mantissas: &'static [f64]| {
                    let exponents = self.from.log10().floor() as i32..=self.to.log10().ceil() as i32;
                    let ticks = exponents.flat_map(|e| mantissas.iter().map(move |m| m * 10_f64.powi(e)));
                    let within =
                        |tick: &f64| (self.from * (1.0 - 1e-9)..=self.to * (1.0 + 1e-9)).contains(tick);
                    ticks.filter(within).collect::<Vec<_>>()
                };
                let fine = all(&[1.0, 2.0, 5.0]);
                if fine.len() <= 8 { fine } else { all(&[1.0]) }
            }
        }
    }
}

/// Returns the distance between ticks, 1, 2 or 5 times a power of ten: four to eight ticks up to `top`.
fn step(top: f64) -> f64 {
    let rough = top / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|m| m * power);
    steps.into_iter().find(|step| *step >= rough * (1.0 - 1e-9)).unwrap_or(power * 10.0)
}

fn round_down(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let fits = [5.0, 2.0, 1.0].into_iter().find(|m| m * power <= value * (1.0 + 1e-9));
    fits.unwrap_or(1.0) * power
}

fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let fits = [1.0, 2.0, 5.0, 10.0].into_iter().find(|m| m * power >= value * (1.0 - 1e-9));
    fits.unwrap_or(10.0) * power
}

/// Formats a value of an axis.
pub(super) fn micros_tick(us: f64) -> String {
    match us {
        ..0.9999e3 => format!("{} µs", trimmed(us)),
        ..0.9999e6 => format!("{} ms", trimmed(us / 1e3)),
        _ => format!("{} s", trimmed(us / 1e6)),
    }
}

/// Formats a value of an axis: `200k`, `1.5M`.
pub(super) fn count_tick(number: f64) -> String {
    match number {
        ..0.9999e3 => trimmed(number),
        ..0.9999e6 => format!("{}k", trimmed(number / 1e3)),
        _ => format!("{}M", trimmed(number / 1e6)),
    }
}

pub(super) fn seconds_tick(seconds: f64) -> String {
    format!("{} s", trimmed(seconds))
}

pub(super) fn percent_tick(part: f64) -> String {
    format!("{}%", trimmed(part * 100.0))
}

/// Removes trailing zeros and rounding errors.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(all: &[f64], expected: &[f64]) -> bool {
        all.len() == expected.len() && all.iter().zip(expected).all(|(a, b)| (a - b).abs() <= b.abs() * 1e-9)
    }

    #[test]
    fn linear_ticks_are_round_and_cover_maximum() {
        let cases: [(f64, &[f64]); 4] = [
            (487.0, &[0.0, 100.0, 200.0, 300.0, 400.0, 500.0]),
            (3.0, &[0.0, 1.0, 2.0, 3.0]),
            (0.9, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
            (0.0, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ];
        for (top, expected) in cases {
            let ticks = Scale::linear([top].into_iter()).ticks();
            assert!(close(&ticks, expected), "{top}: {ticks:?}");
        }
    }

    #[test]
    fn many_logarithmic_ticks_are_decades() {
        let scale = Scale::log([63.0, 0.0, 900.0].into_iter());
        assert!(close(&scale.ticks(), &[50.0, 100.0, 200.0, 500.0, 1000.0]), "{:?}", scale.ticks());
        let scale = Scale::log([1.0, 1e6].into_iter());
        assert!(close(&scale.ticks(), &[1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6]), "{:?}", scale.ticks());
        let one = Scale::log([1.0].into_iter());
        assert!(one.to > one.from && one.ticks().len() >= 2);
        assert!(Scale::log(std::iter::empty()).ticks().len() >= 2);
    }

    #[test]
    fn ticks_are_formatted_in_short() {
        assert_eq!([50.0, 1e3, 2.5e6, 0.1].map(micros_tick), ["50 µs", "1 ms", "2.5 s", "0.1 µs"]);
        assert_eq!([0.0, 500.0, 2e5, 1.5e6].map(count_tick), ["0", "500", "200k", "1.5M"]);
        assert_eq!((seconds_tick(0.6000000001), percent_tick(0.2)), ("0.6 s".to_owned(), "20%".to_owned()));
    }

    #[test]
    fn value_lies_within_the_range() {
        let log = Scale { kind: ScaleKind::Log, from: 1.0, to: 100.0 };
        let positions = [0.0, 1.0, 10.0, 100.0, 1e9].map(|value| log.position(value));
        assert!(close(&positions, &[0.0, 0.0, 0.5, 1.0, 1.0]), "{positions:?}");
        let linear = Scale { kind: ScaleKind::Linear, from: 0.0, to: 4.0 };
        assert!(close(&[linear.position(1.0)], &[0.25]));
    }
}
