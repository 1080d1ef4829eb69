//! The command line.

use std::{path::PathBuf, time::Duration};

use ministore_uring::Backend;

const USAGE: &str = "usage: ministore-soak [--minutes N | --seconds N] [--backend uring|blocking] [--seed N] [--dir DIR] [--verbose]
       ministore-soak --pass MIB [--queue MIB] [--backend uring|blocking] [--dir DIR]";

#[derive(Debug)]
pub(crate) enum Args {
    Soak(SoakConfig),
    BoundedMemory(MemoryConfig),
    /// The reader process that the soak starts: reads until its standard input ends.
    Read {
        path: PathBuf,
    },
}

/// Configuration of the soak.
#[derive(Debug)]
pub(crate) struct SoakConfig {
    pub(crate) duration: Duration,
    pub(crate) backend: Backend,
    pub(crate) seed: u64,
    pub(crate) dir: PathBuf,
    pub(crate) verbose: bool,
}

/// Configuration of the memory test: the bytes to append, and the size of the queue.
#[derive(Debug)]
pub(crate) struct MemoryConfig {
    pub(crate) bytes: u64,
    pub(crate) queue_bytes: u64,
    pub(crate) backend: Backend,
    pub(crate) dir: PathBuf,
}

impl Args {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut soak = SoakConfig {
            duration: Duration::from_secs(600),
            backend: Backend::Auto,
            seed: 1,
            dir: std::env::temp_dir(),
            verbose: false,
        };
        let (mut append_mib, mut queue_mib) = (None, 1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(USAGE);
            match arg.as_str() {
                "--minutes" => soak.duration = Duration::from_secs(60 * number(&value()?)?),
                "--seconds" => soak.duration = Duration::from_secs(number(&value()?)?),
                "--seed" => soak.seed = number(&value()?)?,
                "--dir" => soak.dir = value()?.into(),
                "--pass" => append_mib = Some(number(&value()?)?),
                "--queue" => queue_mib = number(&value()?)?,
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
        Ok(match append_mib {
            Some(mib) => Self::BoundedMemory(MemoryConfig {
                bytes: mib << 20,
                queue_bytes: queue_mib << 20,
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
