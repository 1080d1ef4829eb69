//! What must be in the journal, as far as anybody was told: the records that were found after the last recovery, and the
//! appends issued since, in the order in which they were issued. Knows nothing of files.

use std::fmt;

use crate::retention::Retention;

/// A record: worth a number that no other record has, and some text.
pub type Record = (u64, String);

/// What a check found that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub type Checked<T = ()> = Result<T, Violation>;

/// For `?`: a violation with this text.
pub fn violated<T>(text: impl Into<String>) -> Checked<T> {
    Err(Violation(text.into()))
}

/// What the caller of an append was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Nothing yet.
    Nothing,
    /// It is durable; the number of its first record.
    Durable(u64),
    /// It was not written.
    Refused,
    /// Whether it was written is not known.
    Unknown,
    /// The caller is gone.
    Gone,
    /// The caller dropped its future while it may have waited for capacity: it may be written or not.
    Dropped,
}

/// Records that were handed over as one.
#[derive(Debug, Clone)]
pub struct Append {
    pub ids: Vec<u64>,
    pub told: Told,
    /// It was meant for a certain number, and may have been refused for not getting it.
    pub meant: bool,
    /// Its caller does not poll it, and may not know the outcome.
    pub is_parked: bool,
}

/// How much the journal promises.
#[derive(Debug, Clone, Copy)]
pub struct Promise {
    /// A batch is found whole or not at all.
    pub batches_whole: bool,
}

#[derive(Debug)]
pub struct Model {
    /// By sequence number, from 1: the records that were there after the last recovery. `None` where retention took them
    /// before anybody looked.
    known: Vec<Option<u64>>,
    /// Since then, in the order of issue.
    appends: Vec<Append>,
    next_id: u64,
    /// Whether an append may have been refused without anybody being told.
    pub room_was_limited: bool,
    /// Whether the writer may have answered somebody who has not heard yet.
    pub answers_are_on_their_way: bool,
    /// Whether retention deletes segments, perhaps while somebody reads them.
    pub deletes: bool,
    /// Whether retention may have left one segment, with nothing in it.
    pub may_delete_all: bool,
    promise: Promise,
    pub retention: Retention,
}

impl Model {
    pub fn new(promise: Promise) -> Self {
        Self {
            known: Vec::new(),
            appends: Vec::new(),
            next_id: 1,
            room_was_limited: false,
            answers_are_on_their_way: false,
            deletes: false,
            may_delete_all: false,
            promise,
            retention: Retention::default(),
        }
    }

    /// A number for a new record.
    pub fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Records were handed over; says where their fate is to be noted.
    pub fn issue(&mut self, ids: Vec<u64>, meant: bool) -> usize {
        self.appends.push(Append { ids, told: Told::Nothing, meant, is_parked: false });
        self.appends.len() - 1
    }

    pub fn park(&mut self, append: usize) {
        self.appends[append].is_parked = true;
    }

    pub fn tell(&mut self, append: usize, told: Told) -> Checked {
        let before = &self.appends[..append];
        if let Told::Durable(first) = told {
            let newest = before.iter().rev().find_map(|append| match append.told {
                Told::Durable(first) => Some(first + append.ids.len() as u64),
                _ => None,
            });
            let least = newest.unwrap_or(self.known.len() as u64 + 1);
            if first < least {
                return violated(format!("acknowledged as record {first}, and {least} was to come at least"));
            }
            if before.iter().any(|append| append.told == Told::Unknown) {
                return violated(format!("record {first} was acknowledged after an append failed for good"));
            }
        }
        self.appends[append].told = told;
        Ok(())
    }

    /// Nobody is left who could be told anything.
    pub fn end_of_life(&mut self) {
        for append in &mut self.appends {
            if append.told == Told::Nothing {
                append.told = Told::Unknown;
            }
        }
    }

    /// The highest number that anybody was told.
    pub fn acknowledged(&self) -> u64 {
        let told = self.appends.iter().rev().find_map(|append| match append.told {
            Told::Durable(first) => Some(first + append.ids.len() as u64 - 1),
            _ => None,
        });
        told.unwrap_or(self.known.len() as u64)
    }

    /// Holds what was read against what must be there: `durable` is the highest number published before.
    pub fn check(&self, found: &[(u64, u64)], durable: u64) -> Checked {
        for pair in found.windows(2) {
            if pair[0].0 + 1 != pair[1].0 {
                return violated(format!("record {} follows record {}", pair[1].0, pair[0].0));
            }
        }
        let Some(&(first_seq, first_id)) = found.first() else {
            let least = durable.max(self.acknowledged());
            self.retention.check(least + 1, false)?;
            return if least > 0 && !self.may_delete_all {
                violated(format!("no record is there, and {least} were acknowledged"))
            } else {
                Ok(())
            };
        };
        self.retention.check(first_seq, true)?;
        let last_seq = first_seq + found.len() as u64 - 1;
        let least = durable.max(self.acknowledged());
        if last_seq < least {
            return violated(format!("the last record found is {last_seq}, and {least} was acknowledged"));
        }
        let known = self.known.len() as u64;
        for &(seq, id) in found.iter().take_while(|(seq, _)| *seq <= known) {
            let expected = self.known[seq as usize - 1];
            if expected.is_some_and(|expected| expected != id) {
                return violated(format!("record {seq} was {expected:?} and is {id} now"));
            }
        }
        let new: Vec<_> = found.iter().copied().filter(|(seq, _)| *seq > known).collect();
        let start = if first_seq > known + 1 { self.find(first_id, first_seq)? } else { (0, 0) };
        self.follow(&new, start)
    }

    /// Where retention has taken all that was known before: the append that the first record belongs to.
    fn find(&self, id: u64, seq: u64) -> Checked<(usize, usize)> {
        for (index, append) in self.appends.iter().enumerate() {
            if let Some(offset) = append.ids.iter().position(|known| *known == id) {
                return match append.told {
                    Told::Durable(first) if first + offset as u64 != seq => violated(format!(
                        "record {id} has number {seq}, and {} was acknowledged",
                        first + offset as u64
                    )),
                    _ => Ok((index, offset)),
                };
            }
        }
        violated(format!("the first record, number {seq}, is {id}: nobody appended that"))
    }

    /// The records since the last recovery, from the `start` that was found on, must be the appends in their order.
    fn follow(&self, found: &[(u64, u64)], (mut at, mut offset): (usize, usize)) -> Checked {
        for &(seq, id) in found {
            if offset == 0 {
                at = self.skip(at, seq, id)?;
            }
            let append = &self.appends[at];
            if append.ids[offset] != id {
                return violated(format!("record {seq} is {id}, and {} was to come", append.ids[offset]));
            }
            match append.told {
                Told::Durable(first) if first + offset as u64 != seq => {
                    return violated(format!(
                        "record {id} has number {seq}, and {} was acknowledged",
                        first + offset as u64
                    ));
                }
                Told::Refused => {
                    return violated(format!("record {seq} is {id}, and its append was refused"));
                }
                _ => {}
            }
            offset += 1;
            if offset == append.ids.len() {
                (at, offset) = (at + 1, 0);
            }
        }
        if offset > 0 && self.promise.batches_whole {
            let append = &self.appends[at];
            return violated(format!(
                "of a batch of {} records, from {} on, only {offset} are there",
                append.ids.len(),
                append.ids[0]
            ));
        }
        let rest = &self.appends[at + usize::from(offset > 0)..];
        match rest.iter().find(|append| matches!(append.told, Told::Durable(_))) {
            Some(lost) => violated(format!("acknowledged and not there: {lost:?}")),
            None => Ok(()),
        }
    }

    /// The append that begins with `id`, from `at` on.
    fn skip(&self, mut at: usize, seq: u64, id: u64) -> Checked<usize> {
        loop {
            let Some(append) = self.appends.get(at) else {
                return violated(format!("record {seq} is {id}: nobody appended that, or not there"));
            };
            if append.ids[0] == id {
                return Ok(at);
            }
            let may_be_refused = self.room_was_limited || append.meant;
            match append.told {
                Told::Refused | Told::Dropped => at += 1,
                Told::Gone if may_be_refused => at += 1,
                Told::Nothing if may_be_refused && self.answers_are_on_their_way => at += 1,
                Told::Nothing | Told::Unknown if may_be_refused && append.is_parked => at += 1,
                _ => {
                    return violated(format!("record {seq} is {id}, and {append:?} was to come before it"));
                }
            }
        }
    }

    /// What was found after a recovery is known from now on.
    pub fn recovered(&mut self, found: &[(u64, u64)], next_seq: u64) -> Checked {
        if let Some(&(last, _)) = found.last()
            && next_seq != last + 1
        {
            return violated(format!("the next record is to be {next_seq}, and the last is {last}"));
        }
        if next_seq <= self.acknowledged() {
            let newest = self.acknowledged();
            return violated(format!("the next record is to be {next_seq}, and {newest} was acknowledged"));
        }
        self.known.resize(next_seq as usize - 1, None);
        for &(seq, id) in found {
            self.known[seq as usize - 1] = Some(id);
        }
        self.appends.clear();
        self.room_was_limited = false;
        Ok(())
    }
}
