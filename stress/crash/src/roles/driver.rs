//! The long run, for people.

use std::{env, path::PathBuf, process::ExitCode, time::Instant};

use ministore_crash::{
    place,
    rounds::{self, Run},
};

/// `ROUNDS [SEED]`, on each backend that runs here.
pub(crate) fn run(args: &[&str]) -> ExitCode {
    let numbers: Result<Vec<u64>, _> = args.iter().map(|arg| arg.parse()).collect();
    let (Ok([count, seed @ ..]), true) = (numbers.as_deref(), (1..=2).contains(&args.len())) else {
        eprintln!("usage: killed rounds ROUNDS [SEED]");
        return ExitCode::from(64);
    };
    let program = env::current_exe().expect("this program");
    let parent = program.parent().map_or_else(|| PathBuf::from("."), |dir| dir.join("killed-journals"));
    for on in place::backends(&parent) {
        let begun = Instant::now();
        let figures = rounds::run(&Run {
            program: program.clone(),
            parent: parent.clone(),
            on,
            rounds: u32::try_from(*count).unwrap_or(u32::MAX),
            seed: seed.first().copied().unwrap_or(1),
        });
        println!("{on}: {figures}; {:.0} s", begun.elapsed().as_secs_f64());
    }
    ExitCode::SUCCESS
}
