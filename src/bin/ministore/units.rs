//! Owns how sizes, counts and durations are read from the command line and shown to people. Pure.

use std::time::Duration;

/// Reads `64MiB`, `64M`, `64MB`, `1000`: binary units by `K`, `M`, `G` alone or with `iB`, decimal ones with
/// `B`, as the tools of GNU do.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "not a size such as 64MiB, 500M or 1000000".to_owned())?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        other => return Err(format!("unknown unit '{other}': use K, M, G, KiB, MiB, GiB, KB, MB or GB")),
    };
    number.checked_mul(factor).ok_or_else(|| "too large".to_owned())
}

/// Reads `90s`, `15m`, `36h`, `7d`, `2w`: a whole number and its unit.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "not a time such as 90s, 15m, 36h or 7d".to_owned())?;
    let factor = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        "w" => 7 * 24 * 3600,
        other => return Err(format!("unknown unit '{other}': use s, m, h, d or w")),
    };
    number.checked_mul(factor).map(Duration::from_secs).ok_or_else(|| "too large".to_owned())
}

/// `1234567` as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 record`, `2,000 records`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// Bytes in the binary unit that leaves the fewest digits.
pub(crate) fn bytes(number: u64) -> String {
    let mut value = ratio(number, 1.0);
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if unit == "B" { format!("{number} B") } else { format!("{value:.1} {unit}") }
}

/// Nanoseconds in the unit that people compare commits in.
pub(crate) fn nanos(number: u64) -> String {
    let micros = ratio(number, 1e3);
    match micros {
        ..1e3 => format!("{micros:.1} µs"),
        ..1e6 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

/// A number divided, 0 where there is nothing to divide by. Exact up to 2^53, far beyond what is shown.
#[expect(clippy::cast_precision_loss, reason = "figures for people, shown with a few digits")]
pub(crate) fn ratio(number: u64, by: f64) -> f64 {
    if by > 0.0 { number as f64 / by } else { 0.0 }
}

/// A rate as a whole number of things a second.
pub(crate) fn rate(number: u64, seconds: f64) -> u64 {
    whole(ratio(number, seconds))
}

/// The nearest whole number; 0 for a negative one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is shown fits and is not negative"
)]
pub(crate) fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_binary_and_decimal_units() {
        let sizes = ["1000", "64MiB", "64M", "64MB", "1k", "2GiB", "3 KiB"].map(parse_size);
        let expected = [1000, 64 << 20, 64 << 20, 64_000_000, 1024, 2 << 30, 3 << 10];
        assert_eq!(sizes, expected.map(Ok));
    }

    #[test]
    fn what_is_not_a_size_is_refused() {
        for text in ["", "MiB", "-1", "1.5M", "1X", "99999999999G"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_read_with_their_unit() {
        let times =
            ["90s", "15m", "36h", "7d", "2 w"].map(|text| parse_time(text).map(|time| time.as_secs()));
        assert_eq!(times, [90, 900, 129_600, 604_800, 1_209_600].map(Ok));
        for text in ["", "90", "h", "-1h", "1.5h", "1y", "99999999999999999999s", "9999999999999999999w"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_are_grouped_by_thousands() {
        let shown = [0, 999, 1000, 1_234_567].map(count);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([1, 2000].map(|n| counted(n, "record")), ["1 record", "2,000 records"]);
    }

    #[test]
    fn figures_are_shown_in_fitting_units() {
        assert_eq!([512, 1536, 3 << 20].map(bytes), ["512 B", "1.5 KiB", "3.0 MiB"]);
        assert_eq!([900, 1_500_000, 2_000_000_000].map(nanos), ["0.9 µs", "1.50 ms", "2.00 s"]);
    }
}
