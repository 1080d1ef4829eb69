//! Owns the part of `ingest`'s command line that makes it a service.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::address::Address;
use crate::units;

/// What each means to a client is in docs/ingest.md.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "As a service")]
pub(in crate::ingest) struct ServeArgs {
    /// Take lines from clients until SIGTERM or Ctrl-C, instead of from files: unix:PATH, tcp:HOST:PORT, fifo:PATH.
    /// May be given several times
    #[arg(long, value_name = "ADDR", value_parser = Address::parse, conflicts_with_all = ["files", "resume"])]
    pub(in crate::ingest) listen: Vec<Address>,

    /// Listen on addresses that other machines reach
    #[arg(long, requires = "listen")]
    pub(super) allow_remote: bool,

    /// Serve so many clients at a time; more are refused
    #[arg(long, value_name = "N", default_value_t = 1024, requires = "listen", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) max_clients: u32,

    /// A longer line is a bad line (at most 16MiB)
    #[arg(long, value_name = "SIZE", value_parser = line_size, default_value = "1MiB", requires = "listen")]
    pub(super) max_line_bytes: usize,

    /// A client that completes no line for so long is disconnected; 0s: never
    #[arg(long, value_name = "TIME", value_parser = units::parse_time, default_value = "5m", requires = "listen")]
    pub(super) idle_timeout: Duration,

    /// A client that does not take its acknowledgements for so long is disconnected
    #[arg(long, value_name = "TIME", value_parser = some_time, default_value = "10s", requires = "listen")]
    pub(super) unread_timeout: Duration,

    /// Clients of sockets must name one of the tokens in FILE (one a line) first
    #[arg(long, value_name = "FILE", requires = "listen")]
    pub(super) token_file: Option<PathBuf>,

    /// Clients of Unix sockets must be processes of these users
    #[arg(long, value_name = "UID", value_delimiter = ',', requires = "listen")]
    pub(super) allow_uid: Vec<u32>,

    /// … or of these groups (a process's own group, not its supplementary ones)
    #[arg(long, value_name = "GID", value_delimiter = ',', requires = "listen")]
    pub(super) allow_gid: Vec<u32>,

    /// The permissions of the sockets and FIFOs that are made
    #[arg(long, value_name = "OCTAL", value_parser = mode, default_value = "600", requires = "listen")]
    pub(super) socket_mode: u32,

    /// Serve metrics for Prometheus at http://ADDR/metrics, and /healthz
    #[arg(long, value_name = "IP:PORT", requires = "listen")]
    pub(super) metrics: Option<SocketAddr>,
}

fn line_size(text: &str) -> Result<usize, String> {
    let bytes = usize::try_from(units::parse_size(text)?).unwrap_or(usize::MAX);
    match bytes {
        1..=crate::ingest::LINE_BYTES_MAX => Ok(bytes),
        _ => Err("from 1 byte to 16MiB".to_owned()),
    }
}

fn some_time(text: &str) -> Result<Duration, String> {
    units::parse_time(text)
        .and_then(|time| if time.is_zero() { Err("must be more than 0".to_owned()) } else { Ok(time) })
}

fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("octal permissions such as 660".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_limits() {
        assert_eq!((line_size("16MiB"), mode("0660")), (Ok(16 << 20), Ok(0o660)));
        assert!(line_size("0").is_err() && line_size("17MiB").is_err());
        assert!(mode("1777").is_err() && mode("9").is_err() && some_time("0s").is_err());
    }
}
