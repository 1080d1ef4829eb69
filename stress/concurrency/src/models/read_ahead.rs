//! Threads that read ahead for a stream, and threads that parse in parallel for a replay.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    JournalStream, MiniStore, MiniStoreError, Result,
    format::{Chain, ChainLink, SegmentHeader, seal},
    io::os_file_system,
    read::replay_parallel_on,
    sync::{block_on, thread},
};

/// Enough blocks that the reading thread has to wait for the stream.
const RECORDS: usize = 12;
const RECORD_BYTES: usize = 3 << 10;

/// Writes commit groups of a number and a long text each.
fn write_journal(path: &Path) {
    let mut bytes = SegmentHeader::Checksummed(ChainLink { first_seq: 1, prev_seal: 0 }).encode();
    let mut chain = Chain::from_header(&bytes);
    for record in 0..RECORDS {
        let group = format!("{record}\n\"{}\"", "x".repeat(RECORD_BYTES));
        chain.push(group.as_bytes());
        bytes.extend_from_slice(b"\n");
        bytes.extend_from_slice(group.as_bytes());
        bytes.extend_from_slice(&seal::encode(chain.seal()));
        chain = Chain::from_seal(chain.seal());
    }
    fs::write(path, bytes).unwrap();
}

/// Changes a byte of the last group and adds the close marker, so that it is corruption and no torn tail.
fn write_corrupt_journal(path: &Path) {
    write_journal(path);
    let mut bytes = fs::read(path).unwrap();
    let last = bytes.len() - RECORD_BYTES;
    bytes[last] = b'y';
    bytes.extend_from_slice(b"\t\n");
    fs::write(path, bytes).unwrap();
}

async fn next(stream: &mut JournalStream<Value>) -> Option<Result<Value>> {
    stream.next().await
}

/// Two streams: one is read to its end, the other is dropped. Both reading threads end: the model checker would report a
/// deadlock.
pub(super) fn stream_yields_every_record_or_may_be_dropped(dir: &Path) {
    let path = dir.join("j");
    write_journal(&path);
    let dropped = thread::spawn({
        let path = path.clone();
        move || {
            block_on(async {
                let mut stream = MiniStore::stream(&path).await.unwrap();
                assert_eq!(next(&mut stream).await.unwrap().unwrap(), 0);
            });
        }
    });
    block_on(async {
        let mut stream = MiniStore::stream(&path).await.unwrap();
        for record in 0..RECORDS {
            assert_eq!(next(&mut stream).await.unwrap().unwrap(), record);
            assert!(next(&mut stream).await.unwrap().unwrap().is_string());
        }
        assert!(next(&mut stream).await.is_none());
    });
    dropped.join().unwrap();
}

/// The last group is corrupt, those before it are valid.
pub(super) fn stream_reports_corruption_before_it_ends(dir: &Path) {
    let path = dir.join("j");
    write_corrupt_journal(&path);
    block_on(async {
        let mut stream = MiniStore::stream::<Value>(&path).await.unwrap();
        while let Some(record) = next(&mut stream).await {
            if let Err(error) = record {
                assert!(matches!(error, MiniStoreError::Corrupt { .. }), "{error:?}");
                return;
            }
        }
        panic!("the stream ended without an error");
    });
}

/// Two parallel replays: one succeeds, the other fails at its second line. All of their threads end.
pub(super) fn parallel_replay_is_complete_and_in_order(dir: &Path) {
    let path = dir.join("j");
    write_journal(&path);
    let failing = thread::spawn({
        let path = path.clone();
        move || {
            let replayed = block_on(replay_parallel_on::<String>(os_file_system(), path, 2));
            assert!(matches!(replayed, Err(MiniStoreError::Deserialize { line: 2, .. })), "{replayed:?}");
        }
    });
    let replayed = block_on(replay_parallel_on::<Value>(os_file_system(), path, 2)).unwrap();
    assert_eq!(replayed.len(), 2 * RECORDS);
    for (record, pair) in replayed.chunks(2).enumerate() {
        assert_eq!(pair[0], record);
        assert!(pair[1].is_string());
    }
    failing.join().unwrap();
}
