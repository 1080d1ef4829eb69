//! Small logs to be damaged, and what becomes of them afterwards.

use std::{io, path::Path};

use super::{
    judge::{Handed, Judgement, Returned},
    report::kind_of_words,
    served::{Event, Opening, Served},
    wire::{Order, Said, varied_fill_bytes},
};
use crate::contestant::{Kind, Record, Settings};

/// How the process that wrote a log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It closed the log.
    Closed,
    /// It was killed.
    Killed,
}

/// Writes `count` records of appender 0, numbered on from `from`, one after the other; all must be acknowledged.
///
/// # Errors
///
/// The contestant did not acknowledge them all: without a fault, that is the program's failure.
pub fn write(kind: Kind, dir: &Path, settings: Settings, from: u64, count: u64, end: End) -> io::Result<()> {
    let mut served = Served::start(kind, dir, settings)?;
    let opening = served.opened();
    if !matches!(opening, Opening::Open(_)) {
        return Err(io::Error::other(format!(
            "{}: an undamaged log does not open: {opening:?}",
            kind.name()
        )));
    }
    let events = served.carry_out(&Order::Append { appender: 0, from, count, fill_bytes: 0 });
    let acked = events.iter().filter(|event| matches!(event, Event::Said(Said::Acked(..)))).count();
    if acked as u64 != count {
        return Err(io::Error::other(format!(
            "{}: not acknowledged without a fault: {events:?}",
            kind.name()
        )));
    }
    match end {
        End::Closed => drop(served.carry_out(&Order::Close)),
        End::Killed => drop(served.kill()),
    }
    Ok(())
}

/// The records that [`write`] wrote.
#[must_use]
pub fn records(numbers: std::ops::RangeInclusive<u64>) -> Vec<Record> {
    numbers.map(|number| Record::new(0, number, varied_fill_bytes(number))).collect()
}

/// What a damaged log did when it was opened and read.
#[derive(Debug)]
pub enum Fate {
    /// It gave back records, without an error; what opening told, and the difference to what was acknowledged.
    Read(Option<String>, Judgement),
    /// It refused to open, or to give back records: the error.
    Refused(String),
    /// It panicked, crashed or hung: how.
    Broke(String),
}

impl Fate {
    /// In a word, for a tally.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Self::Read(None, _) => "opened".to_string(),
            Self::Read(Some(_), _) => "opened and told".to_string(),
            Self::Refused(_) => "refused".to_string(),
            Self::Broke(how) => format!("broke: {}", kind_of_words(how)),
        }
    }

    /// The difference where it was read, else what happened instead.
    ///
    /// # Errors
    ///
    /// It could not be read: how it refused or broke.
    pub fn judged(self) -> Result<Judgement, String> {
        match self {
            Self::Read(_, judgement) => Ok(judgement),
            Self::Refused(error) => Err(format!("refused: {}", kind_of_words(&error))),
            Self::Broke(how) => Err(format!("broke: {}", kind_of_words(&how))),
        }
    }
}

/// Opens the log in `dir` and reads it; the child goes on to serve it.
///
/// # Errors
///
/// The child cannot be started.
pub fn open_and_read(
    kind: Kind,
    dir: &Path,
    settings: Settings,
    handed: &Handed,
) -> io::Result<(Served, Fate)> {
    let mut served = Served::start(kind, dir, settings)?;
    let told = match served.opened() {
        Opening::Open(told) => told,
        Opening::Refused(error) => return Ok((served, Fate::Refused(format!("opening: {error}")))),
        Opening::Broke(how) => return Ok((served, Fate::Broke(how))),
    };
    let fate = match served.replay() {
        Returned { broke: Some(how), .. } => Fate::Broke(how),
        Returned { error: Some(error), .. } => Fate::Refused(format!("reading: {error}")),
        returned => Fate::Read(told, Judgement::of(handed, &returned)),
    };
    Ok((served, fate))
}
