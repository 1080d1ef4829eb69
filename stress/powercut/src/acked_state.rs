//! The state of the journals that the acknowledgements before a power cut guarantee, and the comparison with the
//! records found after it. This module is pure.

use std::collections::{BTreeMap, HashMap};

use ministore_faultfs::recording::Event;

use crate::{marker::Marker, test_record::TestRecord, workload};

/// A client: the generation and the client ID.
type ClientKey = (u64, u64);

/// The acknowledged state of one journal.
#[derive(Debug, Clone, Default)]
pub(crate) struct AckedState {
    pub(crate) journal: u64,
    /// An open has completed, so the files exist.
    opened: bool,
    /// Every record below was durable when the journal was last opened.
    next_seq: u64,
    issued: BTreeMap<ClientKey, u64>,
    /// The acknowledged records by sequence number.
    acknowledged: BTreeMap<u64, (ClientKey, u64)>,
    /// The last record acknowledged without a number, by client.
    acknowledged_early: BTreeMap<ClientKey, u64>,
    /// Set if two records received the same number.
    contradiction: Option<String>,
}

/// The contents of one journal after a power cut.
#[derive(Debug)]
pub(crate) struct JournalContents<'a> {
    pub(crate) records: &'a [(u64, TestRecord)],
    /// The number of segment files: rotated segments and the active one.
    pub(crate) segments: usize,
}

/// Computes the acknowledged states at the crash points of a recording. It is fast if the crash points ascend.
#[derive(Debug)]
pub(crate) struct AckedStates<'a> {
    markers: &'a [(usize, Marker)],
    /// The number of markers applied to `journals`.
    applied: usize,
    journals: Vec<AckedState>,
}

/// Returns the markers among `events`, with their positions.
pub(crate) fn markers(events: &[Event]) -> Result<Vec<(usize, Marker)>, String> {
    let markers =
        events.iter().enumerate().filter_map(|(position, event)| Some((position, Marker::parse(event)?)));
    markers.map(|(position, marker)| Ok((position, marker?))).collect()
}

impl<'a> AckedStates<'a> {
    pub(crate) fn new(markers: &'a [(usize, Marker)]) -> Self {
        let journal = |journal| AckedState { journal, next_seq: 1, ..AckedState::default() };
        Self { markers, applied: 0, journals: (0..workload::JOURNALS).map(journal).collect() }
    }

    /// Returns the acknowledged state of each journal after the first `at` events.
    pub(crate) fn at(&mut self, at: usize) -> &[AckedState] {
        let count = self.markers.partition_point(|(position, _)| *position < at);
        if count < self.applied {
            *self = Self::new(self.markers);
        }
        for (_, marker) in &self.markers[self.applied..count] {
            for acked in &mut self.journals {
                if marker.journal() == Some(acked.journal) {
                    acked.add(marker);
                }
            }
        }
        self.applied = count;
        &self.journals
    }
}

impl AckedState {
    pub(crate) fn was_opened(&self) -> bool {
        self.opened
    }

    fn add(&mut self, marker: &Marker) {
        match *marker {
            Marker::Opened { next_seq, .. } => (self.opened, self.next_seq) = (true, next_seq),
            Marker::Issued { generation, client, upto, .. } => {
                self.issued.insert((generation, client), upto);
            }
            Marker::Acknowledged { generation, client, number, count, seq: Some(seq), .. } => {
                for i in 0..count {
                    let before = self.acknowledged.insert(seq + i, ((generation, client), number + i));
                    if before.is_some() {
                        self.contradiction = Some(format!("sequence number {} was assigned twice", seq + i));
                    }
                }
            }
            Marker::Acknowledged { generation, client, number, count, seq: None, .. } => {
                self.acknowledged_early.insert((generation, client), number + count - 1);
            }
            Marker::Done => {}
        }
    }

    /// Checks the contents, and returns the first violation.
    pub(crate) fn check(&self, found: &JournalContents<'_>) -> Result<(), String> {
        self.contradiction.clone().map_or(Ok(()), Err)?;
        self.check_numbers(found)?;
        self.check_acknowledged(found)?;
        self.check_clients(found.records)?;
        check_batches(found.records)
    }

    /// Checks that the numbers are consecutive, and that only records that retention may delete are missing at the
    /// front.
    pub(crate) fn check_numbers(&self, found: &JournalContents<'_>) -> Result<(), String> {
        let records = found.records;
        let first = records.first().map_or(1, |(seq, _)| *seq);
        for (expected, (seq, _)) in (first..).zip(records) {
            if *seq != expected {
                return Err(format!("expected record {expected}, found {seq}"));
            }
        }
        let max_segments = workload::max_segments(self.journal);
        if first > 1 && max_segments.is_none_or(|max| found.segments < max) {
            return Err(format!("records before {first} are missing, with {} segments left", found.segments));
        }
        let next = first + records.len() as u64;
        if next < self.next_seq {
            return Err(format!(
                "records {next} to {}, found by an earlier open, are missing",
                self.next_seq - 1
            ));
        }
        Ok(())
    }

    fn check_acknowledged(&self, found: &JournalContents<'_>) -> Result<(), String> {
        let records = found.records;
        let first = records.first().map_or(1, |(seq, _)| *seq);
        for (seq, ((generation, client), number)) in self.acknowledged.range(first..) {
            let index = usize::try_from(seq - first).unwrap_or(usize::MAX);
            let identity =
                format!("record {seq} (number {number} of client {client}, generation {generation})");
            let Some((_, record)) = records.get(index) else {
                return Err(format!(
                    "LOST: {identity} was acknowledged; the last found is {}",
                    last_seq(records)
                ));
            };
            if (record.generation, record.client, record.number) != (*generation, *client, *number) {
                return Err(format!(
                    "LOST: {identity} was acknowledged; found number {} of client {}, generation {}",
                    record.number, record.client, record.generation
                ));
            }
        }
        for ((generation, client), number) in &self.acknowledged_early {
            let of_client =
                |record: &TestRecord| (record.generation, record.client) == (*generation, *client);
            let last = records
                .iter()
                .rev()
                .find(|(_, record)| of_client(record))
                .map_or(0, |(_, record)| record.number);
            if last < *number && (first == 1 || last > 0) {
                return Err(format!(
                    "LOST: number {number} of client {client} was acknowledged; its last is {last}"
                ));
            }
        }
        Ok(())
    }

    /// Checks that the records of each client were issued by it, and are intact, unique and in order.
    fn check_clients(&self, records: &[(u64, TestRecord)]) -> Result<(), String> {
        let mut last: HashMap<ClientKey, u64> = HashMap::new();
        let is_complete = records.first().is_none_or(|(seq, _)| *seq == 1);
        for (seq, record) in records {
            let client = (record.generation, record.client);
            let TestRecord { number, journal, .. } = *record;
            if journal != self.journal || !record.is_intact() {
                return Err(format!("record {seq} is not intact: number {number} of client {client:?}"));
            }
            if self.issued.get(&client).is_none_or(|upto| number > *upto) {
                return Err(format!("record {seq}: number {number} of client {client:?} was never issued"));
            }
            match last.insert(client, number) {
                None if number == 1 || !is_complete => {}
                Some(before) if number == before + 1 => {}
                before => {
                    return Err(format!("record {seq}: client {client:?}: {number} follows {before:?}"));
                }
            }
        }
        Ok(())
    }
}

fn last_seq(records: &[(u64, TestRecord)]) -> u64 {
    records.last().map_or(0, |(seq, _)| *seq)
}

/// Checks that the records of every batch are complete and adjacent.
fn check_batches(records: &[(u64, TestRecord)]) -> Result<(), String> {
    let mut open: Option<&TestRecord> = None;
    for (seq, record) in records {
        let continues = match open {
            None => record.index == 0,
            Some(before) => {
                record.index == before.index + 1
                    && record.batch_len == before.batch_len
                    && (record.generation, record.client) == (before.generation, before.client)
            }
        };
        if !continues {
            return Err(format!(
                "record {seq} has index {} in a batch that does not begin before it",
                record.index
            ));
        }
        open = (record.index + 1 < record.batch_len).then_some(record);
    }
    match open {
        Some(record) => Err(format!("a batch of {} ends after {}", record.batch_len, record.index + 1)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
