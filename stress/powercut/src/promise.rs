//! What must be found after a power cut, by what was said before it; and whether what is found keeps it. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::{line::Line, mark::Mark, recording::Event, workload};

/// One caller of one life of the machine.
type Caller = (u64, u64);

/// What was promised of one journal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Promise {
    pub(crate) journal: u64,
    /// It was opened: its files are there.
    opened: bool,
    /// Every record below was durable when the journal was last opened.
    next_seq: u64,
    issued: BTreeMap<Caller, u64>,
    /// By sequence number.
    acknowledged: BTreeMap<u64, (Caller, u64)>,
    /// Acknowledged without a number, by caller: the last.
    acknowledged_early: BTreeMap<Caller, u64>,
    /// Two records were given one number.
    contradiction: Option<String>,
}

/// What was found of one journal.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) records: &'a [(u64, Line)],
    /// Files: archived segments and the active one.
    pub(crate) segments: usize,
}

/// What is promised at each moment of a recording, fast where the moments ascend.
#[derive(Debug)]
pub(crate) struct Promises<'a> {
    marks: &'a [(usize, Mark)],
    /// So many of the marks are in `journals`.
    applied: usize,
    journals: Vec<Promise>,
}

/// The marks among `events`, with their places.
pub(crate) fn marks(events: &[Event]) -> Result<Vec<(usize, Mark)>, String> {
    let marks = events.iter().enumerate().filter_map(|(place, event)| Some((place, Mark::of(event)?)));
    marks.map(|(place, mark)| Ok((place, mark?))).collect()
}

impl<'a> Promises<'a> {
    pub(crate) fn new(marks: &'a [(usize, Mark)]) -> Self {
        let journal = |journal| Promise { journal, next_seq: 1, ..Promise::default() };
        Self { marks, applied: 0, journals: (0..workload::JOURNALS).map(journal).collect() }
    }

    /// What was promised of each journal by the first `at` events.
    pub(crate) fn at(&mut self, at: usize) -> &[Promise] {
        let count = self.marks.partition_point(|(place, _)| *place < at);
        if count < self.applied {
            *self = Self::new(self.marks);
        }
        for (_, mark) in &self.marks[self.applied..count] {
            for promise in &mut self.journals {
                if mark.journal() == Some(promise.journal) {
                    promise.add(mark);
                }
            }
        }
        self.applied = count;
        &self.journals
    }
}

impl Promise {
    pub(crate) fn was_opened(&self) -> bool {
        self.opened
    }

    fn add(&mut self, mark: &Mark) {
        match *mark {
            Mark::Opened { next_seq, .. } => (self.opened, self.next_seq) = (true, next_seq),
            Mark::Issued { generation, caller, upto, .. } => {
                self.issued.insert((generation, caller), upto);
            }
            Mark::Acknowledged { generation, caller, number, count, seq: Some(seq), .. } => {
                for i in 0..count {
                    let before = self.acknowledged.insert(seq + i, ((generation, caller), number + i));
                    if before.is_some() {
                        self.contradiction = Some(format!("sequence number {} was given out twice", seq + i));
                    }
                }
            }
            Mark::Acknowledged { generation, caller, number, count, seq: None, .. } => {
                self.acknowledged_early.insert((generation, caller), number + count - 1);
            }
            Mark::Done => {}
        }
    }

    /// The first thing that does not hold.
    pub(crate) fn check(&self, found: &Found<'_>) -> Result<(), String> {
        self.contradiction.clone().map_or(Ok(()), Err)?;
        self.check_numbers(found)?;
        self.check_acknowledged(found)?;
        self.check_callers(found.records)?;
        check_batches(found.records)
    }

    /// In order and without a gap; at the front only what retention may delete is missing.
    pub(crate) fn check_numbers(&self, found: &Found<'_>) -> Result<(), String> {
        let records = found.records;
        let first = records.first().map_or(1, |(seq, _)| *seq);
        for (expected, (seq, _)) in (first..).zip(records) {
            if *seq != expected {
                return Err(format!("record {expected} was to come, {seq} came"));
            }
        }
        let segments_max = workload::segments_max(self.journal);
        if first > 1 && segments_max.is_none_or(|most| found.segments < most) {
            return Err(format!("records before {first} are gone, with {} segments left", found.segments));
        }
        let next = first + records.len() as u64;
        if next < self.next_seq {
            return Err(format!("records {next} to {} are gone that an open had found", self.next_seq - 1));
        }
        Ok(())
    }

    fn check_acknowledged(&self, found: &Found<'_>) -> Result<(), String> {
        let records = found.records;
        let first = records.first().map_or(1, |(seq, _)| *seq);
        for (seq, ((generation, caller), number)) in self.acknowledged.range(first..) {
            let index = usize::try_from(seq - first).unwrap_or(usize::MAX);
            let who = format!("record {seq} (number {number} of caller {caller}, generation {generation})");
            let Some((_, line)) = records.get(index) else {
                return Err(format!(
                    "LOST: {who} was acknowledged; the last found is {}",
                    index_last(records)
                ));
            };
            if (line.generation, line.caller, line.number) != (*generation, *caller, *number) {
                return Err(format!(
                    "LOST: {who} was acknowledged; in its place is number {} of caller {}, generation {}",
                    line.number, line.caller, line.generation
                ));
            }
        }
        for ((generation, caller), number) in &self.acknowledged_early {
            let of_caller = |line: &Line| (line.generation, line.caller) == (*generation, *caller);
            let last =
                records.iter().rev().find(|(_, line)| of_caller(line)).map_or(0, |(_, line)| line.number);
            if last < *number && (first == 1 || last > 0) {
                return Err(format!(
                    "LOST: number {number} of caller {caller} was acknowledged; {last} is its last"
                ));
            }
        }
        Ok(())
    }

    /// Of each caller: in the order issued, once, whole, and nothing that it did not issue.
    fn check_callers(&self, records: &[(u64, Line)]) -> Result<(), String> {
        let mut last: HashMap<Caller, u64> = HashMap::new();
        let from_the_start = records.first().is_none_or(|(seq, _)| *seq == 1);
        for (seq, line) in records {
            let caller = (line.generation, line.caller);
            let Line { number, journal, .. } = *line;
            if journal != self.journal || !line.is_whole() {
                return Err(format!("record {seq} is not what number {number} of caller {caller:?} wrote"));
            }
            if self.issued.get(&caller).is_none_or(|upto| number > *upto) {
                return Err(format!("record {seq}: number {number} of caller {caller:?} was never issued"));
            }
            match last.insert(caller, number) {
                None if number == 1 || !from_the_start => {}
                Some(before) if number == before + 1 => {}
                before => {
                    return Err(format!("record {seq}: caller {caller:?}: {number} follows {before:?}"));
                }
            }
        }
        Ok(())
    }
}

fn index_last(records: &[(u64, Line)]) -> u64 {
    records.last().map_or(0, |(seq, _)| *seq)
}

/// Every batch is there from its first record to its last, side by side.
fn check_batches(records: &[(u64, Line)]) -> Result<(), String> {
    let mut open: Option<&Line> = None;
    for (seq, line) in records {
        let continues = match open {
            None => line.place == 0,
            Some(before) => {
                line.place == before.place + 1
                    && line.batch == before.batch
                    && (line.generation, line.caller) == (before.generation, before.caller)
            }
        };
        if !continues {
            return Err(format!(
                "record {seq} is place {} of a batch that does not begin before it",
                line.place
            ));
        }
        open = (line.place + 1 < line.batch).then_some(line);
    }
    match open {
        Some(line) => Err(format!("a batch of {} ends after {}", line.batch, line.place + 1)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
