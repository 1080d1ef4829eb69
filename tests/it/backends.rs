//! The backends, also where the kernel refuses io_uring.

use std::collections::BTreeMap;

use ministore_uring::{Backend, BackendKind, JournalOptions, MiniStoreError};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use crate::support::{
    TempJournal, child, child_args, for_each_commit_path, on_each_backend, replay, report, reported,
};

/// The same number on every architecture.
const SYS_IO_URING_SETUP: i64 = 425;

const EPERM: u32 = 1;

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
    let output = child(name, &[""]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.lines().any(|line| reported(line) == Some("done")), "{output:?}");
}

#[test]
fn refused_uring_reports_the_likely_cause() {
    in_refused_process("backends::refused_uring_reports_the_likely_cause", || {
        let journal = TempJournal::new();
        let opened = JournalOptions::new().backend(Backend::Uring).open_blocking(journal.path());
        let Err(error @ MiniStoreError::BackendUnavailable { .. }) = opened else { panic!("{opened:?}") };
        let text = error.to_string();
        assert!(text.contains("seccomp") && text.contains("kernel.io_uring_disabled"), "{text}");
        assert_eq!(journal.names(), Vec::<String>::new(), "nothing was created");
        // The failed open left no lock.
        JournalOptions::new().backend(Backend::Blocking).open_blocking(journal.path()).unwrap();
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
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let journal = TempJournal::new();
        let reopen = || {
            let store = JournalOptions::new().open_blocking(journal.path()).unwrap();
            store.blocking().close().unwrap();
        };
        reopen();
        let before = descriptors();
        for _ in 0..10 {
            reopen();
        }
        assert_eq!(descriptors(), before, "descriptors open after ten stores were opened and closed");
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
        let used = store.stats().backend;
        assert_eq!(used, if backend == Backend::Uring { BackendKind::Uring } else { BackendKind::Blocking });
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
