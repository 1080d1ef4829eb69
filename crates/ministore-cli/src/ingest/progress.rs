//! The progress bar on standard error, if that is a terminal.

use std::{
    io::{self, IsTerminal},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{exit::is_quiet, input::Input, units};

const WITH_SIZE: &str = "{wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec}  {msg}  {eta}";
const WITHOUT_SIZE: &str = "{spinner} {bytes} {binary_bytes_per_sec}  {msg}  {elapsed}";

/// The progress of reading the input, in stored (compressed) bytes.
#[derive(Debug)]
pub(super) struct InputProgress {
    bytes: Arc<AtomicU64>,
    /// `None`: not a terminal, or `--quiet`.
    bar: Option<ProgressBar>,
}

impl InputProgress {
    pub(super) fn new(inputs: &[Input]) -> Self {
        let bar =
            (io::stderr().is_terminal() && !is_quiet()).then(|| bar(inputs.iter().map(Input::bytes).sum()));
        Self { bytes: Arc::new(AtomicU64::new(0)), bar }
    }

    /// The counter of the reading thread.
    pub(super) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.bytes)
    }

    /// Called once per block; the bar limits how often it is drawn.
    pub(super) fn show(&self, records: u64) {
        let Some(bar) = &self.bar else { return };
        bar.set_position(self.bytes.load(Ordering::Relaxed));
        let rate = units::rate(records, bar.elapsed().as_secs_f64());
        bar.set_message(format!("{} records, {}/s", units::count(records), units::count(rate)));
    }

    /// Runs code that prints to standard error without the bar.
    pub(super) fn suspend(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Removes the bar before the summary is printed.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Shows a bar if the size is known, otherwise figures only.
fn bar(size: Option<u64>) -> ProgressBar {
    let target = ProgressDrawTarget::stderr();
    let (bar, template) = match size {
        Some(size) => (ProgressBar::with_draw_target(Some(size), target), WITH_SIZE),
        None => (ProgressBar::with_draw_target(None, target), WITHOUT_SIZE),
    };
    // An invalid template would be a bug; the default style works, too.
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
