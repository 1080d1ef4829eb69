//! Processes lines: skips blank ones, compares those of an interrupted run, handles bad ones, submits all others.

use bytes::Bytes;
use ministore_uring::MiniStore;

use super::{
    StopReason,
    bad_lines::{BadLines, Counts},
    batch::{BatchWriter, Durable},
    line::{self, Fault},
    line_reader::InputEvent,
    resume_check::{ResumeCheck, Verdict},
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
    pub(crate) durable: Durable,
    pub(crate) already_present: u64,
    pub(crate) bad: Counts,
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

    /// Called when no more input is available at the moment.
    pub(super) fn flush(&mut self) -> Result<(), CliError> {
        self.batches.flush()
    }

    pub(super) fn take(&mut self, event: InputEvent) -> Result<(), StopReason> {
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

    /// At the end of the input, all lines of the interrupted run must have been found.
    pub(super) fn input_ended(&self) -> Result<(), StopReason> {
        self.resume_check.as_ref().map_or(Ok(()), |resume_check| Ok(resume_check.input_ended()?))
    }

    /// Makes everything durable, including the quarantine file.
    pub(super) fn finish(mut self) -> (IngestTotals, Result<(), CliError>) {
        let bad = self.bad.counts();
        let flushed = self.batches.flush();
        let fed =
            IngestTotals { durable: self.batches.durable(), already_present: self.already_present, bad };
        (fed, flushed.and(self.bad.finish()))
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

    /// A line without its LF.
    fn whole_line(&mut self, raw: &[u8]) -> Result<(), StopReason> {
        self.check_signals()?;
        self.line += 1;
        let Some(fault) = self.accept(raw)? else { return Ok(()) };
        self.begin_bad(&fault)?;
        self.bad.raw(raw)?;
        Ok(self.bad.end()?)
    }

    /// A piece of a line beyond the limit, which is never complete in memory.
    fn long_line(&mut self, piece: &[u8], last: bool) -> Result<(), StopReason> {
        if !self.in_long_line {
            self.line += 1;
            self.in_long_line = true;
            self.begin_bad(&Fault::too_long())?;
        }
        self.bad.raw(piece)?;
        if last {
            self.in_long_line = false;
            self.bad.end()?;
        }
        Ok(())
    }

    fn begin_bad(&mut self, fault: &Fault) -> Result<(), StopReason> {
        let column = fault.offset + 1;
        self.bad.begin(&self.input, self.line, column, &fault.reason)
    }

    /// Submits a line unless it is blank or already present. Returns `Some` if it is bad.
    fn accept(&mut self, raw: &[u8]) -> Result<Option<Fault>, CliError> {
        let value = match line::value(raw) {
            Ok(value) if value.is_empty() => return Ok(None),
            Ok(value) => value,
            Err(fault) => return Ok(Some(fault)),
        };
        let lead = value.start;
        let fault = self.accept_value(&raw[value])?;
        Ok(fault.map(|fault| Fault { offset: lead + fault.offset, ..fault }))
    }

    fn accept_value(&mut self, value: &[u8]) -> Result<Option<Fault>, CliError> {
        if let Some(resume_check) = self.resume_check.as_mut().filter(|resume_check| !resume_check.is_done())
        {
            let place = (&*self.input, self.line);
            return Ok(match resume_check.check(value, place)? {
                Verdict::Bad(fault) => Some(fault),
                Verdict::AlreadyPresent => {
                    self.already_present += 1;
                    None
                }
            });
        }
        if self.resume_check.is_some() {
            if let Err(fault) = line::check(value) {
                return Ok(Some(fault));
            }
            self.resume_check.take().map_or(Ok(()), |resume_check| resume_check.finish())?;
        }
        Ok(self.batches.push(value)?.err())
    }
}
