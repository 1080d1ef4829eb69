//! Formats the figures of the page. Pure.

use maud::{Markup, html};

use crate::units;

/// A formatted figure with its JSON pointer and exact value.
pub(super) fn figure(pointer: &str, value: f64, text: &str) -> Markup {
    html! { data value=(value) data-json=(pointer) { (text) } }
}

pub(super) fn whole(number: f64) -> String {
    units::count(units::whole(number))
}

/// Formats microseconds with three digits in a suitable unit.
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

    #[test]
    fn figures_have_three_digits_and_ticks_fewer() {
        assert_eq!(
            [0.5, 63.21, 999.0, 1_500.0, 2.5e6].map(micros),
            ["0.50 µs", "63.2 µs", "999 µs", "1.50 ms", "2.50 s"]
        );
        assert_eq!([50.0, 1e3, 2.5e6, 0.1].map(micros_tick), ["50 µs", "1 ms", "2.5 s", "0.1 µs"]);
        assert_eq!([0.0, 500.0, 2e5, 1.5e6].map(count_tick), ["0", "500", "200k", "1.5M"]);
        assert_eq!((seconds_tick(0.6000000001), percent_tick(0.2)), ("0.6 s".to_owned(), "20%".to_owned()));
    }
}
