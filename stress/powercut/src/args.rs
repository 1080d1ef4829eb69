//! The command line.

use std::{path::PathBuf, str::FromStr, time::Duration};

use crate::{
    attack::RunLength,
    crash::{Crash, KeptWrites},
    filesystem::{ALL_FILE_SYSTEMS, FileSystem},
    workload::WorkloadPlan,
};

/// The usage message.
pub(crate) const USAGE: &str = "\
usage: ministore-powercut [--fs ext4,xfs,btrfs] [--minutes N | --points N] [--seed S]
                          [--workers N] [--keep DIR] [--expedite]
       ministore-powercut replay FS RECORDING AT KEPT [--ignore-flushes N]
       ministore-powercut extract RECORDING AT KEPT IMAGE

--minutes N   time spent on each file system
--points N    crash points on each file system (default 200)
--expedite    sets /sys/kernel/rcu_expedited during the run: faster, but affects the whole machine
Exit status: 0 no record was lost, 1 a record was lost, 2 nothing could be checked.";

/// What the program should do.
#[derive(Debug)]
pub(crate) enum Action {
    Attack(AttackArgs),
    Replay {
        file_system: FileSystem,
        file: PathBuf,
        crash: Crash,
    },
    /// Writes the image after a power cut to a file, so that it can be mounted and examined.
    Extract {
        file: PathBuf,
        crash: Crash,
        image: PathBuf,
    },
    /// Internal: serves the recorded disk.
    Serve {
        dir: PathBuf,
        base: PathBuf,
    },
    /// Internal: runs the workload.
    Work(WorkloadPlan),
}

/// The options of an attack.
#[derive(Debug)]
pub(crate) struct AttackArgs {
    pub(crate) file_systems: Vec<FileSystem>,
    pub(crate) run_length: RunLength,
    pub(crate) seed: u64,
    pub(crate) workers: usize,
    pub(crate) keep: PathBuf,
    pub(crate) expedite: bool,
}

/// Parses the arguments after the program name.
pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Action, String> {
    let first = args.next();
    match first.as_deref() {
        Some("serve") => Ok(Action::Serve { dir: value("DIR", &mut args)?, base: value("BASE", &mut args)? }),
        Some("work") => {
            let plan: String = value("PLAN", &mut args)?;
            serde_json::from_str(&plan).map(Action::Work).map_err(|error| format!("PLAN: {error}"))
        }
        Some("replay") => parse_replay(&mut args),
        Some("extract") => {
            let file = value("RECORDING", &mut args)?;
            let crash = parse_crash(&mut args)?;
            Ok(Action::Extract { file, crash, image: value("IMAGE", &mut args)? })
        }
        _ => parse_attack(first.into_iter().chain(args)),
    }
}

fn parse_replay(args: &mut impl Iterator<Item = String>) -> Result<Action, String> {
    let (file_system, file) = (value("FS", args)?, value("RECORDING", args)?);
    let mut crash = parse_crash(args)?;
    match args.next().as_deref() {
        None => {}
        Some("--ignore-flushes") => crash.flushes_ignored = value("--ignore-flushes", args)?,
        Some(other) => return Err(format!("{other}: unknown argument")),
    }
    Ok(Action::Replay { file_system, file, crash })
}

fn parse_crash(args: &mut impl Iterator<Item = String>) -> Result<Crash, String> {
    Ok(Crash { at: value("AT", args)?, kept: value::<KeptWrites>("KEPT", args)?, flushes_ignored: 0 })
}

fn parse_attack(mut args: impl Iterator<Item = String>) -> Result<Action, String> {
    let mut attack = AttackArgs {
        file_systems: ALL_FILE_SYSTEMS.to_vec(),
        run_length: RunLength::CrashPoints(200),
        seed: 1,
        workers: 4,
        keep: std::env::temp_dir(),
        expedite: false,
    };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--fs" => {
                let list: String = value("--fs", &mut args)?;
                attack.file_systems = list.split(',').map(str::parse).collect::<Result<_, _>>()?;
            }
            "--minutes" => {
                let minutes: u64 = value("--minutes", &mut args)?;
                attack.run_length = RunLength::Time(Duration::from_secs(minutes * 60));
            }
            "--points" => attack.run_length = RunLength::CrashPoints(value("--points", &mut args)?),
            "--seed" => attack.seed = value("--seed", &mut args)?,
            "--workers" => attack.workers = value("--workers", &mut args)?,
            "--keep" => attack.keep = value("--keep", &mut args)?,
            "--expedite" => attack.expedite = true,
            other => return Err(format!("{other}: unknown argument")),
        }
    }
    match attack.workers {
        1..=64 => Ok(Action::Attack(attack)),
        workers => Err(format!("--workers {workers}: must be from 1 to 64")),
    }
}

fn value<T: FromStr<Err: std::fmt::Display>>(
    name: &str,
    args: &mut impl Iterator<Item = String>,
) -> Result<T, String> {
    let text = args.next().ok_or_else(|| format!("{name}: missing"))?;
    text.parse().map_err(|error| format!("{name} {text}: {error}"))
}
