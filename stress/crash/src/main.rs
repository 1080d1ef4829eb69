//! Every process that the tests kill, fork, abort or ask; and the long runs, for people: `killed rounds 5000`.

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
    let first = process::id();
    panic::set_hook(Box::new(move |info| {
        eprintln!("{info}");
        // Nobody is to wait for the other threads. A fork tells its parent instead.
        if process::id() == first {
            process::exit(101);
        }
    }));
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match *args.as_slice() {
        ["write", ref rest @ ..] => roles::writer::run(rest),
        ["open", backend, path] => roles::writer::open_only(backend, path),
        ["read", path] => roles::reader::run(path),
        ["try", path] => roles::reader::try_to_open(path),
        ["fork", scenario, backend, path] => roles::forks::run(scenario, backend, path),
        ["end", how, backend, path] => roles::ends::run(how, backend, path),
        ["rounds", ref rest @ ..] => return roles::driver::run(rest),
        _ => {
            eprintln!("usage: killed rounds ROUNDS [SEED]   (other roles are the tests' own)");
            return ExitCode::from(64);
        }
    }
    ExitCode::SUCCESS
}
