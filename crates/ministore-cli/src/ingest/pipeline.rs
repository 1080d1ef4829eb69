//! Processes lines: skips blank ones, compares those of an interrupted run, handles bad ones, submits all others.

use bytes::Bytes;
use ministore_uring::MiniStore;

use super::{
    StopReason,
    bad_lines::{BadLineCounts, BadLines},
    batch::{BatchWriter, DurableTotals},
    line::{self, LineError},
    line_reader::InputEvent,
    resume_check::{CheckedLine, ResumeCheck},
};
use crate::{exit::CliError, signals::SignalHandler};

/// Processes the events of the reading thread.
#[derive(Debug)]
pub(super) struct Pipeline<'a> {
    batches: BatchWriter<'a>,
    resume_check: Option<ResumeCheck>,
    /// Lines that the interrupted run had appended.
    already_present: u64,
    bad: BadLines,
    /// The name of the input, and the line in it, counted from 1.
    input: String,
    line: u64,
    in_long_line: bool,
    signals: SignalHandler,
}

/// The totals of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IngestTotals {
    /// Appended by this run.
    pub(crate) durable: DurableTotals,
    pub(crate) already_present: u64,
    pub(crate) bad: BadLineCounts,
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(
        store: &'a MiniStore,
        bad: BadLines,
        resume_check: Option<ResumeCheck>,
        signals: SignalHandler,
    ) -> Self {
        Self {
            batches: BatchWriter::new(store),
            resume_check,
            already_present: 0,
            bad,
            input: String::new(),
            line: 0,
            in_long_line: false,
            signals,
        }
    }

    pub(super) fn check_signals(&self) -> Result<(), StopReason> {
        self.signals.received().map_or(Ok(()), |code| Err(StopReason::Interrupted(code)))
    }

    /// Records in the journal so far, for the progress bar.
    pub(super) fn records(&self) -> u64 {
        self.already_present + self.batches.durable().records
    }

    /// Makes the lines so far durable. Called while no more input is available.
    pub(super) fn flush(&mut self) -> Result<(), CliError> {
        self.batches.flush()
    }

    pub(super) fn process(&mut self, event: InputEvent) -> Result<(), StopReason> {
        match event {
            InputEvent::Opened(name) => {
                self.input = name;
                self.line = 0;
                Ok(())
            }
            InputEvent::Lines(block) => self.lines(&block),
            InputEvent::Long { piece, last } => self.long_line(&piece, last),
            InputEvent::Failed(_) | InputEvent::End | InputEvent::Wake => Ok(()),
        }
    }

    /// Checks at the end of the input that it contained all lines of the interrupted run.
    pub(super) fn input_ended(&self) -> Result<(), StopReason> {
        self.resume_check.as_ref().map_or(Ok(()), |resume_check| Ok(resume_check.input_ended()?))
    }

    /// Makes everything durable, including the quarantine file.
    pub(super) fn finish(mut self) -> (IngestTotals, Result<(), CliError>) {
        let bad = self.bad.counts();
        let flushed = self.batches.flush();
        let totals =
            IngestTotals { durable: self.batches.durable(), already_present: self.already_present, bad };
        (totals, flushed.and(self.bad.finish()))
    }

    fn lines(&mut self, block: &Bytes) -> Result<(), StopReason> {
        // Only the last line of an input may lack its LF.
        let lines = block.strip_suffix(b"\n").unwrap_or(block);
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', lines) {
            self.whole_line(&lines[start..end])?;
            start = end + 1;
        }
        self.whole_line(&lines[start..])
    }

    /// Processes a line without its LF.
    fn whole_line(&mut self, raw: &[u8]) -> Result<(), StopReason> {
        self.check_signals()?;
        self.line += 1;
        let Some(line_error) = self.accept(raw)? else { return Ok(()) };
        self.begin_bad(&line_error)?;
        self.bad.raw(raw)?;
        Ok(self.bad.end()?)
    }

    /// Processes a piece of a line that is longer than the limit. Such a line is never complete in memory.
    fn long_line(&mut self, piece: &[u8], last: bool) -> Result<(), StopReason> {
        if !self.in_long_line {
            self.line += 1;
            self.in_long_line = true;
            self.begin_bad(&LineError::too_long())?;
        }
        self.bad.raw(piece)?;
        if last {
            self.in_long_line = false;
            self.bad.end()?;
        }
        Ok(())
    }

    fn begin_bad(&mut self, line_error: &LineError) -> Result<(), StopReason> {
        let column = line_error.offset + 1;
        self.bad.begin(&self.input, self.line, column, &line_error.reason)
    }

    /// Submits a line unless it is blank or already present. Returns `Some` if it is bad.
    fn accept(&mut self, raw: &[u8]) -> Result<Option<LineError>, CliError> {
        let value = match line::value(raw) {
            Ok(value) if value.is_empty() => return Ok(None),
            Ok(value) => value,
            Err(line_error) => return Ok(Some(line_error)),
        };
        let lead = value.start;
        let line_error = self.accept_value(&raw[value])?;
        Ok(line_error.map(|line_error| LineError { offset: lead + line_error.offset, ..line_error }))
    }

    fn accept_value(&mut self, value: &[u8]) -> Result<Option<LineError>, CliError> {
        if let Some(resume_check) = self.resume_check.as_mut().filter(|resume_check| !resume_check.is_done())
        {
            let location = (&*self.input, self.line);
            return Ok(match resume_check.check(value, location)? {
                CheckedLine::Bad(line_error) => Some(line_error),
                CheckedLine::AlreadyPresent => {
                    self.already_present += 1;
                    None
                }
            });
        }
        if self.resume_check.is_some() {
            if let Err(line_error) = line::check(value) {
                return Ok(Some(line_error));
            }
            self.resume_check.take().map_or(Ok(()), |resume_check| resume_check.finish())?;
        }
        Ok(self.batches.push(value)?.err())
    }
}
