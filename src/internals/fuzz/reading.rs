//! Every way to read, on any files: they agree, and they end.

use std::{future::poll_fn, path::Path, pin::Pin};

use futures_core::Stream;
use serde_json::value::RawValue;

use super::{
    generator::Generator,
    journal::{FuzzJournal, records},
};
use crate::{MiniStore, MiniStoreError, Reader, io::os_file_system, read::replay_parallel_on};

/// Reads the journal that the bytes generate in `dir`, or the bytes themselves.
pub fn reading(data: &[u8], dir: &Path) {
    let mut generator = Generator::new(data);
    let journal = match generator.byte() % 4 {
        0 => FuzzJournal::from_bytes(generator.rest(), dir),
        1 => FuzzJournal::from_bytes(&[b"// MINISTORE JOURNAL v0.1.4\n", generator.rest()].concat(), dir),
        2 => FuzzJournal::from_bytes(
            &[&br#"{"$ministore":{"journal":"0.2.0","#[..], generator.rest()].concat(),
            dir,
        ),
        _ => FuzzJournal::generated(&mut generator, dir),
    };
    let before = journal.files();
    let (read, fault) = journal.records();
    assert!(read.is_sorted_by(|(one, _), (two, _)| one + 1 == *two), "sequence numbers with a gap: {read:?}");
    check_replay(&journal, &read, fault.as_ref());
    check_raw_records(&journal, &read, fault.as_ref());
    check_stream(&journal, &read, fault.is_some());
    if fault.is_none() {
        for (index, (seq, _)) in read.iter().enumerate() {
            assert_eq!(records(&journal.path(), *seq).0, read[index..], "from {seq} on");
        }
    }
    let last = Reader::open(journal.path()).unwrap().records::<Box<RawValue>>().filter(Result::is_ok).count();
    assert!(last >= read.len());
    check_one_file(&journal);
    assert_eq!(journal.files(), before, "reading never writes");
}

fn check_replay(journal: &FuzzJournal, read: &[(u64, String)], fault: Option<&MiniStoreError>) {
    let one_by_one = pollster::block_on(MiniStore::replay::<Box<RawValue>, _>(journal.path()));
    let in_parallel = replay_parallel_on::<Box<RawValue>>(os_file_system(), journal.path(), 3);
    for replayed in [one_by_one, pollster::block_on(in_parallel)] {
        match replayed {
            Ok(replayed) => {
                assert!(fault.is_none(), "replay found no fault: {fault:?}");
                let values = replayed.iter().map(|value| value.get());
                assert!(values.eq(read.iter().map(|(_, value)| value.as_str())));
            }
            Err(error) => assert!(fault.is_some(), "only replay found a fault: {error}"),
        }
    }
}

/// Checks that each line is returned, including those that are not JSON.
fn check_raw_records(journal: &FuzzJournal, read: &[(u64, String)], fault: Option<&MiniStoreError>) {
    let mut lines = Reader::open(journal.path()).unwrap().raw_records();
    for (seq, value) in read {
        let line = lines.next_record().unwrap().unwrap();
        assert_eq!((line.seq, line.json), (*seq, value.as_bytes()));
        assert_eq!(line.parse::<&RawValue>().unwrap().get(), value);
    }
    match (lines.next_record(), fault) {
        (Ok(None), None) => {}
        (Ok(Some(line)), Some(MiniStoreError::Record { seq, .. })) => assert_eq!(line.seq, *seq),
        (Err(error), Some(fault)) => assert_eq!(error.to_string(), fault.to_string()),
        (next, _) => panic!("{next:?} after the records, whose fault is {fault:?}"),
    }
}

fn check_stream(journal: &FuzzJournal, read: &[(u64, String)], faulty: bool) {
    let mut stream = Reader::open(journal.path()).unwrap().records_stream::<Box<RawValue>>(0);
    let mut found = 0;
    while let Some(record) = pollster::block_on(poll_fn(|context| Pin::new(&mut stream).poll_next(context))) {
        let Ok(record) = record else {
            assert!(faulty);
            break;
        };
        assert_eq!((record.seq, record.value.get()), (read[found].0, read[found].1.as_str()));
        found += 1;
    }
    assert_eq!(found, read.len());
}

/// Reads as `ministore` 0.1.7 does: one file, without the others.
fn check_one_file(journal: &FuzzJournal) {
    let Ok(mut stream) = pollster::block_on(MiniStore::stream::<Box<RawValue>>(journal.path())) else {
        return;
    };
    while let Some(record) = pollster::block_on(stream.next()) {
        if !matches!(record, Ok(_) | Err(MiniStoreError::Deserialize { .. })) {
            break;
        }
    }
}
