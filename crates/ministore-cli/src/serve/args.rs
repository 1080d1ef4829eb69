//! Defines the command line of `serve`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::builder::BoolishValueParser;

use super::address::Address;
use crate::{ingest::bad_lines::OnError, store::JournalArgs, units};

/// Receive JSON lines from clients over TCP, Unix sockets and FIFOs and append them to a journal
///
/// Runs until SIGTERM or Ctrl-C; SIGHUP starts a new segment, reads the token file again and opens the quarantine file again. A client whose first line is {"ministore":{"ack":"record"}}
/// receives the sequence number of each record once it is durable; "ack":"batch" acknowledges batches, and "token":"…"
/// authenticates. The protocol is described in docs/reference/serve.md.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore serve events.jsonl --listen unix:/run/events.sock --listen tcp:127.0.0.1:7000
  ministore serve events.jsonl -l fifo:/run/events.fifo --metrics 127.0.0.1:9100
  MINISTORE_LISTEN=tcp:127.0.0.1:7000 MINISTORE_TOKEN_FILE=/etc/ministore/tokens ministore serve events.jsonl

Retention runs when a segment is started; --max-total-bytes and --max-age also run when the journal is opened. Segments that a hold protects are kept (see inspect).")]
#[command(mut_args(|arg| arg.hide_env_values(true)))]
pub(crate) struct Args {
    /// The journal
    pub(crate) journal: PathBuf,

    /// Listen on unix:PATH, tcp:HOST:PORT or fifo:PATH. May be repeated; in the environment, separated by commas
    #[arg(long, short, value_name = "ADDR", value_parser = Address::parse, required = true, env = "MINISTORE_LISTEN", value_delimiter = ',')]
    pub(crate) listen: Vec<Address>,

    /// Allow listening on addresses that other machines can reach
    #[arg(long, value_parser = BoolishValueParser::new(), env = "MINISTORE_ALLOW_REMOTE")]
    pub(crate) allow_remote: bool,

    /// Serve at most N clients at a time; reject more
    #[arg(long, value_name = "N", default_value_t = 1024, env = "MINISTORE_MAX_CLIENTS", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) max_clients: u32,

    /// Treat a longer line as a bad line (at most 16MiB)
    #[arg(long, value_name = "SIZE", value_parser = record_size, default_value = "1MiB", env = "MINISTORE_MAX_RECORD_BYTES")]
    pub(crate) max_record_bytes: usize,

    /// Stop reading from clients while this many bytes wait to be written (at most 1GiB)
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, default_value = "64MiB", env = "MINISTORE_MAX_QUEUE_BYTES")]
    pub(crate) max_queue_bytes: u64,

    /// Disconnect a client that sends no first line, or only a part of a line, for this long; 0: never
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration, default_value = "0", env = "MINISTORE_IDLE_TIMEOUT")]
    pub(crate) idle_timeout: Duration,

    /// Disconnect a client that does not read its acknowledgements for this long
    #[arg(long, value_name = "TIME", value_parser = units::parse_nonzero_duration, default_value = "10s", env = "MINISTORE_WRITE_TIMEOUT")]
    pub(crate) write_timeout: Duration,

    /// Require clients of sockets to send one of the tokens in FILE (one per line)
    #[arg(long, value_name = "FILE", env = "MINISTORE_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// Accept Unix socket clients of these users only
    #[arg(long, value_name = "UID", value_delimiter = ',', env = "MINISTORE_ALLOW_UID")]
    pub(crate) allow_uid: Vec<u32>,

    /// … or of these groups (the primary group of the process, not its supplementary groups)
    #[arg(long, value_name = "GID", value_delimiter = ',', env = "MINISTORE_ALLOW_GID")]
    pub(crate) allow_gid: Vec<u32>,

    /// The permissions of sockets and FIFOs that are created
    #[arg(long, value_name = "OCTAL", value_parser = mode, default_value = "600", env = "MINISTORE_SOCKET_MODE")]
    pub(crate) socket_mode: u32,

    /// Serve Prometheus metrics at http://ADDR/metrics, and /healthz
    #[arg(long, value_name = "IP:PORT", env = "MINISTORE_METRICS")]
    pub(crate) metrics: Option<SocketAddr>,

    /// What to do with a line that is not JSON: stop (disconnect the client), skip, or quarantine=FILE (append it to FILE,
    /// with its origin and the reason) [default: stop]
    #[arg(long, value_name = "ACTION", value_parser = OnError::parse, env = "MINISTORE_ON_ERROR")]
    pub(crate) on_error: Option<OnError>,

    #[command(flatten, next_help_heading = "Journal options")]
    pub(crate) options: JournalArgs,

    /// Print the summary as one JSON object
    #[arg(long, help_heading = "Options")]
    pub(crate) json: bool,
}

fn record_size(text: &str) -> Result<usize, String> {
    let bytes = usize::try_from(units::parse_size(text)?).unwrap_or(usize::MAX);
    match bytes {
        1..=crate::ingest::LINE_BYTES_MAX => Ok(bytes),
        _ => Err("from 1 byte to 16MiB".to_owned()),
    }
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
    fn out_of_range_values_are_rejected() {
        assert_eq!((record_size("16MiB"), mode("0660")), (Ok(16 << 20), Ok(0o660)));
        assert!(record_size("0").is_err() && record_size("17MiB").is_err());
        assert!(mode("1777").is_err() && mode("9").is_err());
    }
}
