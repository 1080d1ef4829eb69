//! The command line.

use std::{path::PathBuf, time::Duration};

use ministore_uring::Backend;

const USAGE: &str = "usage: ministore-soak [--minutes N | --seconds N] [--backend uring|blocking] [--seed N] [--dir DIR] [--verbose]
       ministore-soak --pass MIB [--queue MIB] [--backend uring|blocking] [--dir DIR]";

#[derive(Debug)]
pub(crate) enum Args {
    Soak(Soak),
    Pass(Pass),
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

/// So many bytes through a queue of so many.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) bytes: u64,
    pub(crate) queue_bytes: u64,
    pub(crate) backend: Backend,
    pub(crate) dir: PathBuf,
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
        let (mut pass, mut queue) = (None, 1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(USAGE);
            match arg.as_str() {
                "--minutes" => soak.duration = Duration::from_secs(60 * number(&value()?)?),
                "--seconds" => soak.duration = Duration::from_secs(number(&value()?)?),
                "--seed" => soak.seed = number(&value()?)?,
                "--dir" => soak.dir = value()?.into(),
                "--pass" => pass = Some(number(&value()?)?),
                "--queue" => queue = number(&value()?)?,
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
        Ok(match pass {
            Some(mib) => Self::Pass(Pass {
                bytes: mib << 20,
                queue_bytes: queue << 20,
                backend: soak.backend,
                dir: soak.dir,
            }),
            None => Self::Soak(soak),
        })
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| USAGE.into())
}
