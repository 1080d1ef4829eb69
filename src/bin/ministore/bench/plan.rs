//! Owns what is measured: the lists of the command line, the points of the sweep they make, and their order. Pure.

use std::time::Duration;

use super::outcome::Setting;
use crate::store::BackendName;

/// More would run for days.
const POINTS_MAX: usize = 1_000;

/// More callers have no use: each takes memory.
const CALLERS_MAX: u32 = 1_000_000;

/// One number of callers or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Callers(pub(super) Vec<u32>);

/// Reads `16`, `1,4,16` and `1..=1024`, which doubles.
pub(super) fn callers(text: &str) -> Result<Callers, String> {
    let mut all = Vec::new();
    for part in text.split(',') {
        match part.split_once("..=") {
            None => all.push(number(part)?),
            Some((from, to)) => {
                let (from, to) = (number(from)?, number(to)?);
                if from > to {
                    return Err(format!("{part}: goes down"));
                }
                let doubling =
                    std::iter::successors(Some(from), |n| n.checked_mul(2)).take_while(|n| *n < to);
                all.extend(doubling.chain([to]));
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    Ok(Callers(all))
}

fn number(text: &str) -> Result<u32, String> {
    match text.trim().parse() {
        Ok(number @ 1..=CALLERS_MAX) => Ok(number),
        _ => Err(format!(
            "'{text}' is not a number of callers from 1 to {CALLERS_MAX}, nor a range such as 1..=1024"
        )),
    }
}

/// Reads `500us`, `2ms`, `1s`.
pub(super) fn delay(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "not a time such as 500us, 2ms or 1s".to_owned())?;
    match unit.trim() {
        _ if number == 0 => Ok(Duration::ZERO),
        "us" | "µs" => Ok(Duration::from_micros(number)),
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        other => Err(format!("unknown unit '{other}': use us, ms or s")),
    }
}

/// Reads a number of appends a second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e8).contains(&rate) => Ok(rate),
        _ => Err("not a number of appends a second, from 0.001 to 100,000,000".to_owned()),
    }
}

/// Every backend with every record size, rate and number of callers, those nearest to each other that differ in the
/// callers alone.
pub(super) fn settings(
    callers: &[u32],
    record_bytes: &[u32],
    backends: &[BackendName],
    rates: &[f64],
) -> Result<Vec<Setting>, String> {
    let rates: Vec<_> = if rates.is_empty() { vec![None] } else { rates.iter().copied().map(Some).collect() };
    let mut settings: Vec<Setting> = Vec::new();
    for backend in backends.iter().map(|backend| backend.name()) {
        for &record_bytes in record_bytes {
            for &rate in &rates {
                for &callers in callers {
                    let backend = backend.clone();
                    let setting = Setting { callers, record_bytes, backend, rate };
                    if !settings.contains(&setting) {
                        settings.push(setting);
                    }
                }
            }
        }
    }
    if settings.len() > POINTS_MAX {
        return Err(format!("{} points: at most {POINTS_MAX} can be measured at once", settings.len()));
    }
    Ok(settings)
}

/// The places of the points in the order in which they are measured: all of them in each round, so that a drift of the
/// machine meets all alike.
pub(super) fn order(points: usize, rounds: u32) -> impl Iterator<Item = usize> {
    (0..rounds).flat_map(move |_| 0..points)
}

impl Setting {
    /// A name for files and tags, without spaces: `16x300-auto`, `16x300-auto-1000`.
    pub(super) fn name(&self) -> String {
        let Self { callers, record_bytes, backend, rate } = self;
        let rate = rate.map_or_else(String::new, |rate| format!("-{rate}"));
        format!("{callers}x{record_bytes}-{backend}{rate}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_a_number_a_list_or_a_range_that_doubles() {
        let read = |text| callers(text).map(|Callers(all)| all);
        assert_eq!(read("16"), Ok(vec![16]));
        assert_eq!(read("16,1, 4,4"), Ok(vec![1, 4, 16]));
        assert_eq!(read("1..=10,3"), Ok(vec![1, 2, 3, 4, 8, 10]));
        assert_eq!(read("8..=8"), Ok(vec![8]));
        for text in ["", "0", "x", "1,", "4..=1", "1..=", "1000001", "-1", "1..2"] {
            assert!(callers(text).is_err(), "{text}");
        }
    }

    #[test]
    fn delays_and_rates_are_read() {
        let micros = ["0", "500us", "2ms", "1s"].map(|text| delay(text).map(|delay| delay.as_micros()));
        assert_eq!(micros, [0, 500, 2_000, 1_000_000].map(Ok));
        assert!(["", "5", "1h", "-1ms"].iter().all(|text| delay(text).is_err()));
        assert_eq!(rate("2.5"), Ok(2.5));
        assert!(["0", "-1", "inf", "NaN", "x"].iter().all(|text| rate(text).is_err()));
    }

    #[test]
    fn a_sweep_is_every_combination_once() {
        let backends = [BackendName::Auto, BackendName::Blocking];
        let all = settings(&[1, 16], &[100, 300, 100], &backends, &[]).unwrap();
        let names: Vec<_> = all.iter().map(Setting::name).collect();
        assert_eq!(names[..3], ["1x100-auto", "16x100-auto", "1x300-auto"]);
        assert_eq!(names.len(), 8);
        let open = settings(&[4], &[300], &backends[..1], &[10.0, 20.5]).unwrap();
        let names: Vec<_> = open.iter().map(Setting::name).collect();
        assert_eq!(names, ["4x300-auto-10", "4x300-auto-20.5"]);
        let many: Vec<_> = (1..=1001).collect();
        assert!(settings(&many, &[300], &backends, &[]).is_err());
    }

    #[test]
    fn the_points_alternate_within_a_round() {
        assert_eq!(order(3, 2).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
    }
}
