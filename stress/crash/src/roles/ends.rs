//! Ends of a process that nobody prepared, with appends in flight.

use std::{io::Read, panic, process, sync::Arc, thread};

use ministore_crash::{child::tell, place::On};
use ministore_uring::JournalOptions;
use serde::{Serialize, Serializer};

use super::writer;

/// Cannot be serialized.
struct Panics;

impl Serialize for Panics {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("in the middle of serializing")
    }
}

/// Writes for a while, and ends.
pub(crate) fn run(how: &str, on: &str, path: &str) {
    let on: On = on.parse().expect("a backend");
    let options = JournalOptions::new().backend(on.0).max_segment_bytes(4000);
    let store = Arc::new(writer::opened(options, path));
    for writer in 0..3 {
        let store = Arc::clone(&store);
        thread::spawn(move || writer::one_by_one(&store, 0, writer));
    }
    let store_of_three = Arc::clone(&store);
    thread::spawn(move || writer::many_in_flight(&store_of_three, 0, 3));
    while store.durable_seq() < 200 {
        thread::yield_now();
    }
    match how {
        "abort" => process::abort(),
        "exit" => process::exit(7),
        // What a program does that is compiled with `panic = "abort"`: no destructor runs.
        "panic-abort" => {
            panic::set_hook(Box::new(|_| process::abort()));
            drop(store.blocking().append(&Panics));
        }
        // The threads are still at work when the last destructors of the process run.
        "return" => {}
        "wait" => {
            tell("waiting");
            drop(std::io::stdin().read_to_end(&mut Vec::new()));
        }
        other => panic!("no end: {other}"),
    }
}
