//! The command line.

use std::{path::PathBuf, str::FromStr, time::Duration};

use crate::{
    attack::Amount,
    crash::{Crash, Kept},
    filesystem::{ALL, FileSystem},
    workload::Plan,
};

/// How to call it.
pub(crate) const USAGE: &str = "\
usage: ministore-powercut [--fs ext4,xfs,btrfs] [--minutes N | --points N] [--seed S]
                          [--workers N] [--keep DIR] [--expedite]
       ministore-powercut replay FS RECORDING AT KEPT [--ignore-flushes N]
       ministore-powercut extract RECORDING AT KEPT IMAGE

--minutes N   for so long on each file system
--points N    so many crash points on each file system (default 200)
--expedite    sets /sys/kernel/rcu_expedited while it runs: quicker, and felt by the whole machine
Exit status: 0 nothing was lost, 1 something was, 2 nothing could be checked.";

/// What is asked for.
#[derive(Debug)]
pub(crate) enum Command {
    Attack(Attack),
    Replay {
        file_system: FileSystem,
        file: PathBuf,
        crash: Crash,
    },
    /// Write what a power cut left to a file, to be mounted and looked at.
    Extract {
        file: PathBuf,
        crash: Crash,
        image: PathBuf,
    },
    /// Inner: serve the recorded disk.
    Serve {
        dir: PathBuf,
        base: PathBuf,
    },
    /// Inner: be the workload.
    Work(Plan),
}

/// The options of an attack.
#[derive(Debug)]
pub(crate) struct Attack {
    pub(crate) file_systems: Vec<FileSystem>,
    pub(crate) amount: Amount,
    pub(crate) seed: u64,
    pub(crate) workers: usize,
    pub(crate) keep: PathBuf,
    pub(crate) expedite: bool,
}

/// Reads the arguments behind the program's name.
pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Command, String> {
    let first = args.next();
    match first.as_deref() {
        Some("serve") => {
            Ok(Command::Serve { dir: value("DIR", &mut args)?, base: value("BASE", &mut args)? })
        }
        Some("work") => {
            let plan: String = value("PLAN", &mut args)?;
            serde_json::from_str(&plan).map(Command::Work).map_err(|error| format!("PLAN: {error}"))
        }
        Some("replay") => parse_replay(&mut args),
        Some("extract") => {
            let file = value("RECORDING", &mut args)?;
            let crash = parse_crash(&mut args)?;
            Ok(Command::Extract { file, crash, image: value("IMAGE", &mut args)? })
        }
        _ => parse_attack(first.into_iter().chain(args)),
    }
}

fn parse_replay(args: &mut impl Iterator<Item = String>) -> Result<Command, String> {
    let (file_system, file) = (value("FS", args)?, value("RECORDING", args)?);
    let mut crash = parse_crash(args)?;
    match args.next().as_deref() {
        None => {}
        Some("--ignore-flushes") => crash.flushes_ignored = value("--ignore-flushes", args)?,
        Some(other) => return Err(format!("{other}: not known")),
    }
    Ok(Command::Replay { file_system, file, crash })
}

fn parse_crash(args: &mut impl Iterator<Item = String>) -> Result<Crash, String> {
    Ok(Crash { at: value("AT", args)?, kept: value::<Kept>("KEPT", args)?, flushes_ignored: 0 })
}

fn parse_attack(mut args: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut attack = Attack {
        file_systems: ALL.to_vec(),
        amount: Amount::Moments(200),
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
                attack.amount = Amount::Time(Duration::from_secs(minutes * 60));
            }
            "--points" => attack.amount = Amount::Moments(value("--points", &mut args)?),
            "--seed" => attack.seed = value("--seed", &mut args)?,
            "--workers" => attack.workers = value("--workers", &mut args)?,
            "--keep" => attack.keep = value("--keep", &mut args)?,
            "--expedite" => attack.expedite = true,
            other => return Err(format!("{other}: not known")),
        }
    }
    match attack.workers {
        1..=64 => Ok(Command::Attack(attack)),
        workers => Err(format!("--workers {workers}: from 1 to 64")),
    }
}

fn value<T: FromStr<Err: std::fmt::Display>>(
    name: &str,
    args: &mut impl Iterator<Item = String>,
) -> Result<T, String> {
    let text = args.next().ok_or_else(|| format!("{name}: missing"))?;
    text.parse().map_err(|error| format!("{name} {text}: {error}"))
}
