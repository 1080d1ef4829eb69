//! Runs every model under many interleavings.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use ministore_modelled::models::{ALL, Model};
use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
};
use tempfile::TempDir;

/// The number of interleavings of a model with each of the two schedulers, unless `MODEL_EXECUTIONS` is set.
const EXECUTIONS: usize = 60;

/// The number of preemptions in an execution under the priority-based scheduler (PCT).
const PREEMPTIONS: usize = 3;

/// The seed of both schedulers, unless `SHUTTLE_RANDOM_SEED` is set.
const SEED: u64 = 0x6d69_6e69_7374_6f72;

macro_rules! tests {
    ($($name:ident)+) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })+

        #[test]
        fn every_model_is_tested() {
            let tested = [$(stringify!($name)),+];
            assert_eq!(ALL.iter().map(|model| model.name).collect::<Vec<_>>(), tested);
        }
    };
}

tests! {
    appends_are_acknowledged_once_in_order
    dropped_futures_do_not_affect_others
    full_queue_accepts_no_more
    capacity_is_granted_in_request_order
    failure_rejects_appends_waiting_for_capacity
    close_writes_or_rejects_waiting_appends
    unpolled_appends_block_no_others
    new_appends_do_not_overtake_waiting_ones
    waiting_appends_may_be_dropped_at_any_moment
    dropping_the_first_waiting_append_accepts_others
    waiting_appends_end_with_a_failure
    waiting_appends_end_with_a_close
    failed_commit_ends_acknowledgements
    failure_racing_a_close_replies_to_all_callers
    requests_racing_a_close_succeed_or_are_rejected
    last_handle_may_be_dropped_with_pending_appends
    closed_journal_can_be_opened_at_once
    cancelled_open_leaves_no_lock
    concurrent_opens_exclude_each_other
    open_waits_for_a_lock_being_released
    stream_yields_every_record_or_may_be_dropped
    stream_reports_corruption_before_it_ends
    parallel_replay_is_complete_and_in_order
    parked_writer_wakes_for_every_message
    last_waker_is_notified_of_the_outcome
    panicked_writer_rejects_all_callers
    commit_delay_loses_no_append
    commit_delay_ends_with_the_group
    commit_delay_ends_at_its_bytes_or_a_full_queue
    freed_group_capacity_serves_all_waiting_appends
    rotation_loses_no_record
    rotation_with_preallocation_loses_no_record
    failed_rename_replies_to_all_callers
    held_records_survive_concurrent_trims
    hold_racing_a_close_succeeds_or_is_rejected
    wait_durable_returns_or_fails_at_close
    wait_durable_reports_a_failed_commit
    follower_yields_every_record_and_the_end
}

fn check(name: &str) {
    let model = *ALL.iter().find(|model| model.name == name).unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| run(model, configured_executions(), &count)));
    let executions = count.load(Ordering::Relaxed);
    if let Err(panic) = outcome {
        eprintln!(
            "replay with the seed above: SHUTTLE_RANDOM_SEED=... cargo test -p ministore-concurrency --test concurrency {name}"
        );
        std::panic::resume_unwind(panic);
    }
    assert!(executions > 0, "{name} did not run");
    eprintln!("{name}: {executions} interleavings in {:.1} s", started.elapsed().as_secs_f64());
}

fn configured_executions() -> usize {
    std::env::var("MODEL_EXECUTIONS").map_or(EXECUTIONS, |text| text.parse().unwrap())
}

fn run(model: Model, executions: usize, count: &Arc<AtomicU64>) {
    run_under(RandomScheduler::new_from_seed(SEED, executions), model, count);
    if std::env::var_os("SHUTTLE_RANDOM_SEED").is_none() {
        run_under(PctScheduler::new_from_seed(SEED, PREEMPTIONS, executions), model, count);
    }
}

fn run_under(scheduler: impl Scheduler + 'static, model: Model, count: &Arc<AtomicU64>) {
    let mut config = Config::new();
    config.stack_size = 512 << 10;
    config.silence_warnings = true;
    let directory = JournalDir::new();
    let (path, count) = (directory.path(), Arc::clone(count));
    Runner::new(scheduler, config).run(move || {
        count.fetch_add(1, Ordering::Relaxed);
        recreate(&path);
        (model.body)(&path);
    });
}

/// The directory of the journal, used by one execution after the other; in memory if `/dev/shm` exists.
struct JournalDir(TempDir);

impl JournalDir {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        Self(tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("journal")
    }
}

fn recreate(dir: &Path) {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir(dir).unwrap();
}
