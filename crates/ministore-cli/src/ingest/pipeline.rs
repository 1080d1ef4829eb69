//! Processes lines: skips blank ones, compares those of an interrupted run, handles bad ones, submits all others.

use bytes::Bytes;
use ministore_uring::MiniStore;

use super::{
    LINE_BYTES_MAX, StopReason,
    bad_lines::{BadLine, BadLineCounts, BadLines},
    batch::{BatchWriter, DurableTotals},
    line::{self, LineError, LineErrorKind, LinePosition, RawLine},
    line_reader::InputEvent,
    resume_check::ResumeCheck,
};
use crate::{
    exit::{CliError, ExitStatus},
    input::Input,
    lines::LineBlock,
    signals::SignalHandler,
    units,
};

/// Processes the events of the reading thread.
#[derive(Debug)]
pub(super) struct Pipeline<'a> {
    batches: BatchWriter<'a>,
    resume_check: Option<ResumeCheck>,
    /// Lines that the interrupted run had appended.
    already_present: u64,
    bad: BadLines,
    /// `None`: no input was opened.
    current: Option<CurrentInput>,
    signals: SignalHandler,
}

/// The input that is being processed.
#[derive(Debug)]
struct CurrentInput {
    input: Input,
    /// Its name in the quarantine file.
    origin: String,
    /// The current line.
    position: LinePosition,
    /// The offset of the next line.
    next_start: u64,
    accepted: u64,
    bad: u64,
}

impl CurrentInput {
    fn new(input: Input) -> Self {
        let origin = if input == Input::Stdin { input.name() } else { input.key() };
        let position = LinePosition { number: 0, start: 0 };
        Self { input, origin, position, next_start: 0, accepted: 0, bad: 0 }
    }

    /// Starts the next line.
    fn begin_line(&mut self) {
        self.position = LinePosition { number: self.position.number + 1, start: self.next_start };
    }

    fn bad_line<'a>(&'a self, error: &'a LineError) -> BadLine<'a> {
        BadLine { input: &self.input, origin: &self.origin, position: self.position, error }
    }

    /// Checks that this is the right kind of file: an input of another format has no line that is a record.
    fn check_end(&self) -> Result<(), CliError> {
        if self.accepted > 0 || self.bad == 0 {
            return Ok(());
        }
        let reason = format!("no line is a record ({})", units::counted(self.bad, "bad line"));
        Err(CliError::about(self.input.name().as_ref(), ExitStatus::BadData, reason)
            .hint("check its format: one JSON value per line. Leave the file out to ingest the others"))
    }
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
            current: None,
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
        self.batches.flush()?;
        self.bad.flush()
    }

    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        self.bad.take_warnings()
    }

    pub(super) fn process(&mut self, event: InputEvent) -> Result<(), StopReason> {
        match event {
            InputEvent::Opened(input) => {
                self.end_input()?;
                self.current = Some(CurrentInput::new(input));
                Ok(())
            }
            InputEvent::Block(LineBlock::Lines(block)) => self.lines(&block),
            InputEvent::Block(LineBlock::LongLine { piece, is_first, is_last }) => {
                self.long_line(&piece, is_first, is_last)
            }
            InputEvent::Failed(_) | InputEvent::End | InputEvent::Wake => Ok(()),
        }
    }

    fn end_input(&mut self) -> Result<(), CliError> {
        self.current.take().map_or(Ok(()), |ended| ended.check_end())
    }

    /// Checks at the end of the input that it contained all lines of the interrupted run.
    pub(super) fn input_ended(&mut self) -> Result<(), StopReason> {
        self.end_input()?;
        self.resume_check.as_ref().map_or(Ok(()), |resume_check| Ok(resume_check.input_ended()?))
    }

    /// Makes everything durable, including the quarantine file. Returns the last warnings, too.
    pub(super) fn finish(mut self) -> (IngestTotals, Vec<String>, Result<(), CliError>) {
        let bad = self.bad.counts();
        let flushed = self.batches.flush();
        let totals =
            IngestTotals { durable: self.batches.durable(), already_present: self.already_present, bad };
        let finished = self.bad.finish();
        (totals, self.bad.take_warnings(), flushed.and(finished))
    }

    fn lines(&mut self, block: &Bytes) -> Result<(), StopReason> {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', block) {
            self.whole_line(&block[start..end], true)?;
            start = end + 1;
        }
        if start < block.len() { self.whole_line(&block[start..], false) } else { Ok(()) }
    }

    /// Processes a line without its LF.
    fn whole_line(&mut self, bytes: &[u8], has_lf: bool) -> Result<(), StopReason> {
        self.check_signals()?;
        let Some(current) = &mut self.current else { return Ok(()) };
        current.begin_line();
        current.next_start += bytes.len() as u64 + u64::from(has_lf);
        let raw = RawLine { bytes, number: current.position.number, has_lf };
        let Some(error) = self.accept(raw)? else { return Ok(()) };
        let Some(current) = &mut self.current else { return Ok(()) };
        // The file has another format: its lines must not be handled one by one.
        let is_first = current.accepted == 0 && current.bad == 0;
        if is_first && matches!(error.kind, LineErrorKind::MultiLine { is_opened: true, .. }) {
            return Err(current.bad_line(&error).failure().into());
        }
        current.bad += 1;
        self.bad.add(current.bad_line(&error), bytes)
    }

    /// Processes a piece of a line that is longer than the limit. Such a line is never complete in memory.
    fn long_line(&mut self, piece: &[u8], is_first: bool, is_last: bool) -> Result<(), StopReason> {
        let Some(current) = &mut self.current else { return Ok(()) };
        if is_first {
            current.begin_line();
            current.bad += 1;
            self.bad.begin_long(current.bad_line(&LineError::too_long(LINE_BYTES_MAX)))?;
        }
        current.next_start += piece.len() as u64 + u64::from(is_last);
        Ok(self.bad.add_piece(piece, is_last)?)
    }

    /// Submits a line unless it is blank or already present. Returns `Some` if it is bad.
    fn accept(&mut self, raw: RawLine<'_>) -> Result<Option<LineError>, CliError> {
        let value = match line::value(raw) {
            Ok(value) if value.is_empty() => return Ok(None),
            Ok(value) => value,
            Err(line_error) => return Ok(Some(line_error)),
        };
        let start = value.start;
        let line_error = self.accept_value(&raw.bytes[value])?;
        if line_error.is_none()
            && let Some(current) = &mut self.current
        {
            current.accepted += 1;
        }
        Ok(line_error.map(|line_error| line_error.in_line(start)))
    }

    fn accept_value(&mut self, value: &[u8]) -> Result<Option<LineError>, CliError> {
        if let Some(resume_check) = self.resume_check.as_mut().filter(|resume_check| !resume_check.is_done())
            && let Some(current) = &self.current
        {
            let checked = resume_check.check(value, &current.input.name(), current.position)?;
            self.already_present += u64::from(checked.is_ok());
            return Ok(checked.err());
        }
        if let Some(resume_check) = &self.resume_check {
            if let Err(line_error) = line::check(value) {
                return Ok(Some(line_error));
            }
            if let Some(current) = &self.current {
                resume_check.finish(&current.input.name(), current.position)?;
            }
            self.resume_check = None;
        }
        Ok(self.batches.push(value)?.err())
    }
}
