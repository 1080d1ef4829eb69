//! Parses sizes and durations from the command line, and formats figures for people. Pure.

use std::time::Duration;

/// Parses `64MiB`, `64M`, `64MB`, `1000`: `K`, `M`, `G`, `T` alone or with `iB` are binary units, with `B` decimal ones, as
/// in the GNU tools.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "not a size such as 64MiB, 500M or 1000000".to_owned())?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        other => {
            return Err(format!(
                "unknown unit '{other}': use K, M, G, T, KiB, MiB, GiB, TiB, KB, MB, GB or TB"
            ));
        }
    };
    number.checked_mul(factor).ok_or_else(|| "too large".to_owned())
}

/// Parses `500us`, `2ms`, `5s`, `1.5h`, `7d`, `2w`: a number and its unit. Only 0 needs no unit.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    const NANOS_PER_SECOND: f64 = 1e9;
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let not_a_duration = || "not a duration such as 500us, 2ms, 5s, 15m, 36h or 7d".to_owned();
    let nanos: u64 = match unit.trim() {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60 * 1_000_000_000,
        "h" => 3600 * 1_000_000_000,
        "d" => 24 * 3600 * 1_000_000_000,
        "w" => 7 * 24 * 3600 * 1_000_000_000,
        "" if number.parse() == Ok(0.0) => 0,
        "" if !number.is_empty() => return Err(format!("a unit is missing: {number}s, {number}ms, …")),
        _ if number.is_empty() => return Err(not_a_duration()),
        other => return Err(format!("unknown unit '{other}': use ns, us, ms, s, m, h, d or w")),
    };
    if let Ok(whole) = number.parse::<u64>() {
        let total = u128::from(whole) * u128::from(nanos);
        let seconds = u64::try_from(total / 1_000_000_000).map_err(|_| "too large".to_owned())?;
        let rest = u32::try_from(total % 1_000_000_000).unwrap_or(0);
        return Ok(Duration::new(seconds, rest));
    }
    let fraction: f64 = number.parse().map_err(|_| not_a_duration())?;
    let seconds = fraction * (ratio(nanos, NANOS_PER_SECOND));
    Duration::try_from_secs_f64(seconds).map_err(|_| "too large".to_owned())
}

/// Parses a duration other than 0.
pub(crate) fn parse_nonzero_duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("must be more than 0".to_owned()),
        duration => Ok(duration),
    }
}

/// Formats `1234567` as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// Formats a number without its fraction, as [`count`].
pub(crate) fn rounded(number: f64) -> String {
    count(whole(number))
}

/// Formats a number and a noun: `1 record`, `2,000 records`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// Formats bytes in the binary unit with the fewest digits.
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

/// Formats nanoseconds in µs, ms or s.
pub(crate) fn nanos(number: u64) -> String {
    let micros = ratio(number, 1e3);
    match micros {
        ..1e3 => format!("{micros:.1} µs"),
        ..1e6 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

/// Formats microseconds as [`nanos`].
pub(crate) fn micros(number: f64) -> String {
    nanos(whole(number * 1e3))
}

/// Divides a number; returns 0 if the divisor is 0. Exact up to 2^53, far beyond the displayed figures.
#[expect(clippy::cast_precision_loss, reason = "figures for people, shown with a few digits")]
pub(crate) fn ratio(number: u64, by: f64) -> f64 {
    if by > 0.0 { number as f64 / by } else { 0.0 }
}

/// Returns a rate per second as a whole number.
pub(crate) fn rate(number: u64, seconds: f64) -> u64 {
    whole(ratio(number, seconds))
}

/// Rounds to the nearest whole number; returns 0 for a negative one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "displayed figures fit and are not negative"
)]
pub(crate) fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        let sizes = ["1000", "64MiB", "64M", "64MB", "1k", "2GiB", "3 KiB", "1T"].map(parse_size);
        let expected = [1000, 64 << 20, 64 << 20, 64_000_000, 1024, 2 << 30, 3 << 10, 1 << 40];
        assert_eq!(sizes, expected.map(Ok));
    }

    #[test]
    fn invalid_size_is_rejected() {
        for text in ["", "MiB", "-1", "1.5M", "1X", "99999999999G"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_parsed_with_their_unit() {
        let times = ["90s", "15m", "36h", "7d", "2 w", "500us", "2ms", "10ns", "0", "0.5s", "1.5h", "0s"];
        let times = times.map(|text| parse_duration(text).map(|time| time.as_nanos()));
        let seconds = [90, 900, 129_600, 604_800, 1_209_600].map(|seconds| seconds * 1_000_000_000);
        assert_eq!(times[..5], seconds.map(Ok));
        assert_eq!(times[5..], [500_000, 2_000_000, 10, 0, 500_000_000, 5_400_000_000_000, 0].map(Ok));
    }

    #[test]
    fn invalid_duration_is_rejected() {
        for text in [
            "",
            "90",
            "h",
            "-1h",
            "1y",
            ".",
            ".s",
            "1.2.3s",
            "inf",
            "NaNs",
            "99999999999999999999s",
            "9999999999999999999w",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(parse_duration("5").unwrap_err().contains("5s"));
        assert!(parse_nonzero_duration("0ms").is_err() && parse_nonzero_duration("1ns").is_ok());
    }

    #[test]
    fn counts_are_grouped_by_thousands() {
        let shown = [0, 999, 1000, 1_234_567].map(count);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([1, 2000].map(|n| counted(n, "record")), ["1 record", "2,000 records"]);
    }

    #[test]
    fn figures_are_shown_in_suitable_units() {
        assert_eq!([512, 1536, 3 << 20].map(bytes), ["512 B", "1.5 KiB", "3.0 MiB"]);
        assert_eq!([900, 1_500_000, 2_000_000_000].map(nanos), ["0.9 µs", "1.50 ms", "2.00 s"]);
    }
}
