//! Owns the way of a line into the journal: blank ones passed over, those of an earlier run compared, bad ones put
//! aside, all others submitted.

use bytes::Bytes;
use ministore_uring::MiniStore;

use super::{
    Stop,
    bad::{BadLines, Counts},
    batch::{Batches, Durable},
    blocks::Event,
    line::{self, Fault},
    pass_over::{PassOver, Verdict},
};
use crate::{exit::Failure, signals::Interrupts};

/// Takes what the reading thread has read.
#[derive(Debug)]
pub(super) struct Feed<'a> {
    batches: Batches<'a>,
    pass_over: Option<PassOver>,
    /// Lines of an earlier run that were met again.
    passed_over: u64,
    bad: BadLines,
    /// The name of the input, and the line in it, counted from 1.
    input: String,
    line: u64,
    in_long_line: bool,
    interrupts: Interrupts,
}

/// How a run ended for the lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fed {
    /// Appended by this run.
    pub(super) durable: Durable,
    pub(super) passed_over: u64,
    pub(super) bad: Counts,
}

impl<'a> Feed<'a> {
    pub(super) fn new(
        store: &'a MiniStore,
        bad: BadLines,
        pass_over: Option<PassOver>,
        interrupts: Interrupts,
    ) -> Self {
        Self {
            batches: Batches::new(store),
            pass_over,
            passed_over: 0,
            bad,
            input: String::new(),
            line: 0,
            in_long_line: false,
            interrupts,
        }
    }

    pub(super) fn check_signals(&self) -> Result<(), Stop> {
        self.interrupts.raised().map_or(Ok(()), |code| Err(Stop::Interrupted(code)))
    }

    /// Records in the journal so far, for the progress bar.
    pub(super) fn records(&self) -> u64 {
        self.passed_over + self.batches.durable().records
    }

    /// Nothing more is at hand: what there is need not wait.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.batches.flush()
    }

    pub(super) fn take(&mut self, event: Event) -> Result<(), Stop> {
        match event {
            Event::Opened(name) => {
                self.input = name;
                self.line = 0;
                Ok(())
            }
            Event::Lines(block) => self.lines(&block),
            Event::Long { piece, last } => self.long_line(&piece, last),
            Event::Failed(_) | Event::End | Event::Wake => Ok(()),
        }
    }

    /// Nothing more comes: an earlier run must have been met in full.
    pub(super) fn input_ended(&self) -> Result<(), Stop> {
        self.pass_over.as_ref().map_or(Ok(()), |pass_over| Ok(pass_over.input_ended()?))
    }

    /// Makes everything durable, what was put aside too.
    pub(super) fn finish(mut self) -> (Fed, Result<(), Failure>) {
        let bad = self.bad.counts();
        let flushed = self.batches.flush();
        let fed = Fed { durable: self.batches.durable(), passed_over: self.passed_over, bad };
        (fed, flushed.and(self.bad.finish()))
    }

    fn lines(&mut self, block: &Bytes) -> Result<(), Stop> {
        // Only an input's last line may lack its LF; behind any other one there is nothing.
        let lines = block.strip_suffix(b"\n").unwrap_or(block);
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', lines) {
            self.whole_line(&lines[start..end])?;
            start = end + 1;
        }
        self.whole_line(&lines[start..])
    }

    /// A line without its LF.
    fn whole_line(&mut self, raw: &[u8]) -> Result<(), Stop> {
        self.check_signals()?;
        self.line += 1;
        let Some(fault) = self.accept(raw)? else { return Ok(()) };
        self.begin_bad(&fault)?;
        self.bad.raw(raw)?;
        Ok(self.bad.end()?)
    }

    /// A piece of a line beyond the limit; it is never whole in memory.
    fn long_line(&mut self, piece: &[u8], last: bool) -> Result<(), Stop> {
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

    fn begin_bad(&mut self, fault: &Fault) -> Result<(), Stop> {
        let column = fault.offset + 1;
        self.bad.begin(format_args!("{}:{}:{column}", self.input, self.line), &fault.reason)
    }

    /// Hands a line to the journal, unless it is blank or there already. `Some`: it is bad.
    fn accept(&mut self, raw: &[u8]) -> Result<Option<Fault>, Failure> {
        let value = match line::value(raw) {
            Ok(value) if value.is_empty() => return Ok(None),
            Ok(value) => value,
            Err(fault) => return Ok(Some(fault)),
        };
        let lead = value.start;
        let fault = self.accept_value(&raw[value])?;
        Ok(fault.map(|fault| Fault { offset: lead + fault.offset, ..fault }))
    }

    fn accept_value(&mut self, value: &[u8]) -> Result<Option<Fault>, Failure> {
        if let Some(pass_over) = self.pass_over.as_mut().filter(|pass_over| !pass_over.is_done()) {
            let place = || format!("{}:{}:1", self.input, self.line);
            return Ok(match pass_over.check(value, &place)? {
                Verdict::Bad(fault) => Some(fault),
                Verdict::Present => {
                    self.passed_over += 1;
                    None
                }
            });
        }
        if self.pass_over.is_some() {
            if let Err(fault) = line::check(value) {
                return Ok(Some(fault));
            }
            self.pass_over.take().map_or(Ok(()), |pass_over| pass_over.go_on())?;
        }
        self.batches.push(value).map(Result::err)
    }
}
