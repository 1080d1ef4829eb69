//! A model of what the journal must contain, as far as any caller knows: the records that were found after the last recovery,
//! and the appends issued since, in the order in which they were issued. Knows nothing of files.

use std::fmt;

use crate::retention::Retention;

/// A record: an id that no other record has, and some text.
pub type Record = (u64, String);

/// The description of a broken guarantee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub type Checked<T = ()> = Result<T, Violation>;

/// Returns a violation with this text, for `?`.
pub fn violated<T>(text: impl Into<String>) -> Checked<T> {
    Err(Violation(text.into()))
}

/// What the caller of an append knows of its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    Pending,
    /// It is durable; with the sequence number of its first record.
    Durable(u64),
    /// It was not written.
    Rejected,
    /// It may have been written.
    Unknown,
    /// It was accepted, and the caller dropped the future.
    Dropped,
    /// The caller dropped the future while the append may have waited for capacity: it may be written or not.
    DroppedWaiting,
}

/// Records of one append.
#[derive(Debug, Clone)]
struct IssuedAppend {
    ids: Vec<u64>,
    ack: Ack,
    /// It expected a certain sequence number, and may have been rejected because it did not get it.
    expects_seq: bool,
    /// Its caller does not poll the future, and may not know the outcome.
    is_parked: bool,
}

/// What the options of the journal guarantee.
#[derive(Debug, Clone, Copy)]
pub struct Guarantees {
    /// A batch is found whole or not at all.
    pub atomic_batches: bool,
}

#[derive(Debug)]
pub struct Model {
    /// The ids of the records that were found after the last recovery, by sequence number, from 1. `None` if retention
    /// deleted the record before any reader saw it.
    known: Vec<Option<u64>>,
    /// The appends since then, in the order of issue.
    appends: Vec<IssuedAppend>,
    next_id: u64,
    /// Whether an append may have been rejected without its caller's knowledge, for lack of space or another resource.
    pub may_reject: bool,
    /// Whether the writer may have sent acknowledgements that the callers have not polled yet.
    pub has_unread_acks: bool,
    /// Whether retention deletes segments, perhaps while a reader needs them.
    pub deletes: bool,
    /// Whether retention may have left a single segment without records.
    pub may_delete_all: bool,
    guarantees: Guarantees,
    pub retention: Retention,
}

impl Model {
    pub fn new(guarantees: Guarantees) -> Self {
        Self {
            known: Vec::new(),
            appends: Vec::new(),
            next_id: 1,
            may_reject: false,
            has_unread_acks: false,
            deletes: false,
            may_delete_all: false,
            guarantees,
            retention: Retention::default(),
        }
    }

    /// Returns an id for a new record.
    pub fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Records that an append was issued; returns its index, for [`Self::set_ack`].
    pub fn issue(&mut self, ids: Vec<u64>, expects_seq: bool) -> usize {
        self.appends.push(IssuedAppend { ids, ack: Ack::Pending, expects_seq, is_parked: false });
        self.appends.len() - 1
    }

    pub fn park(&mut self, append: usize) {
        self.appends[append].is_parked = true;
    }

    pub fn set_ack(&mut self, append: usize, ack: Ack) -> Checked {
        let before = &self.appends[..append];
        if let Ack::Durable(first) = ack {
            let newest = before.iter().rev().find_map(|append| match append.ack {
                Ack::Durable(first) => Some(first + append.ids.len() as u64),
                _ => None,
            });
            let least = newest.unwrap_or(self.known.len() as u64 + 1);
            if first < least {
                return violated(format!("acknowledged as record {first}, expected {least} or more"));
            }
            if before.iter().any(|append| append.ack == Ack::Unknown) {
                return violated(format!("record {first} was acknowledged after the store was poisoned"));
            }
        }
        self.appends[append].ack = ack;
        Ok(())
    }

    /// Records that the process ended: no caller gets another acknowledgement.
    pub fn end_incarnation(&mut self) {
        for append in &mut self.appends {
            if append.ack == Ack::Pending {
                append.ack = Ack::Unknown;
            }
        }
    }

    /// Returns the highest sequence number that was acknowledged.
    pub fn acknowledged(&self) -> u64 {
        let newest = self.appends.iter().rev().find_map(|append| match append.ack {
            Ack::Durable(first) => Some(first + append.ids.len() as u64 - 1),
            _ => None,
        });
        newest.unwrap_or(self.known.len() as u64)
    }

    /// Checks the records that a reader found. `durable` is the highest sequence number that was published before it read.
    pub fn check(&self, found: &[(u64, u64)], durable: u64) -> Checked {
        for pair in found.windows(2) {
            if pair[0].0 + 1 != pair[1].0 {
                return violated(format!("record {} follows record {}", pair[1].0, pair[0].0));
            }
        }
        let least = durable.max(self.acknowledged());
        let Some(&(first_seq, first_id)) = found.first() else {
            self.retention.check(least + 1, false)?;
            return if least > 0 && !self.may_delete_all {
                violated(format!("there is no record, and {least} were acknowledged"))
            } else {
                Ok(())
            };
        };
        self.retention.check(first_seq, true)?;
        let last_seq = first_seq + found.len() as u64 - 1;
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
        self.check_appends(&new, start)
    }

    /// Returns the append of the first record found and the record's index in it, where retention deleted everything that
    /// was known before.
    fn find(&self, id: u64, seq: u64) -> Checked<(usize, usize)> {
        for (index, append) in self.appends.iter().enumerate() {
            if let Some(offset) = append.ids.iter().position(|known| *known == id) {
                append.check_seq(id, seq, offset)?;
                return Ok((index, offset));
            }
        }
        violated(format!("the first record, number {seq}, is {id}: no caller appended it"))
    }

    /// Checks that the records since the last recovery are the appends in their order, from `start` on.
    fn check_appends(&self, found: &[(u64, u64)], (mut at, mut offset): (usize, usize)) -> Checked {
        for &(seq, id) in found {
            if offset == 0 {
                at = self.skip_unwritten(at, seq, id)?;
            }
            let append = &self.appends[at];
            if append.ids[offset] != id {
                return violated(format!("record {seq} is {id}, expected {}", append.ids[offset]));
            }
            append.check_seq(id, seq, offset)?;
            if append.ack == Ack::Rejected {
                return violated(format!("record {seq} is {id}, and its append was rejected"));
            }
            offset += 1;
            if offset == append.ids.len() {
                (at, offset) = (at + 1, 0);
            }
        }
        if offset > 0 && self.guarantees.atomic_batches {
            let append = &self.appends[at];
            return violated(format!(
                "of a batch of {} records, starting with {}, only {offset} were found",
                append.ids.len(),
                append.ids[0]
            ));
        }
        let rest = &self.appends[at + usize::from(offset > 0)..];
        match rest.iter().find(|append| matches!(append.ack, Ack::Durable(_))) {
            Some(lost) => violated(format!("acknowledged and not found: {lost:?}")),
            None => Ok(()),
        }
    }

    /// Returns the append that starts with `id`. Every append between `at` and it must be one that may be unwritten.
    fn skip_unwritten(&self, mut at: usize, seq: u64, id: u64) -> Checked<usize> {
        loop {
            let Some(append) = self.appends.get(at) else {
                return violated(format!(
                    "record {seq} is {id}: no caller appended it, or not in this order"
                ));
            };
            if append.ids[0] == id {
                return Ok(at);
            }
            let may_be_rejected = self.may_reject || append.expects_seq;
            match append.ack {
                Ack::Rejected | Ack::DroppedWaiting => at += 1,
                Ack::Dropped if may_be_rejected => at += 1,
                Ack::Pending if may_be_rejected && self.has_unread_acks => at += 1,
                Ack::Pending | Ack::Unknown if may_be_rejected && append.is_parked => at += 1,
                _ => return violated(format!("record {seq} is {id}, expected {append:?} before it")),
            }
        }
    }

    /// Checks what a recovery found, and adopts it as known.
    pub fn recovered(&mut self, found: &[(u64, u64)], next_seq: u64) -> Checked {
        if let Some(&(last, _)) = found.last()
            && next_seq != last + 1
        {
            return violated(format!("the next record will be {next_seq}, and the last is {last}"));
        }
        if next_seq <= self.acknowledged() {
            let newest = self.acknowledged();
            return violated(format!("the next record will be {next_seq}, and {newest} was acknowledged"));
        }
        self.known.resize(next_seq as usize - 1, None);
        for &(seq, id) in found {
            self.known[seq as usize - 1] = Some(id);
        }
        self.appends.clear();
        self.may_reject = false;
        Ok(())
    }
}

impl IssuedAppend {
    /// Checks that the record at `offset` of this append was found under the acknowledged sequence number.
    fn check_seq(&self, id: u64, seq: u64, offset: usize) -> Checked {
        match self.ack {
            Ack::Durable(first) if first + offset as u64 != seq => {
                let acknowledged = first + offset as u64;
                violated(format!("record {id} has number {seq}, and {acknowledged} was acknowledged"))
            }
            _ => Ok(()),
        }
    }
}
