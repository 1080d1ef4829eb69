//! The thread that reads ahead for a stream.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    JournalStream, MiniStore, MiniStoreError, Result,
    sync::{block_on, thread},
};

/// Enough blocks that the reading thread has to wait for its reader.
const RECORDS: usize = 12;
const RECORD_BYTES: usize = 3 << 10;

/// Lines without a seal, as the original writes them.
fn write_journal(path: &Path, header_object: &str, end: &str) {
    let mut text = format!("// MINISTORE JOURNAL v0.1.4{header_object}\n");
    for record in 0..RECORDS {
        text += &format!("{record}\n\"{}\"\n", "x".repeat(RECORD_BYTES));
    }
    text.push_str(end);
    fs::write(path, text).unwrap();
}

async fn next(stream: &mut JournalStream<Value>) -> Option<Result<Value>> {
    stream.next().await
}

/// Two streams at once: one is read to its end, the other dropped somewhere. Neither thread is left behind: the model
/// checker would say that it waits for ever.
pub(super) fn a_stream_gives_every_record_or_may_be_dropped(dir: &Path) {
    let path = dir.join("j");
    write_journal(&path, "", "");
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

/// A file that says that it is sealed and closed, and is not: damage, and no end.
pub(super) fn a_stream_tells_an_error_from_the_end(dir: &Path) {
    let path = dir.join("j");
    write_journal(
        &path,
        r#" {"seal":"crc32c","first":1,"prev":"00000000"}"#,
        &format!("1\t{}\t\n", " ".repeat(32)),
    );
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
