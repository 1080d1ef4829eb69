//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::Parser;
use ministore_uring::Backend;

/// Runs all kinds of clients and readers concurrently on one journal and checks every record.
#[derive(Debug, Parser)]
pub(crate) struct SoakArgs {
    #[arg(long, value_name = "N", default_value_t = 10)]
    minutes: u64,
    #[arg(long, value_name = "N", conflicts_with = "minutes")]
    seconds: Option<u64>,
    #[arg(long, default_value_t)]
    pub(crate) backend: Backend,
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    pub(crate) dir: PathBuf,
    /// Prints the counts after each instance of the store
    #[arg(long)]
    pub(crate) verbose: bool,
    /// Appends this much through a small queue instead, and checks the memory
    #[arg(long, value_name = "MIB")]
    pub(crate) pass: Option<u64>,
    /// The size of the queue of --pass
    #[arg(long, value_name = "MIB", default_value_t = 1, requires = "pass")]
    pub(crate) queue: u64,
    /// The reader process that the soak starts: reads until its standard input ends
    #[arg(long, value_name = "PATH", hide = true)]
    pub(crate) read: Option<PathBuf>,
}

impl SoakArgs {
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(self.minutes * 60))
    }
}
