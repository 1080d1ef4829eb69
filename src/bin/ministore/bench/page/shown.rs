//! Owns how a figure is written on the page. Pure.

use maud::{Markup, html};

use crate::units;

/// A figure of the JSON, shown: its place there (a JSON pointer) and its value go with it.
pub(super) fn figure(pointer: &str, value: f64, text: &str) -> Markup {
    html! { data value=(value) data-json=(pointer) { (text) } }
}

pub(super) fn whole(number: f64) -> String {
    units::count(units::whole(number))
}

/// Microseconds with three digits, in the unit that fits.
pub(super) fn micros(us: f64) -> String {
    match us {
        ..1e3 => format!("{} µs", digits(us)),
        ..1e6 => format!("{} ms", digits(us / 1e3)),
        _ => format!("{} s", digits(us / 1e6)),
    }
}

fn digits(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// For an axis, whose values are round.
pub(super) fn micros_tick(us: f64) -> String {
    match us {
        ..0.9999e3 => format!("{} µs", trimmed(us)),
        ..0.9999e6 => format!("{} ms", trimmed(us / 1e3)),
        _ => format!("{} s", trimmed(us / 1e6)),
    }
}

/// For an axis: `200k`, `1.5M`.
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

/// Without the zeros behind, and without what a binary fraction adds.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_ticks_only_those_they_need() {
        assert_eq!(
            [0.5, 63.21, 999.0, 1_500.0, 2.5e6].map(micros),
            ["0.50 µs", "63.2 µs", "999 µs", "1.50 ms", "2.50 s"]
        );
        assert_eq!([50.0, 1e3, 2.5e6, 0.1].map(micros_tick), ["50 µs", "1 ms", "2.5 s", "0.1 µs"]);
        assert_eq!([0.0, 500.0, 2e5, 1.5e6].map(count_tick), ["0", "500", "200k", "1.5M"]);
        assert_eq!((seconds_tick(0.6000000001), percent_tick(0.2)), ("0.6 s".to_owned(), "20%".to_owned()));
    }
}
