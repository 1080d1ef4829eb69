//! The plan of a sweep: parses the lists of the command line, and enumerates and orders the points. Pure.

use std::time::Duration;

use ministore_uring::Backend;

use super::report::BenchPoint;
use crate::units;

/// More points would run for days.
const POINTS_MAX: usize = 1_000;

/// More clients are not useful, and each needs memory.
const CLIENTS_MAX: u32 = 1_000_000;

/// One or more numbers of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientCounts(pub(super) Vec<u32>);

/// Parses `16`, `1,4,16` and `1..=1024`, which doubles.
pub(super) fn clients(text: &str) -> Result<ClientCounts, String> {
    let mut all = Vec::new();
    for part in text.split(',') {
        match part.split_once("..=") {
            None => all.push(number(part)?),
            Some((from, to)) => {
                let (from, to) = (number(from)?, number(to)?);
                if from > to {
                    return Err(format!("{part}: the range is empty"));
                }
                let doubling =
                    std::iter::successors(Some(from), |n| n.checked_mul(2)).take_while(|n| *n < to);
                all.extend(doubling.chain([to]));
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    Ok(ClientCounts(all))
}

fn number(text: &str) -> Result<u32, String> {
    match text.trim().parse() {
        Ok(number @ 1..=CLIENTS_MAX) => Ok(number),
        _ => Err(format!(
            "'{text}' is not a number of clients from 1 to {CLIENTS_MAX}, nor a range such as 1..=1024"
        )),
    }
}

/// Longer measurements are mistakes.
const DURATION_MAX: Duration = Duration::from_secs(1_000_000);

/// Parses how long a point is measured.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    units::parse_nonzero_duration(text).and_then(limited)
}

/// Parses a duration that may be 0.
pub(super) fn warm_up(text: &str) -> Result<Duration, String> {
    units::parse_duration(text).and_then(limited)
}

fn limited(duration: Duration) -> Result<Duration, String> {
    if duration <= DURATION_MAX { Ok(duration) } else { Err("too large".to_owned()) }
}

/// Parses the size of a record.
pub(super) fn record_bytes(text: &str) -> Result<u32, String> {
    match u32::try_from(units::parse_size(text)?) {
        Ok(bytes @ 16..=0x100_0000) => Ok(bytes),
        _ => Err("not a size from 16 bytes to 16MiB".to_owned()),
    }
}

/// Parses a number of appends per second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e8).contains(&rate) => Ok(rate),
        _ => Err("not a number of appends per second from 0.001 to 100,000,000".to_owned()),
    }
}

/// Returns every combination of backend, record size, rate and number of clients; points that differ only in clients are
/// adjacent.
pub(super) fn settings(
    clients: &[u32],
    record_bytes: &[u32],
    backends: &[Backend],
    rates: &[f64],
) -> Result<Vec<BenchPoint>, String> {
    let rates: Vec<_> = if rates.is_empty() { vec![None] } else { rates.iter().copied().map(Some).collect() };
    let mut settings: Vec<BenchPoint> = Vec::new();
    for backend in backends.iter().map(ToString::to_string) {
        for &record_bytes in record_bytes {
            for &rate in &rates {
                for &clients in clients {
                    let backend = backend.clone();
                    let setting = BenchPoint { clients, record_bytes, backend, rate };
                    if !settings.contains(&setting) {
                        settings.push(setting);
                    }
                }
            }
        }
    }
    if settings.len() > POINTS_MAX {
        return Err(format!("{} points are too many: at most {POINTS_MAX}", settings.len()));
    }
    Ok(settings)
}

/// The order of the measurements: all points in each round, so that a drift of the machine affects all of them equally.
pub(super) fn order(points: usize, rounds: u32) -> impl Iterator<Item = usize> {
    (0..rounds).flat_map(move |_| 0..points)
}

impl BenchPoint {
    /// Returns a name for files and tags, without spaces: `16x300-auto`, `16x300-auto-1000`.
    pub(super) fn name(&self) -> String {
        let Self { clients, record_bytes, backend, rate } = self;
        let rate = rate.map_or_else(String::new, |rate| format!("-{rate}"));
        format!("{clients}x{record_bytes}-{backend}{rate}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_parsed() {
        let read = |text| clients(text).map(|ClientCounts(all)| all);
        assert_eq!(read("16"), Ok(vec![16]));
        assert_eq!(read("16,1, 4,4"), Ok(vec![1, 4, 16]));
        assert_eq!(read("1..=10,3"), Ok(vec![1, 2, 3, 4, 8, 10]));
        assert_eq!(read("8..=8"), Ok(vec![8]));
        for text in ["", "0", "x", "1,", "4..=1", "1..=", "1000001", "-1", "1..2"] {
            assert!(clients(text).is_err(), "{text}");
        }
    }

    #[test]
    fn out_of_range_values_are_rejected() {
        assert_eq!((duration("0.25s"), warm_up("0")), (Ok(Duration::from_millis(250)), Ok(Duration::ZERO)));
        assert!(["0", "-1s", "x", "5", "1000001s"].iter().all(|text| duration(text).is_err()));
        assert_eq!((record_bytes("4KiB"), record_bytes("16MiB")), (Ok(4096), Ok(1 << 24)));
        assert!(["15", "17MiB", "x"].iter().all(|text| record_bytes(text).is_err()));
        assert_eq!(rate("2.5"), Ok(2.5));
        assert!(["0", "-1", "inf", "NaN", "x"].iter().all(|text| rate(text).is_err()));
    }

    #[test]
    fn sweep_contains_every_combination_once() {
        let backends = [Backend::Auto, Backend::Blocking];
        let all = settings(&[1, 16], &[100, 300, 100], &backends, &[]).unwrap();
        let names: Vec<_> = all.iter().map(BenchPoint::name).collect();
        assert_eq!(names[..3], ["1x100-auto", "16x100-auto", "1x300-auto"]);
        assert_eq!(names.len(), 8);
        let open = settings(&[4], &[300], &backends[..1], &[10.0, 20.5]).unwrap();
        let names: Vec<_> = open.iter().map(BenchPoint::name).collect();
        assert_eq!(names, ["4x300-auto-10", "4x300-auto-20.5"]);
        let many: Vec<_> = (1..=1001).collect();
        assert!(settings(&many, &[300], &backends, &[]).is_err());
    }

    #[test]
    fn points_alternate_within_a_round() {
        assert_eq!(order(3, 2).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
    }
}
