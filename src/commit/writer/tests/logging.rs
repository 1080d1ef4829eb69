//! The log events: each is emitted once per change of state, with the level and fields documented in
//! docs/reference/events.md.

use std::{collections::BTreeMap, thread};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use tracing::Level;

use super::{
    capture::{count, documented, events, install, only_event},
    *,
};

fn fixture(kind: BackendKind, options: JournalOptions) -> StoreFixture {
    install();
    StoreFixture::open(kind, options)
}

#[test]
fn open_and_close_are_logged() {
    for kind in backends() {
        let fixture = fixture(kind, JournalOptions::new());
        fixture.append(0).unwrap();
        finish(fixture.store.close()).unwrap();
        let opened = only_event(fixture.dir.path(), "opened");
        assert_eq!((opened.level, opened.fields["next_seq"].as_str()), (Level::INFO, "1"));
        assert_eq!(opened.fields["created"], "true");
        assert_eq!(opened.fields["backend"], kind.to_string());
        let stats = fixture.store.stats();
        assert_eq!(opened.fields["direct_io"], stats.direct_io.to_string());
        assert_eq!(opened.fields["sync_mode"], stats.sync_mode.to_string());
        assert_eq!(only_event(fixture.dir.path(), "closed").fields["next_seq"], "2");
    }
}

#[test]
fn truncated_tail_is_logged_with_side_file() {
    for kind in backends() {
        let fixture = fixture(kind, JournalOptions::new());
        let path = fixture.path.canonicalize().unwrap();
        fixture.append(0).unwrap();
        finish(fixture.store.close()).unwrap();
        // As if the process had been killed during a write: no close marker, and half a group.
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 2);
        let end = bytes.len();
        bytes.extend_from_slice(b"\n{\"half\":");
        fs::write(&path, &bytes).unwrap();
        drop(open_on(kind, JournalOptions::new(), &path, &FaultInjector::new()).unwrap());
        let truncated = only_event(fixture.dir.path(), "truncated torn tail");
        assert_eq!(truncated.level, Level::WARN);
        assert_eq!(truncated.fields["segment"], path.display().to_string());
        assert_eq!(
            (truncated.fields["offset"].as_str(), truncated.fields["bytes"].as_str()),
            (&*(end + 1).to_string(), "8")
        );
        assert_eq!(fs::read(&truncated.fields["saved_to"]).unwrap(), b"{\"half\":");
        let opened = events(fixture.dir.path()).into_iter().rfind(|event| event.message == "opened").unwrap();
        assert_eq!(
            (opened.fields["truncated_bytes"].as_str(), opened.fields["next_seq"].as_str()),
            ("8", "2")
        );
    }
}

#[test]
fn completed_rotation_and_legacy_upgrade_are_logged() {
    for kind in backends() {
        let fixture = fixture(kind, JournalOptions::new().checksums(false));
        fixture.append(0).unwrap();
        finish(fixture.store.close()).unwrap();
        drop(open_on(kind, JournalOptions::new(), &fixture.path, &FaultInjector::new()).unwrap());
        assert_eq!(
            only_event(fixture.dir.path(), "added checksums to a legacy segment").fields["next_seq"],
            "2"
        );
        // The store closes in the background, and the next open waits for it.
        finish(open_on(kind, JournalOptions::new(), &fixture.path, &FaultInjector::new()).unwrap().close())
            .unwrap();
        fs::rename(&fixture.path, fixture.path.with_extension("001")).unwrap();
        drop(open_on(kind, JournalOptions::new(), &fixture.path, &FaultInjector::new()).unwrap());
        only_event(fixture.dir.path(), "completed interrupted rotation");
    }
}

#[test]
fn rotation_and_retention_deletes_are_logged() {
    for kind in backends() {
        let fixture = fixture(kind, JournalOptions::new().max_segments(2));
        for record in 0..2 {
            fixture.append(record).unwrap();
            finish(fixture.store.rotate()).unwrap();
        }
        finish(fixture.store.close()).unwrap();
        let rotated: Vec<_> = events(fixture.dir.path())
            .into_iter()
            .filter(|event| event.message.starts_with("rotated"))
            .collect();
        let path_of =
            |number| fixture.path.canonicalize().unwrap().with_extension(number).display().to_string();
        assert_eq!(rotated.len(), 2);
        for (event, (number, next_seq)) in rotated.iter().zip([("001", "2"), ("002", "3")]) {
            assert_eq!(
                (&event.fields["segment"], event.fields["next_seq"].as_str()),
                (&path_of(number), next_seq)
            );
            assert_eq!(event.level, Level::INFO);
        }
        let deleted = only_event(fixture.dir.path(), "deleted a segment");
        assert_eq!((deleted.level, &deleted.fields["segment"]), (Level::INFO, &path_of("001")));
        assert_eq!((deleted.fields["records"].as_str(), deleted.fields["first_seq"].as_str()), ("1", "2"));
    }
}

#[test]
fn legacy_retention_is_logged_at_open() {
    for kind in backends() {
        let options = JournalOptions::from(crate::MiniStoreOptions::new().max_segments(3));
        let mut fixture = fixture(kind, options.clone());
        let (announced, warned) = (
            "rotations keep at most max_segments segments and delete older ones",
            "the next rotation deletes the oldest segment",
        );
        assert_eq!(count(fixture.dir.path(), warned), 0);
        let event = only_event(fixture.dir.path(), announced);
        assert_eq!((event.level, event.fields["segments"].as_str()), (Level::INFO, "1"));
        assert_eq!(event.fields["max_segments"], "3");
        for record in 0..2 {
            fixture.append(record).unwrap();
            finish(fixture.store.rotate()).unwrap();
        }
        finish(fixture.store.close()).unwrap();
        fixture.store = open_on(kind, options, &fixture.path, &fixture.faults).unwrap();
        let warning = only_event(fixture.dir.path(), warned);
        assert_eq!((warning.level, warning.fields["segments"].as_str()), (Level::WARN, "3"));
    }
}

#[test]
fn slow_commit_is_logged_with_its_size() {
    for kind in backends() {
        let fixture = fixture(kind, JournalOptions::new().slow_commit_threshold(Duration::from_nanos(1)));
        finish(fixture.store.append_batch([1u64, 22])).unwrap();
        finish(fixture.store.close()).unwrap();
        let slow = only_event(fixture.dir.path(), "slow commit");
        let field = |name| slow.fields[name].as_str();
        assert_eq!(
            (slow.level, field("seq"), field("records"), field("bytes")),
            (Level::WARN, "1", "2", "3")
        );
        assert!(
            field("segment") == fixture.path.canonicalize().unwrap().to_str().unwrap()
                && field("latency").ends_with('s')
        );
        assert_eq!(fixture.store.stats().slow_commits, 1);
    }
}

#[test]
fn fast_commit_is_not_logged() {
    let fixture = fixture(BackendKind::Blocking, JournalOptions::new().slow_commit_threshold(None));
    fixture.append(0).unwrap();
    finish(fixture.store.close()).unwrap();
    assert_eq!((count(fixture.dir.path(), "slow commit"), fixture.store.stats().slow_commits), (0, 0));
}

#[test]
fn disk_full_and_space_available_are_logged_once() {
    for kind in backends() {
        let fixture = fixture(kind, JournalOptions::new());
        fixture.append(0).unwrap();
        fixture.barrier();
        // Each record is larger than the preallocated space at that time.
        for (batch, bytes) in [(1, 200 << 10), (2, 8 << 20)] {
            let large = "x".repeat(bytes);
            fixture.faults.set_space_limit(0);
            assert!((0..3).all(|_| is_storage_full(&finish(fixture.store.append(&large)))));
            assert_eq!(count(fixture.dir.path(), "disk full; rejecting appends until space is freed"), batch);
            fixture.faults.clear_space_limit();
            (0..3).for_each(|_| finish(fixture.store.append(&large)).unwrap());
            assert_eq!(count(fixture.dir.path(), "disk space available; accepting appends"), batch);
            let warnings = count(fixture.dir.path(), "could not create or rotate a segment; will retry");
            assert!(warnings <= batch, "{warnings} in batch {batch}");
        }
    }
}

#[test]
fn poisoning_failure_is_logged_once() {
    for kind in backends() {
        let fixture = fixture(kind, JournalOptions::new());
        fixture.append(0).unwrap();
        fixture.barrier();
        fixture.faults.fail(Op::Commit, 1, Errno::IO);
        (1..5).for_each(|record| assert!(fixture.append(record).is_err()));
        assert!(finish(fixture.store.close()).is_err());
        let poisoned =
            only_event(fixture.dir.path(), "write or sync failed; journal poisoned until reopened");
        assert_eq!(poisoned.level, Level::ERROR);
        assert!(poisoned.fields["error"].contains("os error 5"), "{poisoned:?}");
        only_event(fixture.dir.path(), "close failed");
        assert_eq!(count(fixture.dir.path(), "closed"), 0);
        assert!(fixture.store.stats().poisoned);
    }
}

#[test]
fn io_uring_fallback_is_logged_with_likely_cause() {
    install();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    // The filter applies to this thread and the threads that it starts.
    thread::scope(|scope| {
        scope.spawn(|| {
            refuse_io_uring();
            let store = JournalOptions::new().open_blocking(&path).unwrap();
            store.blocking().append(&1).unwrap();
            store.blocking().rotate().unwrap();
            store.blocking().close().unwrap();
        });
    });
    let fallback = only_event(dir.path(), "io_uring unavailable; using blocking system calls");
    assert_eq!(fallback.level, Level::WARN);
    assert!(fallback.fields["hint"].contains("seccomp"), "{fallback:?}");
    assert_eq!(only_event(dir.path(), "opened").fields["backend"], "blocking");
}

/// Refuses io_uring as Docker's default seccomp profile does.
fn refuse_io_uring() {
    const IO_URING_SETUP: i64 = 425;
    const EPERM: u32 = 1;
    let filter = SeccompFilter::new(
        BTreeMap::from([(IO_URING_SETUP, vec![])]),
        SeccompAction::Allow,
        SeccompAction::Errno(EPERM),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

#[test]
fn refused_direct_io_is_logged_once_per_store() {
    for kind in backends() {
        let fixture = fixture(kind, JournalOptions::new());
        if !fixture.store.stats().direct_io {
            // The file system refuses direct I/O at open, which was logged then.
            only_event(fixture.dir.path(), "O_DIRECT not supported; using buffered writes");
            continue;
        }
        // The file system accepts O_DIRECT and refuses the write, in every segment.
        for record in 0..3 {
            fixture.barrier();
            fixture.faults.fail(Op::Commit, 1, Errno::INVAL);
            fixture.append(record).unwrap();
            finish(fixture.store.rotate()).unwrap();
        }
        let refused = only_event(fixture.dir.path(), "O_DIRECT not supported; using buffered writes");
        assert_eq!(refused.level, Level::INFO);
    }
}

/// tmpfs is not one of the file systems whose `O_DSYNC` is trusted.
#[test]
fn untrusted_file_system_is_reported_once() {
    const TMPFS_MAGIC: u32 = 0x0102_1994;
    let is_tmpfs = rustix::fs::statfs("/dev/shm").is_ok_and(|stat| stat.f_type as u32 == TMPFS_MAGIC);
    let Some(dir) = tempfile::tempdir_in("/dev/shm").ok().filter(|_| is_tmpfs) else {
        eprintln!("SKIPPED: events of an untrusted file system: /dev/shm is no tmpfs");
        return;
    };
    install();
    for (kind, mode) in backends().into_iter().flat_map(|kind| SYNC_MODES.map(|mode| (kind, mode))) {
        let dir = tempfile::tempdir_in(dir.path()).unwrap();
        let options = JournalOptions::new().sync_mode(mode).max_segment_bytes(1000);
        let store = open_on(kind, options, &dir.path().join("j"), &FaultInjector::new()).unwrap();
        for record in 0..3 {
            finish(store.append(&record)).unwrap();
            finish(store.rotate()).unwrap();
        }
        let stats = store.stats();
        assert_eq!((stats.sync_mode, stats.direct_io), (SyncKind::Fdatasync, false));
        assert_eq!(only_event(dir.path(), "opened").fields["sync_mode"], "fdatasync");
        let message = "O_DIRECT not trusted on this file system; using buffered writes";
        assert_eq!(only_event(dir.path(), message).level, Level::INFO);
        let message = "O_DSYNC not trusted on this file system; using fdatasync";
        assert_eq!(count(dir.path(), message), usize::from(mode == SyncMode::Dsync), "{mode}");
    }
}

/// Returns the text of every source file below `dir`, without the tests.
fn library_sources(dir: &Path) -> Vec<String> {
    let mut sources = Vec::new();
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            sources.extend(library_sources(&path));
        } else if name.ends_with(".rs") && name != "tests.rs" {
            sources.push(fs::read_to_string(&path).unwrap());
        }
    }
    sources
}

#[test]
fn every_documented_event_is_emitted() {
    let sources = library_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let documented = documented();
    assert!(documented.len() >= 15, "{}", documented.len());
    for message in documented.keys() {
        let literal = format!("\"{message}\"");
        // A long literal continues on the next line.
        let emits = |source: &String| {
            source.split("\\\n").map(str::trim_start).collect::<String>().contains(&literal)
        };
        assert!(sources.iter().any(emits), "not emitted: {message}");
    }
}
