//! The processes that the tests kill, fork, abort or query, and long runs: `ministore-crash rounds 5000`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::exit,
    reason = "tests"
)]

mod roles;

use std::{
    env, panic,
    process::{self, ExitCode},
};

fn main() -> ExitCode {
    let main_pid = process::id();
    panic::set_hook(Box::new(move |info| {
        eprintln!("{info}");
        // A panic on any thread ends the process at once. A forked child sends the message to its parent instead.
        if process::id() == main_pid {
            process::exit(101);
        }
    }));
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match *args.as_slice() {
        ["write", path, round, options] => roles::writer::run(path, round, options),
        ["open", backend, path] => roles::writer::open_only(backend, path),
        ["read", path] => roles::reader::run(path),
        ["try", path] => roles::reader::try_to_open(path),
        ["fork", scenario, backend, path] => roles::fork::run(scenario, backend, path),
        ["end", how, backend, path] => roles::abrupt_exit::run(how, backend, path),
        ["rounds", ref rest @ ..] => return roles::driver::run(rest),
        _ => {
            eprintln!("usage: ministore-crash rounds ROUNDS [SEED]   (the other roles are for the tests)");
            return ExitCode::from(64);
        }
    }
    ExitCode::SUCCESS
}
