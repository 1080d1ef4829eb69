//! The command line.

use std::{path::PathBuf, time::Duration};

use ministore_uring::Backend;

const USAGE: &str = "usage: ministore-soak [--minutes N | --seconds N] [--backend uring|blocking] [--seed N] [--dir DIR] [--verbose]";

#[derive(Debug)]
pub(crate) enum Args {
    Soak(Soak),
    /// What the soak runs as another process: reads until its standard input ends.
    Read {
        path: PathBuf,
    },
}

#[derive(Debug)]
pub(crate) struct Soak {
    pub(crate) duration: Duration,
    pub(crate) backend: Backend,
    pub(crate) seed: u64,
    pub(crate) dir: PathBuf,
    pub(crate) verbose: bool,
}

impl Args {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut soak = Soak {
            duration: Duration::from_secs(600),
            backend: Backend::Auto,
            seed: 1,
            dir: std::env::temp_dir(),
            verbose: false,
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(USAGE);
            match arg.as_str() {
                "--minutes" => soak.duration = Duration::from_secs(60 * number(&value()?)?),
                "--seconds" => soak.duration = Duration::from_secs(number(&value()?)?),
                "--seed" => soak.seed = number(&value()?)?,
                "--dir" => soak.dir = value()?.into(),
                "--verbose" => soak.verbose = true,
                "--read" => return Ok(Self::Read { path: value()?.into() }),
                "--backend" => {
                    soak.backend = match value()?.as_str() {
                        "uring" => Backend::Uring,
                        "blocking" => Backend::Blocking,
                        _ => return Err(USAGE.into()),
                    };
                }
                _ => return Err(USAGE.into()),
            }
        }
        Ok(Self::Soak(soak))
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| USAGE.into())
}
