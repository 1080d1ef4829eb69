//! Every model under thousands of interleavings; then the engine is broken on purpose, one bug at a time, and a model
//! must notice.

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

use ministore_modelled::models::{ALL, Bug, Model, with_bug};
use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
};
use tempfile::TempDir;

/// Interleavings of a model that are tried with each of the two schedulers, unless `MODEL_EXECUTIONS` says otherwise.
const EXECUTIONS: usize = 60;

/// The same for a model that is to notice a bug, and ends when it does.
const EXECUTIONS_TO_NOTICE: usize = 1000;

/// Preemptions at the worst moment that the priority-driven scheduler looks for.
const PREEMPTIONS: usize = 3;

/// Where the first execution of a model begins, unless `SHUTTLE_RANDOM_SEED` says otherwise.
const SEED: u64 = 0x6d69_6e69_7374_6f72;

macro_rules! tests {
    ($($name:ident)+) => {
        $(#[test]
        fn $name() {
            hold(stringify!($name));
        })+

        #[test]
        fn every_model_is_run() {
            let here = [$(stringify!($name)),+];
            assert_eq!(ALL.iter().map(|model| model.name).collect::<Vec<_>>(), here);
        }
    };
}

tests! {
    every_append_is_answered_once_and_in_order
    whoever_gives_up_hurts_nobody
    no_more_is_accepted_than_there_is_room_for
    room_is_granted_in_the_order_it_was_asked_for
    whoever_waits_for_room_learns_that_there_will_be_none
    whoever_waits_for_room_at_a_close_is_written_or_refused
    unpolled_appends_block_no_others
    new_appends_do_not_overtake_waiting_ones
    waiting_appends_may_be_dropped_at_any_moment
    dropping_the_first_waiting_append_accepts_others
    waiting_appends_end_with_a_failure
    waiting_appends_end_with_a_close
    nothing_is_acknowledged_after_a_failed_commit
    a_failure_racing_a_close_answers_everybody
    what_races_a_close_is_written_or_refused
    the_last_handle_may_go_before_the_answers_come
    a_closed_journal_is_free_at_once
    a_cancelled_open_leaves_the_journal_free
    one_of_two_openers_gets_the_journal
    a_lock_is_waited_for_while_it_is_being_released
    a_stream_gives_every_record_or_may_be_dropped
    a_stream_tells_an_error_from_the_end
    what_is_read_in_parallel_is_whole_and_in_order
    a_parked_writer_hears_of_whatever_comes
    whoever_asked_last_learns_the_outcome
    a_writer_that_ends_without_a_word_refuses_everybody
    a_commit_delay_loses_nobody
    what_ends_a_group_ends_its_delay
    what_is_enough_ends_a_delay_and_so_does_a_full_queue
    room_that_comes_back_in_one_piece_serves_all_who_waited
    no_record_is_lost_between_segments
    segments_written_ahead_lose_no_record
    a_failed_rename_answers_everybody
    what_is_held_stays_while_others_release_it
    what_is_asked_at_a_close_is_done_or_refused
    whoever_waits_for_a_number_is_told_or_refused
    whoever_waits_for_a_number_learns_of_a_failure
    a_follower_gets_every_record_and_the_end
}

/// The model that is to notice each bug.
const NOTICED_BY: &[(Bug, &str)] = &[
    (Bug::AppendTakesNoPermits, "no_more_is_accepted_than_there_is_room_for"),
    (Bug::PermitsNeverReleased, "whoever_gives_up_hurts_nobody"),
    (Bug::AppendOvertakesWaiters, "new_appends_do_not_overtake_waiting_ones"),
    (Bug::FreedCapacityNotGranted, "unpolled_appends_block_no_others"),
    (Bug::GrantWithoutWake, "new_appends_do_not_overtake_waiting_ones"),
    (Bug::DroppedAppendStaysQueued, "waiting_appends_may_be_dropped_at_any_moment"),
    (Bug::WaitersFailBeforeCause, "whoever_waits_for_room_learns_that_there_will_be_none"),
    (Bug::WaitersClosedBeforeReason, "whoever_waits_for_room_at_a_close_is_written_or_refused"),
    (Bug::NotifyBeforePublish, "every_append_is_answered_once_and_in_order"),
    (Bug::CommitAfterFailure, "nothing_is_acknowledged_after_a_failed_commit"),
    (Bug::GroupEndingCommandLost, "what_races_a_close_is_written_or_refused"),
    (Bug::ReleaseNotAnnounced, "the_last_handle_may_go_before_the_answers_come"),
    (Bug::UnlockWithoutNotify, "a_lock_is_waited_for_while_it_is_being_released"),
    (Bug::SwitchBeforeRename, "no_record_is_lost_between_segments"),
    (Bug::ReadErrorAsEnd, "a_stream_tells_an_error_from_the_end"),
    (Bug::PartsInParseOrder, "what_is_read_in_parallel_is_whole_and_in_order"),
    (Bug::AbandonedOpenUnnoticed, "a_cancelled_open_leaves_the_journal_free"),
    (Bug::WaitWithoutRecheck, "whoever_asked_last_learns_the_outcome"),
    (Bug::WakeReplacedWaker, "whoever_asked_last_learns_the_outcome"),
    (Bug::ParkWithoutRecheck, "a_parked_writer_hears_of_whatever_comes"),
    (Bug::RequestsNotCancelledOnClose, "what_is_asked_at_a_close_is_done_or_refused"),
    (Bug::WaitSeqWithoutRecheck, "whoever_waits_for_a_number_is_told_or_refused"),
    (Bug::CloseWithoutNotify, "whoever_waits_for_a_number_learns_of_a_failure"),
];

#[test]
fn every_deliberate_bug_is_noticed() {
    assert_eq!(Bug::CONCURRENCY.to_vec(), NOTICED_BY.iter().map(|(bug, _)| *bug).collect::<Vec<_>>());
    let mut missed = Vec::new();
    for (bug, name) in NOTICED_BY {
        let count = Arc::new(AtomicU64::new(0));
        let broken = catch_unwind(AssertUnwindSafe(|| {
            with_bug(*bug, || run(model(name), EXECUTIONS_TO_NOTICE, &count))
        }));
        let executions = count.load(Ordering::Relaxed);
        match broken {
            Ok(()) => missed.push((bug, name, executions)),
            Err(_) => eprintln!("*** {bug:?}: noticed by {name} in execution {executions}"),
        }
    }
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}

fn model(name: &str) -> Model {
    *ALL.iter().find(|model| model.name == name).unwrap()
}

/// Checks that a model holds.
fn hold(name: &str) {
    let count = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| run(model(name), executions_wanted(), &count)));
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

fn executions_wanted() -> usize {
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
    let directory = Directory::new();
    let (path, count) = (directory.path(), Arc::clone(count));
    Runner::new(scheduler, config).run(move || {
        count.fetch_add(1, Ordering::Relaxed);
        empty(&path);
        (model.body)(&path);
    });
}

/// Where one execution after another keeps its journal: in memory, where the system has such a place.
struct Directory(TempDir);

impl Directory {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        Self(tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("journal")
    }
}

fn empty(dir: &Path) {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir(dir).unwrap();
}
