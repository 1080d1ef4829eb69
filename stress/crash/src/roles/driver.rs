//! Long runs, started by hand.

use std::{env, path::PathBuf, process::ExitCode, time::Instant};

use ministore_crash::{
    rounds::{self, KillConfig},
    workdir,
};

/// Runs `ROUNDS [SEED]` on each available backend.
pub(crate) fn run(args: &[&str]) -> ExitCode {
    let numbers: Result<Vec<u64>, _> = args.iter().map(|arg| arg.parse()).collect();
    let (Ok([count, seed @ ..]), true) = (numbers.as_deref(), (1..=2).contains(&args.len())) else {
        eprintln!("usage: ministore-crash rounds ROUNDS [SEED]");
        return ExitCode::from(64);
    };
    let program = env::current_exe().expect("the path of this program");
    let base_dir = program.parent().map_or_else(|| PathBuf::from("."), |dir| dir.join("crash-journals"));
    for backend in workdir::backends(&base_dir) {
        let started = Instant::now();
        let stats = rounds::run(&KillConfig {
            program: program.clone(),
            base_dir: base_dir.clone(),
            backend,
            rounds: u32::try_from(*count).unwrap_or(u32::MAX),
            seed: seed.first().copied().unwrap_or(1),
        });
        println!("{backend}: {stats}; {:.0} s", started.elapsed().as_secs_f64());
    }
    ExitCode::SUCCESS
}
