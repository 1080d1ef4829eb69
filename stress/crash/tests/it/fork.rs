//! `fork` while a journal is open. The child has a copy of the handle but no writer thread.

use ministore_crash::{child::ChildProcess, workdir::Workdir};

use super::{base_dir, on_each_backend, program};

fn run_scenario(name: &str) {
    on_each_backend(|backend| {
        let workdir = Workdir::new(base_dir());
        let path = workdir.path().to_str().unwrap();
        ChildProcess::start(program(), ["fork", name, &backend.to_string(), path]).finish();
    });
}

#[test]
fn forked_appends_fail_and_parent_continues() {
    run_scenario("under-load");
}

#[test]
fn drop_of_last_handle_in_child_changes_nothing() {
    run_scenario("last-handle");
}

#[test]
fn fork_during_open_returns_a_result() {
    run_scenario("opening");
}

#[test]
fn fork_during_close_does_not_block() {
    run_scenario("closing");
}

#[test]
fn forked_child_can_open_its_own_journals() {
    run_scenario("own-journal");
}

#[test]
fn readers_end_in_fork_and_continue_in_parent() {
    run_scenario("reading");
}

fn try_to_open(workdir: &Workdir) -> String {
    let reports = ChildProcess::start(program(), ["try", workdir.path().to_str().unwrap()]).finish();
    assert_eq!(reports.len(), 1, "{reports:?}");
    reports[0].clone()
}

#[test]
fn lock_of_killed_process_lasts_as_long_as_its_fork() {
    on_each_backend(|backend| {
        let workdir = Workdir::new(base_dir());
        let path = workdir.path().to_str().unwrap();
        let mut process = ChildProcess::start(program(), ["fork", "outlived", &backend.to_string(), path]);
        process.wait_for("forked");
        // `Child::wait` would close standard input, and the forked child would end.
        let stdin = process.child.stdin.take();
        process.kill();
        process.child.wait().unwrap();
        assert_eq!(try_to_open(&workdir), "locked 0", "the PID of a dead process must not be reported");
        drop(stdin);
        // The kernel closes the files of the child one by one while it exits, so some tries may come too early.
        assert!((0..1000).any(|_| try_to_open(&workdir) == "free"));
    });
}

#[test]
fn exec_after_fork_holds_no_lock() {
    on_each_backend(|backend| {
        let workdir = Workdir::new(base_dir());
        let path = workdir.path().to_str().unwrap();
        let mut process =
            ChildProcess::start(program(), ["fork", "outlived-by-exec", &backend.to_string(), path]);
        process.wait_for("forked");
        // `cat` returns its input as a report, which shows that it runs.
        let mut stdin = process.child.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, b"> running\n").unwrap();
        process.wait_for("running");
        process.kill();
        process.child.wait().unwrap();
        assert_eq!(try_to_open(&workdir), "free");
        drop(stdin);
    });
}
