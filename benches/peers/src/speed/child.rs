//! Every measurement runs in a process of its own: what one log leaves behind (threads, memory, a panic) touches no other.

use std::{
    fs,
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

use super::{cell::Cell, phases::Figures};
use crate::contestant::{Answer, Refusal};

/// The first argument of a child.
pub const VERB: &str = "measure";

/// How much longer than asked for a measurement may take: opening, writing beforehand, closing, counting.
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures `cell` in a child process, in a directory of its own below `dir` that is removed afterwards.
///
/// # Errors
///
/// Whatever the log said, or that it did not answer in time.
pub fn measure(cell: &Cell, dir: &Path) -> Answer<Figures> {
    let own = tempfile::Builder::new().prefix("cell-").tempdir_in(dir).map_err(Refusal::of)?;
    let figures = run(cell, own.path());
    own.close().map_err(Refusal::of)?;
    settle(dir).map_err(Refusal::of)?;
    figures
}

/// What this measurement left for the disk to do is not to be paid by the next one.
fn settle(dir: &Path) -> io::Result<()> {
    syncfs(fs::File::open(dir)?)?;
    Ok(())
}

fn run(cell: &Cell, dir: &Path) -> Answer<Figures> {
    let mut child = Command::new(std::env::current_exe().map_err(Refusal::of)?)
        .arg(VERB)
        .arg(serde_json::to_string(cell).map_err(Refusal::of)?)
        .arg(dir)
        .env("WALRUS_DATA_DIR", dir)
        .env("WALRUS_QUIET", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(Refusal::of)?;
    let mut output = child.stdout.take().ok_or_else(|| Refusal("no output".into()))?;
    let (told, answer) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        let read = output.read_to_string(&mut text).map(|_| text);
        told.send(read).ok();
    });
    let patience = cell.timing.warm_up + cell.timing.window + PATIENCE;
    let text = answer.recv_timeout(patience);
    if text.is_err() {
        child.kill().map_err(Refusal::of)?;
    }
    let status = child.wait().map_err(Refusal::of)?;
    reader.join().ok();
    let text = text.map_err(|_| Refusal(format!("no answer within {} s", patience.as_secs())))?;
    let text = text.map_err(Refusal::of)?;
    // Logs may print, too: the figures are the last line.
    let last = text.lines().next_back().unwrap_or_default();
    let answer: Result<Figures, String> =
        serde_json::from_str(last).map_err(|_| Refusal(format!("ended with {status}")))?;
    answer.map_err(Refusal)
}

/// The child's part: measures, and prints the figures or what went wrong.
///
/// # Errors
///
/// That it was started wrongly.
pub fn serve(cell: &str, dir: &Path) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let cell: Cell = serde_json::from_str(cell)?;
    let figures = cell.measure(dir).map_err(|refusal| refusal.0);
    let mut out = io::stdout().lock();
    writeln!(out, "\n{}", serde_json::to_string(&figures)?)?;
    out.flush()
}
