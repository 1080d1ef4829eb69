//! Each measurement runs in its own process, so that remains of one log (threads, memory, a panic) do not affect
//! another.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::{
    fs::syncfs,
    process::{Signal, set_parent_process_death_signal},
};

use super::{measure::MeasurementConfig, phases::Measurement};
use crate::log_under_test::{LogError, LogResult};

pub const VERB: &str = "measure";

/// The additional time that a measurement may use: opening, writing beforehand, closing, counting.
const OVERHEAD_TIMEOUT: Duration = Duration::from_secs(120);

/// Measures `config` in a child process, in a new directory in `dir` that is removed afterwards.
///
/// # Errors
///
/// The log's error, or that it did not finish in time.
pub fn measure(config: &MeasurementConfig, dir: &Path) -> LogResult<Measurement> {
    let own = tempfile::Builder::new().prefix("cell-").tempdir_in(dir)?;
    let measurement = run(config, own.path());
    own.close()?;
    // Writes all dirty data, so that the next measurement does not pay for it.
    syncfs(File::open(dir)?)?;
    measurement
}

fn run(config: &MeasurementConfig, dir: &Path) -> LogResult<Measurement> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(VERB)
        .arg(serde_json::to_string(config)?)
        .arg(dir)
        .env("WALRUS_DATA_DIR", dir)
        .env("WALRUS_QUIET", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut output = child.stdout.take().ok_or_else(|| LogError("no output".into()))?;
    let (sent, answer) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        let read = output.read_to_string(&mut text).map(|_| text);
        sent.send(read).ok();
    });
    let timeout = config.timing.warm_up + config.timing.window + OVERHEAD_TIMEOUT;
    let text = answer.recv_timeout(timeout);
    if text.is_err() {
        child.kill()?;
    }
    let status = child.wait()?;
    reader.join().ok();
    let text = text.map_err(|_| LogError(format!("no answer within {} s", timeout.as_secs())))?;
    let text = text?;
    // Logs may print, too: the result is the last line.
    let last = text.lines().next_back().unwrap_or_default();
    let answer: Result<Measurement, String> =
        serde_json::from_str(last).map_err(|_| LogError(format!("ended with {status}")))?;
    answer.map_err(LogError)
}

/// Runs in the child: measures, and prints the result or the error.
pub fn serve(config: &str, dir: &Path) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let config: MeasurementConfig = serde_json::from_str(config)?;
    let measurement = config.measure(dir).map_err(|error| error.0);
    let mut out = io::stdout().lock();
    writeln!(out, "\n{}", serde_json::to_string(&measurement)?)?;
    out.flush()
}
