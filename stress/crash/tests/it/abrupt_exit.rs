//! Processes that exit without closing the store, with appends in flight.

use std::os::unix::process::ExitStatusExt;

use ministore_crash::{child::ChildProcess, model::Model, record::RecordId, workdir::Workdir};

use super::{base_dir, on_each_backend, program};

const SIGABRT: i32 = 6;

/// Runs a writer that exits as `how` says, and checks that the journal contains every acknowledged record.
fn check_exit(how: &str, code: Option<i32>, signal: Option<i32>) {
    on_each_backend(|backend| {
        let workdir = Workdir::new(base_dir());
        let path = workdir.path().to_str().unwrap();
        let mut process = ChildProcess::start(program(), ["end", how, &backend.to_string(), path]);
        let mut model = Model::new();
        while let Some(line) = process.next_report() {
            let words: Vec<_> = line.split(' ').collect();
            if words[0] == "ack" {
                let [seq, round, writer, count, index] =
                    [1, 2, 3, 4, 5].map(|n| words[n].parse::<u32>().unwrap());
                model.acknowledge(seq.into(), RecordId { round, writer, count, index });
            }
        }
        let status = process.child.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (code, signal));
        assert!(model.acknowledged() > 100, "{} acknowledged", model.acknowledged());
        model.check_all(workdir.path());
        let options = ministore_uring::JournalOptions::new().backend(backend);
        let store = options.open_blocking(workdir.path()).unwrap();
        assert_eq!(store.durable_seq(), model.newest());
        store.blocking().close().unwrap();
        model.check_all(workdir.path());
    });
}

#[test]
fn acknowledged_records_survive_abort() {
    check_exit("abort", None, Some(SIGABRT));
}

#[test]
fn acknowledged_records_survive_exit() {
    check_exit("exit", Some(7), None);
}

#[test]
fn acknowledged_records_survive_return_from_main() {
    check_exit("return", Some(0), None);
}

#[test]
fn acknowledged_records_survive_aborting_panic() {
    check_exit("panic-abort", None, Some(SIGABRT));
}
