//! Processes that end in ways that nobody prepared, with appends in flight.

use std::os::unix::process::ExitStatusExt;

use ministore_crash::{child::Talking, entry::Mark, model::Model, place::Place};

use super::{on_each_backend, parent, program};

const SIGABRT: i32 = 6;

/// Ends a process so; everything that it was told is durable is there.
fn end(how: &str, code: Option<i32>, signal: Option<i32>) {
    on_each_backend(|on| {
        let place = Place::new(parent());
        let path = place.path().to_str().unwrap();
        let mut process = Talking::start(program(), ["end", how, &on.to_string(), path]);
        let mut model = Model::new();
        while let Some(line) = process.told() {
            let words: Vec<_> = line.split(' ').collect();
            if words[0] == "ack" {
                let [seq, round, writer, count, place] =
                    [1, 2, 3, 4, 5].map(|n| words[n].parse::<u32>().unwrap());
                model.acknowledge(seq.into(), Mark { round, writer, count, place });
            }
        }
        let status = process.child.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (code, signal));
        assert!(model.len() > 100, "{} acknowledged", model.len());
        model.check_all(place.path());
        let store = ministore_uring::JournalOptions::new().backend(on.0).open_blocking(place.path()).unwrap();
        assert_eq!(store.durable_seq(), model.newest());
        store.blocking().close().unwrap();
        model.check_all(place.path());
    });
}

#[test]
fn what_was_acknowledged_survives_abort() {
    end("abort", None, Some(SIGABRT));
}

#[test]
fn what_was_acknowledged_survives_exit() {
    end("exit", Some(7), None);
}

#[test]
fn what_was_acknowledged_survives_the_end_of_main() {
    end("return", Some(0), None);
}

#[test]
fn what_was_acknowledged_survives_a_panic_that_aborts() {
    end("panic-abort", None, Some(SIGABRT));
}
