//! Flights as test records: from a file, or generated.

use std::{env, fs, io};

use serde::{Deserialize, Serialize};

/// The number of flights in the data set.
const GENERATED_FLIGHTS: u32 = 336_776;

/// A departure of the data set `nycflights13`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Flight {
    pub(crate) year: u16,
    pub(crate) month: u8,
    pub(crate) day: u8,
    pub(crate) dep_time: Option<u16>,
    pub(crate) sched_dep_time: u16,
    pub(crate) dep_delay: Option<i16>,
    pub(crate) arr_time: Option<u16>,
    pub(crate) sched_arr_time: u16,
    pub(crate) arr_delay: Option<i16>,
    pub(crate) carrier: String,
    pub(crate) flight: u16,
    pub(crate) tailnum: Option<String>,
    pub(crate) origin: String,
    pub(crate) dest: String,
    pub(crate) air_time: Option<u16>,
    pub(crate) distance: u32,
    pub(crate) hour: u8,
    pub(crate) minute: u8,
    pub(crate) time_hour: String,
}

/// A flight whose strings are borrowed from the line.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "the benchmark measures parsing all fields")]
pub(crate) struct FlightRef<'a> {
    pub(crate) year: u16,
    pub(crate) month: u8,
    pub(crate) day: u8,
    pub(crate) dep_time: Option<u16>,
    pub(crate) sched_dep_time: u16,
    pub(crate) dep_delay: Option<i16>,
    pub(crate) arr_time: Option<u16>,
    pub(crate) sched_arr_time: u16,
    pub(crate) arr_delay: Option<i16>,
    pub(crate) carrier: &'a str,
    pub(crate) flight: u16,
    pub(crate) tailnum: Option<&'a str>,
    pub(crate) origin: &'a str,
    pub(crate) dest: &'a str,
    pub(crate) air_time: Option<u16>,
    pub(crate) distance: u32,
    pub(crate) hour: u8,
    pub(crate) minute: u8,
    pub(crate) time_hour: &'a str,
}

/// Returns lines of JSON, each a flight, from the file that `MINISTORE_EVENTS` names, or generated.
pub(crate) fn events() -> io::Result<Vec<String>> {
    match env::var_os("MINISTORE_EVENTS") {
        Some(path) => Ok(fs::read_to_string(path)?.lines().map(str::to_owned).collect()),
        None => (0..GENERATED_FLIGHTS)
            .map(|number| Ok(serde_json::to_string(&generate_flight(number))?))
            .collect(),
    }
}

/// Generates a flight with the length and the mix of numbers, strings and `null`s of a real one.
fn generate_flight(number: u32) -> Flight {
    let pick = |of: u32| number.wrapping_mul(2_654_435_761).rotate_left(number % 31) % of;
    let (hour, minute) = ((5 + pick(18)) as u8, pick(60) as u8);
    let sched_dep_time = u16::from(hour) * 100 + u16::from(minute);
    let flew = pick(40) > 0;
    let delay = flew.then(|| pick(90) as i16 - 15);
    let (month, day) = (1 + (number / 28_065).min(11) as u8, 1 + (number / 1_003 % 28) as u8);
    Flight {
        year: 2013,
        month,
        day,
        dep_time: flew.then_some(sched_dep_time),
        sched_dep_time,
        dep_delay: delay,
        arr_time: flew.then_some((sched_dep_time + 215) % 2400),
        sched_arr_time: (sched_dep_time + 230) % 2400,
        arr_delay: delay,
        carrier: ["UA", "AA", "B6", "DL", "EV"][pick(5) as usize].into(),
        flight: 1 + pick(6_000) as u16,
        tailnum: flew.then(|| format!("N{:05}", 10_000 + pick(89_999))),
        origin: ["EWR", "JFK", "LGA"][pick(3) as usize].into(),
        dest: ["IAH", "MIA", "BQN", "ATL", "ORD"][pick(5) as usize].into(),
        air_time: flew.then(|| 40 + pick(300) as u16),
        distance: 100 + pick(2_500),
        hour,
        minute,
        time_hour: format!("2013-{month:02}-{day:02}T{hour:02}:00:00Z"),
    }
}
