//! The backends, also where the kernel refuses io_uring.

use std::collections::BTreeMap;

use ministore_uring::{Backend, BackendKind, JournalOptions, MiniStoreError};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use crate::support::{
    TempJournal, child, child_args, for_each_commit_path, on_each_backend, replay, report, reported,
    tokio_run,
};

/// The same number on every architecture.
const SYS_IO_URING_SETUP: i64 = 425;

const EPERM: u32 = 1;

/// The backends that are compiled in and need io_uring.
const RING_BACKENDS: &[Backend] = &[
    Backend::Uring,
    #[cfg(feature = "tokio-uring")]
    Backend::TokioUring,
];

/// Makes `io_uring_setup` fail for this thread and those it starts, as Docker's default seccomp profile does.
fn refuse_io_uring() {
    let filter = SeccompFilter::new(
        BTreeMap::from([(SYS_IO_URING_SETUP, vec![])]),
        SeccompAction::Allow,
        SeccompAction::Errno(EPERM),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

/// Runs `body` in a child process in which io_uring is refused.
fn in_refused_process(name: &str, body: impl FnOnce()) {
    if child_args().is_some() {
        refuse_io_uring();
        body();
        return report("done");
    }
    succeeds_in_child(name, "");
}

fn succeeds_in_child(name: &str, arg: &str) {
    let output = child(name, &[arg]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.lines().any(|line| reported(line) == Some("done")), "{output:?}");
}

/// Checks that `reopen` leaves no descriptor open. Other tests must not run in this process.
fn check_descriptors(reopen: impl Fn()) {
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    reopen();
    let before = descriptors();
    (0..10).for_each(|_| reopen());
    assert_eq!(descriptors(), before, "descriptors open after ten stores were opened and closed");
}

#[test]
fn refused_uring_reports_the_likely_cause() {
    in_refused_process("backends::refused_uring_reports_the_likely_cause", || {
        for backend in RING_BACKENDS {
            let journal = TempJournal::new();
            let opened = JournalOptions::new().backend(*backend).open_blocking(journal.path());
            let Err(error @ MiniStoreError::BackendUnavailable { .. }) = opened else { panic!("{opened:?}") };
            let text = error.to_string();
            assert!(text.contains("seccomp") && text.contains("kernel.io_uring_disabled"), "{text}");
            assert_eq!(journal.names(), Vec::<String>::new(), "nothing was created");
            // The failed open left no lock.
            JournalOptions::new().backend(Backend::Blocking).open_blocking(journal.path()).unwrap();
        }
    });
}

#[test]
fn auto_falls_back_when_uring_is_refused() {
    in_refused_process("backends::auto_falls_back_when_uring_is_refused", || {
        let journal = TempJournal::new();
        let store = JournalOptions::new().open_blocking(journal.path()).unwrap();
        assert_eq!(store.stats().backend, BackendKind::Blocking);
        store.blocking().append_batch([1, 2]).unwrap();
        store.blocking().rotate().unwrap();
        store.blocking().append(&3).unwrap();
        store.blocking().close().unwrap();
        assert_eq!(replay::<u32>(journal.path()).unwrap(), [1, 2, 3]);
    });
}

#[test]
fn refused_ring_leaks_no_descriptor() {
    in_refused_process("backends::refused_ring_leaks_no_descriptor", || {
        let journal = TempJournal::new();
        check_descriptors(|| {
            for backend in RING_BACKENDS {
                JournalOptions::new().backend(*backend).open_blocking(journal.path()).unwrap_err();
            }
            let store = JournalOptions::new().open_blocking(journal.path()).unwrap();
            store.blocking().close().unwrap();
        });
    });
}

#[test]
fn auto_selects_available_uring() {
    let journal = TempJournal::new();
    let has_uring = JournalOptions::new().backend(Backend::Uring).open_blocking(journal.path()).is_ok();
    let store = JournalOptions::new().open_blocking(journal.path()).unwrap();
    let expected = if has_uring { BackendKind::Uring } else { BackendKind::Blocking };
    assert_eq!(store.stats().backend, expected);
}

#[test]
fn selected_backend_is_used() {
    on_each_backend(|backend| {
        let journal = TempJournal::new();
        let store = JournalOptions::new().backend(backend).open_blocking(journal.path()).unwrap();
        assert_eq!(store.stats().backend.to_string(), backend.to_string());
    });
}

#[cfg(not(feature = "tokio-uring"))]
#[test]
fn missing_feature_makes_backend_unavailable() {
    let journal = TempJournal::new();
    let opened = JournalOptions::new().backend(Backend::TokioUring).open_blocking(journal.path());
    let Err(error @ MiniStoreError::BackendUnavailable { .. }) = opened else { panic!("{opened:?}") };
    assert!(error.to_string().contains("feature tokio-uring"), "{error}");
    assert_eq!(journal.names(), Vec::<String>::new(), "nothing was created");
}

/// The writer thread has a runtime of its own: that of the caller does not matter.
#[test]
fn every_backend_runs_below_a_tokio_runtime() {
    on_each_backend(|backend| {
        let journal = TempJournal::new();
        tokio_run(async {
            let store = JournalOptions::new().backend(backend).open(journal.path()).await.unwrap();
            store.append_batch([1, 2]).await.unwrap();
            store.close().await.unwrap();
        });
        assert_eq!(replay::<u32>(journal.path()).unwrap(), [1, 2]);
    });
}

#[test]
fn closed_stores_leave_no_descriptor() {
    if let Some(args) = child_args() {
        let journal = TempJournal::new();
        check_descriptors(|| {
            let options = JournalOptions::new().backend(args[0].parse().unwrap());
            let store = options.open_blocking(journal.path()).unwrap();
            store.blocking().append(&1).unwrap();
            store.blocking().rotate().unwrap();
            store.blocking().append(&2).unwrap();
            store.blocking().close().unwrap();
        });
        return report("done");
    }
    on_each_backend(|backend| {
        succeeds_in_child("backends::closed_stores_leave_no_descriptor", &backend.to_string());
    });
}

#[test]
fn buffered_and_direct_commits_write_the_same_bytes() {
    for_each_commit_path(|options| {
        let closed = |direct: bool| {
            let journal = TempJournal::new();
            let store = options.clone().direct_io(direct).open_blocking(journal.path()).unwrap();
            for n in 0..200usize {
                store.blocking().append(&"x".repeat(n * 7)).unwrap();
            }
            assert!(direct || !store.stats().direct_io);
            store.blocking().close().unwrap();
            journal.bytes()
        };
        assert!(closed(true) == closed(false));
    });
}

#[test]
fn journal_moves_between_backends_and_write_modes() {
    let journal = TempJournal::new();
    for preallocate in [true, false, true] {
        for_each_commit_path(|options| {
            let store = options.preallocate(preallocate).open_blocking(journal.path()).unwrap();
            let before = store.durable_seq();
            store.blocking().append(&(before + 1)).unwrap();
        });
    }
    let values = replay::<u64>(journal.path()).unwrap();
    assert!(values.len() >= 3);
    assert_eq!(values, (1..=values.len() as u64).collect::<Vec<_>>());
}
