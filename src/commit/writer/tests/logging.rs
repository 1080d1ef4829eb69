//! What an operator is told: each thing once, where it begins, with all that docs/reference/events.md says of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use tracing::Level;

use super::{
    capture::{Told, listen, told_of},
    *,
};

/// The table of the documentation: a message, its level, its fields.
fn documented() -> BTreeMap<&'static str, (&'static str, BTreeSet<&'static str>)> {
    let page = include_str!("../../../../docs/reference/events.md");
    let table = page.split("\n## Events\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let fields = cells[3].split(", ").map(|field| field.trim_matches('`')).collect();
        (cells[1].trim_matches('`'), (cells[2], fields))
    });
    rows.collect()
}

/// What was told of the rig's journal. Each must be documented, as it was told.
fn told(dir: &Path) -> Vec<Told> {
    let (told, documented) = (told_of(dir), documented());
    for Told { level, message, fields } in &told {
        let Some((as_level, as_fields)) = documented.get(message.as_str()) else {
            panic!("not in docs/reference/events.md: {message}");
        };
        assert_eq!(*as_level, level.to_string().to_lowercase(), "{message}");
        assert_eq!(*as_fields, fields.keys().copied().collect(), "{message}");
    }
    told
}

/// The one event with this message.
fn the_one(dir: &Path, message: &str) -> Told {
    let mut told: Vec<_> = told(dir).into_iter().filter(|told| told.message == message).collect();
    assert_eq!(told.len(), 1, "{message}: {told:?}");
    told.remove(0)
}

fn count(dir: &Path, message: &str) -> usize {
    told(dir).iter().filter(|told| told.message == message).count()
}

fn rig(kind: BackendKind, options: JournalOptions) -> Rig {
    listen();
    Rig::open(kind, options)
}

#[test]
fn open_and_close_are_logged() {
    for kind in lanes() {
        let rig = rig(kind, JournalOptions::new());
        rig.append(0).unwrap();
        finish(rig.store.close()).unwrap();
        let opened = the_one(rig.dir.path(), "opened");
        assert_eq!((opened.level, opened.fields["next_seq"].as_str()), (Level::INFO, "1"));
        assert_eq!(opened.fields["created"], "true");
        assert_eq!(opened.fields["backend"], kind.to_string());
        let stats = rig.store.stats();
        assert_eq!(opened.fields["direct_io"], stats.direct_io.to_string());
        assert_eq!(opened.fields["sync_mode"], stats.sync_mode.to_string());
        assert_eq!(the_one(rig.dir.path(), "closed").fields["next_seq"], "2");
    }
}

#[test]
fn truncated_tail_is_logged_with_side_file() {
    for kind in lanes() {
        let rig = rig(kind, JournalOptions::new());
        let path = rig.path.canonicalize().unwrap();
        rig.append(0).unwrap();
        finish(rig.store.close()).unwrap();
        // As if the process had been killed while it wrote: no mark, and half a group.
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 2);
        let end = bytes.len();
        bytes.extend_from_slice(b"\n{\"half\":");
        fs::write(&path, &bytes).unwrap();
        drop(open_on(kind, JournalOptions::new(), &path, &FaultInjector::new()).unwrap());
        let cut = the_one(rig.dir.path(), "truncated torn tail");
        assert_eq!(cut.level, Level::WARN);
        assert_eq!(cut.fields["segment"], path.display().to_string());
        assert_eq!(
            (cut.fields["offset"].as_str(), cut.fields["bytes"].as_str()),
            (&*(end + 1).to_string(), "8")
        );
        assert_eq!(fs::read(&cut.fields["saved_to"]).unwrap(), b"{\"half\":");
        let opened = told(rig.dir.path()).into_iter().rfind(|told| told.message == "opened").unwrap();
        assert_eq!(
            (opened.fields["truncated_bytes"].as_str(), opened.fields["next_seq"].as_str()),
            ("8", "2")
        );
    }
}

#[test]
fn completed_rotation_and_legacy_upgrade_are_logged() {
    for kind in lanes() {
        let rig = rig(kind, JournalOptions::new().checksums(false));
        rig.append(0).unwrap();
        finish(rig.store.close()).unwrap();
        drop(open_on(kind, JournalOptions::new(), &rig.path, &FaultInjector::new()).unwrap());
        assert_eq!(the_one(rig.dir.path(), "added checksums to a legacy segment").fields["next_seq"], "2");
        // The lock is free when the closing is over, which opening waits for.
        finish(open_on(kind, JournalOptions::new(), &rig.path, &FaultInjector::new()).unwrap().close())
            .unwrap();
        fs::rename(&rig.path, rig.path.with_extension("001")).unwrap();
        drop(open_on(kind, JournalOptions::new(), &rig.path, &FaultInjector::new()).unwrap());
        the_one(rig.dir.path(), "completed interrupted rotation");
    }
}

#[test]
fn rotation_and_retention_deletes_are_logged() {
    for kind in lanes() {
        let rig = rig(kind, JournalOptions::new().max_segments(2));
        for record in 0..2 {
            rig.append(record).unwrap();
            finish(rig.store.rotate()).unwrap();
        }
        finish(rig.store.close()).unwrap();
        let rotated: Vec<_> =
            told(rig.dir.path()).into_iter().filter(|told| told.message.starts_with("rotated")).collect();
        let path_of = |number| rig.path.canonicalize().unwrap().with_extension(number).display().to_string();
        assert_eq!(rotated.len(), 2);
        for (told, (number, next_seq)) in rotated.iter().zip([("001", "2"), ("002", "3")]) {
            assert_eq!(
                (&told.fields["segment"], told.fields["next_seq"].as_str()),
                (&path_of(number), next_seq)
            );
            assert_eq!(told.level, Level::INFO);
        }
        let deleted = the_one(rig.dir.path(), "deleted a segment");
        assert_eq!((deleted.level, &deleted.fields["segment"]), (Level::INFO, &path_of("001")));
        assert_eq!((deleted.fields["records"].as_str(), deleted.fields["first_seq"].as_str()), ("1", "2"));
    }
}

#[test]
fn legacy_retention_is_announced_at_open() {
    for kind in lanes() {
        let options = JournalOptions::from(crate::MiniStoreOptions::new().max_segments(3));
        let mut rig = rig(kind, options.clone());
        let (announced, warned) = (
            "rotations keep at most max_segments segments and delete older ones",
            "the next rotation deletes the oldest segment",
        );
        assert_eq!(count(rig.dir.path(), warned), 0);
        let event = the_one(rig.dir.path(), announced);
        assert_eq!((event.level, event.fields["segments"].as_str()), (Level::INFO, "1"));
        assert_eq!(event.fields["max_segments"], "3");
        for record in 0..2 {
            rig.append(record).unwrap();
            finish(rig.store.rotate()).unwrap();
        }
        finish(rig.store.close()).unwrap();
        rig.store = open_on(kind, options, &rig.path, &rig.faults).unwrap();
        let warning = the_one(rig.dir.path(), warned);
        assert_eq!((warning.level, warning.fields["segments"].as_str()), (Level::WARN, "3"));
    }
}

#[test]
fn slow_commit_is_logged_with_its_size() {
    for kind in lanes() {
        let rig = rig(kind, JournalOptions::new().slow_commit_threshold(Duration::from_nanos(1)));
        finish(rig.store.append_batch([1u64, 22])).unwrap();
        finish(rig.store.close()).unwrap();
        let slow = the_one(rig.dir.path(), "slow commit");
        let field = |name| slow.fields[name].as_str();
        assert_eq!(
            (slow.level, field("seq"), field("records"), field("bytes")),
            (Level::WARN, "1", "2", "3")
        );
        assert!(
            field("segment") == rig.path.canonicalize().unwrap().to_str().unwrap()
                && field("latency").ends_with('s')
        );
        assert_eq!(rig.store.stats().slow_commits, 1);
    }
}

#[test]
fn fast_commit_is_not_logged() {
    let rig = rig(BackendKind::Blocking, JournalOptions::new().slow_commit_threshold(None));
    rig.append(0).unwrap();
    finish(rig.store.close()).unwrap();
    assert_eq!((count(rig.dir.path(), "slow commit"), rig.store.stats().slow_commits), (0, 0));
}

#[test]
fn disk_full_and_space_available_are_logged_once() {
    for kind in lanes() {
        let rig = rig(kind, JournalOptions::new());
        rig.append(0).unwrap();
        rig.settle();
        // Each more than what is written ahead by then.
        for (batch, bytes) in [(1, 200 << 10), (2, 8 << 20)] {
            let large = "x".repeat(bytes);
            rig.faults.set_space_limit(0);
            assert!((0..3).all(|_| is_full(&finish(rig.store.append(&large)))));
            assert_eq!(count(rig.dir.path(), "disk full; rejecting appends until space is freed"), batch);
            rig.faults.clear_space_limit();
            (0..3).for_each(|_| finish(rig.store.append(&large)).unwrap());
            assert_eq!(count(rig.dir.path(), "disk space available; accepting appends"), batch);
            let complaints = count(rig.dir.path(), "could not create or rotate a segment; will retry");
            assert!(complaints <= batch, "{complaints} in batch {batch}");
        }
    }
}

#[test]
fn poisoning_failure_is_logged_once() {
    for kind in lanes() {
        let rig = rig(kind, JournalOptions::new());
        rig.append(0).unwrap();
        rig.settle();
        rig.faults.fail(Op::Commit, 1, Errno::IO);
        (1..5).for_each(|record| assert!(rig.append(record).is_err()));
        assert!(finish(rig.store.close()).is_err());
        let stopped = the_one(rig.dir.path(), "write or sync failed; journal poisoned until reopened");
        assert_eq!(stopped.level, Level::ERROR);
        assert!(stopped.fields["error"].contains("os error 5"), "{stopped:?}");
        the_one(rig.dir.path(), "close failed");
        assert_eq!(count(rig.dir.path(), "closed"), 0);
        assert!(rig.store.stats().poisoned);
    }
}

#[test]
fn io_uring_fallback_is_logged_with_likely_cause() {
    listen();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("j");
    // For this thread, and those it starts.
    thread::scope(|scope| {
        scope.spawn(|| {
            refuse_io_uring();
            let store = JournalOptions::new().open_blocking(&path).unwrap();
            store.blocking().append(&1).unwrap();
            store.blocking().rotate().unwrap();
            store.blocking().close().unwrap();
        });
    });
    let log_fallback = the_one(dir.path(), "io_uring unavailable; using blocking system calls");
    assert_eq!(log_fallback.level, Level::WARN);
    assert!(log_fallback.fields["hint"].contains("seccomp"), "{log_fallback:?}");
    assert_eq!(the_one(dir.path(), "opened").fields["backend"], "blocking");
}

/// As Docker's default profile does.
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
    for kind in lanes() {
        let rig = rig(kind, JournalOptions::new());
        if !rig.store.stats().direct_io {
            // A file system that refuses them at once: told when the journal was opened.
            the_one(rig.dir.path(), "O_DIRECT not supported; using buffered writes");
            continue;
        }
        // One that takes the flag and refuses the write, in every segment.
        for record in 0..3 {
            rig.settle();
            rig.faults.fail(Op::Commit, 1, Errno::INVAL);
            rig.append(record).unwrap();
            finish(rig.store.rotate()).unwrap();
        }
        let refused = the_one(rig.dir.path(), "O_DIRECT not supported; using buffered writes");
        assert_eq!(refused.level, Level::INFO);
    }
}

/// tmpfs is none of the file systems whose `O_DSYNC` is trusted.
#[test]
fn untrusted_file_system_is_reported_once() {
    const TMPFS_MAGIC: u32 = 0x0102_1994;
    let is_tmpfs = rustix::fs::statfs("/dev/shm").is_ok_and(|found| found.f_type as u32 == TMPFS_MAGIC);
    let Some(dir) = tempfile::tempdir_in("/dev/shm").ok().filter(|_| is_tmpfs) else {
        eprintln!("SKIPPED: events of an untrusted file system: /dev/shm is no tmpfs");
        return;
    };
    listen();
    for (kind, mode) in lanes().into_iter().flat_map(|kind| SYNC_MODES.map(|mode| (kind, mode))) {
        let dir = tempfile::tempdir_in(dir.path()).unwrap();
        let options = JournalOptions::new().sync_mode(mode).max_segment_bytes(1000);
        let store = open_on(kind, options, &dir.path().join("j"), &FaultInjector::new()).unwrap();
        for record in 0..3 {
            finish(store.append(&record)).unwrap();
            finish(store.rotate()).unwrap();
        }
        let stats = store.stats();
        assert_eq!((stats.sync_mode, stats.direct_io), (SyncKind::Fdatasync, false));
        assert_eq!(the_one(dir.path(), "opened").fields["sync_mode"], "fdatasync");
        let message = "O_DIRECT not trusted on this file system; using buffered writes";
        assert_eq!(the_one(dir.path(), message).level, Level::INFO);
        let message = "O_DSYNC not trusted on this file system; using fdatasync";
        assert_eq!(count(dir.path(), message), usize::from(mode == SyncMode::Dsync), "{mode}");
    }
}

/// The text of every source file below `dir`, without the tests.
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
        // A long one goes on in the next line.
        let tells = |source: &String| {
            source.split("\\\n").map(str::trim_start).collect::<String>().contains(&literal)
        };
        assert!(sources.iter().any(tells), "nobody tells: {message}");
    }
}
