//! Options, reports and errors: comparison, serialization, classification.

use std::time::Duration;

use ministore_uring::{
    Backend, ErrorKind, Header, JournalOptions, MiniStoreError, MiniStoreOptions, RecoveryPolicy, SyncMode,
    WriteOutcome,
    maintenance::{RepairMode, repair, verify},
};
use serde_json::{Value, json};

use crate::support::{TempJournal, for_each_backend};

#[test]
fn options_survive_serialization() {
    let options = JournalOptions::new()
        .max_segment_bytes(1 << 20)
        .max_segments(7)
        .max_total_bytes(1 << 30)
        .max_age(Duration::from_secs(3600))
        .checksums(false)
        .header(Header::Json)
        .preallocate(false)
        .direct_io(false)
        .sync_mode(SyncMode::Fdatasync)
        .backend(Backend::Blocking)
        .recovery(RecoveryPolicy::TruncateAtFirstError)
        .mode(0o640)
        .spin(false)
        .commit_delay(Duration::from_millis(2))
        .commit_delay_bytes(1 << 16)
        .max_group_bytes(1 << 19)
        .max_record_bytes(1 << 18)
        .max_batch_bytes(1 << 21)
        .max_queue_bytes(1 << 22)
        .slow_commit_threshold(None);
    let text = serde_json::to_string(&options).unwrap();
    assert_eq!(serde_json::from_str::<JournalOptions>(&text).unwrap(), options);
    assert_ne!(options, JournalOptions::new());
}

#[test]
fn missing_options_get_their_defaults() {
    let options: JournalOptions =
        serde_json::from_value(json!({"backend": "io_uring", "max_segments": 3})).unwrap();
    assert_eq!(options, JournalOptions::new().backend(Backend::Uring).max_segments(3));
    let unknown = serde_json::from_value::<JournalOptions>(json!({"max_bytes_per_segment": 1}));
    assert!(unknown.unwrap_err().to_string().contains("max_bytes_per_segment"));
}

#[test]
fn limits_of_zero_are_rejected() {
    let options = JournalOptions::new;
    for (name, options) in [
        ("max_segment_bytes", options().max_segment_bytes(0)),
        ("max_segments", options().max_segments(0)),
        ("max_total_bytes", options().max_total_bytes(0)),
        ("max_age", options().max_age(Duration::ZERO)),
        ("commit_delay_bytes", options().commit_delay_bytes(0)),
        ("max_group_bytes", options().max_group_bytes(0)),
        ("max_record_bytes", options().max_record_bytes(0)),
        ("max_batch_bytes", options().max_batch_bytes(0)),
        ("max_queue_bytes", options().max_queue_bytes(0)),
        ("slow_commit_threshold", options().slow_commit_threshold(Duration::ZERO)),
        ("header", options().checksums(false).header(Header::Json)),
        ("sync_mode", options().backend(Backend::TokioUring).sync_mode(SyncMode::Dsync)),
    ] {
        let journal = TempJournal::new();
        let error = options.open_blocking(journal.path()).map(drop).unwrap_err();
        assert!(matches!(&error, MiniStoreError::InvalidArgument(text) if text.contains(name)), "{error}");
        assert_eq!(
            (error.kind(), error.is_retryable(), error.path()),
            (ErrorKind::InvalidInput, false, None)
        );
        assert!(!journal.path().exists());
    }
    // `ministore` 0.1.7 accepts zero too.
    let journal = TempJournal::new();
    futures_lite::future::block_on(MiniStoreOptions::new().max_bytes_per_segment(0).open(journal.path()))
        .unwrap();
}

#[test]
fn backend_parses_from_its_name() {
    for backend in [Backend::Auto, Backend::Uring, Backend::TokioUring, Backend::Blocking] {
        assert_eq!(backend.to_string().parse::<Backend>().unwrap(), backend);
    }
    let error = "uring?".parse::<Backend>().unwrap_err();
    assert!(error.to_string().contains("auto, io_uring, tokio-uring or blocking"), "{error}");
}

#[test]
fn header_parses_from_its_name() {
    for header in [Header::Comment, Header::Json] {
        assert_eq!(header.to_string().parse::<Header>().unwrap(), header);
    }
    assert!("toml".parse::<Header>().unwrap_err().to_string().contains("comment or json"));
    let options: JournalOptions = serde_json::from_value(json!({"header": "json"})).unwrap();
    assert_eq!(options, JournalOptions::new().header(Header::Json));
}

#[test]
fn errors_name_their_file_and_class() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        let locked = options.clone().open_blocking(journal.path()).map(drop).unwrap_err();
        assert_eq!(
            (locked.kind(), locked.is_retryable(), locked.path()),
            (ErrorKind::Contention, true, Some(journal.path()))
        );
        store.blocking().close().unwrap();
        let closed = store.blocking().append(&1).unwrap_err();
        assert_eq!((closed.kind(), closed.is_retryable()), (ErrorKind::Closed, false));
        assert_eq!(closed.write_outcome(), WriteOutcome::NotWritten);
        let missing = verify(journal.dir().join("missing")).map(drop).unwrap_err();
        assert_eq!((missing.kind(), missing.is_retryable()), (ErrorKind::Io, false));
        assert!(!missing.path().unwrap().exists());
        assert!(missing.path().unwrap().ends_with("missing"));
    });
}

#[test]
fn reports_and_statistics_serialize() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let receipt = store.blocking().submit(&1).unwrap().wait().unwrap();
        let receipt = serde_json::to_value(receipt).unwrap();
        assert_eq!((&receipt["seq"], &receipt["records"]), (&json!(1), &json!(1)));
        let stats = serde_json::to_value(store.stats()).unwrap();
        assert_eq!((&stats["records"], &stats["sync"]["count"]), (&json!(1), &json!(1)));
        assert!(stats["sync"]["p99"].as_u64() >= stats["sync"]["p50"].as_u64());
        let opened = serde_json::to_value(store.open_report()).unwrap();
        assert_eq!((&opened["created"], &opened["truncated"]), (&json!(true), &Value::Null));
        store.blocking().close().unwrap();
        let report = serde_json::to_value(verify(journal.path()).unwrap()).unwrap();
        assert_eq!((&report["records"], &report["segments"][0]["state"]), (&json!(1), &json!("closed")));
        assert_eq!(report["segments"][0]["path"], json!(journal.path()));
        let repaired = serde_json::to_value(repair(journal.path(), RepairMode::DryRun).unwrap()).unwrap();
        assert_eq!(repaired, json!({"actions": [], "lost": [], "records": 1, "unrepairable": []}));
    });
}

#[test]
fn pending_append_is_done_once_it_is_durable() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let pending = store.blocking().submit(&1).unwrap();
        store.blocking().wait_durable(1).unwrap();
        while !pending.is_done() {
            std::thread::yield_now();
        }
        let receipt = pending.try_wait().unwrap().unwrap();
        assert_eq!((receipt.seqs(), pending.wait().unwrap()), (1..2, receipt));
    });
}
