//! Process exits without a close of the store, with appends in flight.

use std::{io::Read, panic, process, sync::Arc, thread};

use ministore_crash::child::report;
use ministore_uring::{Backend, JournalOptions};
use serde::{Serialize, Serializer};

use super::writer;

struct PanickingRecord;

impl Serialize for PanickingRecord {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("panic during serialization")
    }
}

/// Writes from four threads, then exits as `how` says.
pub(crate) fn run(how: &str, backend: &str, path: &str) {
    let backend: Backend = backend.parse().expect("a backend");
    let options = JournalOptions::new().backend(backend).max_segment_bytes(4000);
    let store = Arc::new(writer::open(options, path));
    for writer in 0..3 {
        let store = Arc::clone(&store);
        thread::spawn(move || writer::append_one_by_one(&store, 0, writer));
    }
    let last_writer_store = Arc::clone(&store);
    thread::spawn(move || writer::append_pipelined(&last_writer_store, 0, 3));
    while store.durable_seq() < 200 {
        thread::yield_now();
    }
    match how {
        "abort" => process::abort(),
        "exit" => process::exit(7),
        // As in a program compiled with `panic = "abort"`: no destructor runs.
        "panic-abort" => {
            panic::set_hook(Box::new(|_| process::abort()));
            drop(store.blocking().append(&PanickingRecord));
        }
        // The writer threads still run while `main` returns.
        "return" => {}
        "wait" => {
            report("waiting");
            drop(std::io::stdin().read_to_end(&mut Vec::new()));
        }
        other => panic!("unknown exit: {other}"),
    }
}
