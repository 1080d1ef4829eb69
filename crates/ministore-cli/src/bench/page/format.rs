//! Formats the figures of the page. Pure.

use maud::{Markup, html};

use crate::bench::report::Summary;

/// A formatted figure with its JSON pointer and exact value.
pub(super) fn figure(pointer: &str, value: f64, text: &str) -> Markup {
    html! { data value=(value) data-json=(pointer) { (text) } }
}

/// The median of a figure at this JSON pointer.
pub(super) fn median(pointer: &str, summary: Summary, show: fn(f64) -> String) -> Markup {
    figure(&format!("{pointer}/median"), summary.median, &show(summary.median))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(
            [0.5, 63.21, 999.0, 1_500.0, 2.5e6].map(micros),
            ["0.50 µs", "63.2 µs", "999 µs", "1.50 ms", "2.50 s"]
        );
    }
}
