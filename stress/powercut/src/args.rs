//! The command line.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use ministore_faultfs::recording::KeptWrites;

use crate::{crash::Crash, filesystem::FileSystem, workload::WorkloadPlan};

/// Cuts the power of a disk under file systems at many points; every acknowledged record must survive.
///
/// Exit status: 0 no record was lost, 1 a record was lost, 2 nothing could be checked.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) action: Option<Action>,
    #[command(flatten)]
    pub(crate) attack: AttackArgs,
}

/// What the program does instead of an attack.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Tests one power cut of a recording again
    Replay {
        file_system: FileSystem,
        recording: PathBuf,
        #[command(flatten)]
        crash: CrashArgs,
    },
    /// Writes the image after a power cut to a file, so that it can be mounted and examined
    Extract {
        recording: PathBuf,
        #[command(flatten)]
        crash: CrashArgs,
        image: PathBuf,
    },
    /// Serves the file system with the recorded disk
    #[command(hide = true)]
    Serve {
        #[arg(trailing_var_arg = true)]
        args: Vec<OsString>,
    },
    /// Runs the workload
    #[command(hide = true)]
    Work {
        #[arg(value_parser = |plan: &str| serde_json::from_str::<WorkloadPlan>(plan))]
        plan: WorkloadPlan,
    },
}

/// A power cut.
#[derive(Debug, Args)]
pub(crate) struct CrashArgs {
    /// The number of events before it
    at: usize,
    /// The later writes that are kept: nothing, everything, or BYTES:PERCENT:SEED
    kept: KeptWrites,
    /// The number of last flushes that the disk ignored
    #[arg(long, value_name = "N", default_value_t = 0)]
    ignore_flushes: usize,
}

impl CrashArgs {
    pub(crate) fn crash(&self) -> Crash {
        Crash { at: self.at, kept: self.kept, flushes_ignored: self.ignore_flushes }
    }
}

/// The options of an attack.
#[derive(Debug, Clone, Args)]
pub(crate) struct AttackArgs {
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "ext4,xfs,btrfs")]
    pub(crate) fs: Vec<FileSystem>,
    /// The time spent on each file system
    #[arg(long, value_name = "N", conflicts_with = "points")]
    pub(crate) minutes: Option<u64>,
    /// The crash points on each file system
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) points: usize,
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) workers: u8,
    /// The directory that keeps the recordings of findings
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    pub(crate) keep: PathBuf,
    /// Sets /sys/kernel/rcu_expedited during the run: faster, but affects the whole machine
    #[arg(long)]
    pub(crate) expedite: bool,
}
