//! Owns the progress bar: on a terminal, on standard error, and nowhere else.

use std::{
    io::{self, IsTerminal},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::input::Input;
use crate::units;

const WITH_SIZE: &str = "{wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec}  {msg}  {eta}";
const WITHOUT_SIZE: &str = "{spinner} {bytes} {binary_bytes_per_sec}  {msg}  {elapsed}";

/// How far the input has been read. Bytes are counted as they are stored: what is compressed counts small.
#[derive(Debug)]
pub(super) struct Progress {
    bytes: Arc<AtomicU64>,
    /// `None`: nobody watches.
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(inputs: &[Input]) -> Self {
        let bar = io::stderr().is_terminal().then(|| bar(inputs.iter().map(Input::bytes).sum()));
        Self { bytes: Arc::new(AtomicU64::new(0)), bar }
    }

    /// Where the reading thread counts.
    pub(super) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.bytes)
    }

    /// Called once a block; the bar itself sees to it that it is not drawn too often.
    pub(super) fn show(&self, records: u64) {
        let Some(bar) = &self.bar else { return };
        bar.set_position(self.bytes.load(Ordering::Relaxed));
        let rate = units::rate(records, bar.elapsed().as_secs_f64());
        bar.set_message(format!("{} records, {}/s", units::count(records), units::count(rate)));
    }

    /// Leaves the terminal to the summary.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// With the size known, a bar; without it, figures alone.
fn bar(size: Option<u64>) -> ProgressBar {
    let target = ProgressDrawTarget::stderr();
    let (bar, template) = match size {
        Some(size) => (ProgressBar::with_draw_target(Some(size), target), WITH_SIZE),
        None => (ProgressBar::with_draw_target(None, target), WITHOUT_SIZE),
    };
    // A template that does not parse would be a fault of this file; the bar's own style is no worse.
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
