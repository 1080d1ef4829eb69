//! A contestant in a child process, as the program sees it. Every wait has a limit; the child ends with its handle.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use super::{
    judge::Returned,
    wire::{Order, Said},
};
use crate::contestant::{Kind, Settings};

/// How long a child may be silent before it counts as hanging.
pub const SILENCE: Duration = Duration::from_secs(30);

/// How much longer one may be that computes: damage can make a log check gibibytes.
const AT_WORK: Duration = Duration::from_secs(120);

/// What came of waiting for a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It said something.
    Said(Said),
    /// It ended without saying so before: how, and the last it wrote on standard error.
    Ended(String),
    /// It said nothing for too long: for how long, and whether it is at work or waits.
    Silent(String),
}

/// How an opening went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// It is open, and what opening told.
    Open(Option<String>),
    /// The contestant gave this error.
    Refused(String),
    /// It panicked, crashed or hung: how.
    Broke(String),
}

/// A child that serves a log.
#[derive(Debug)]
pub struct Served {
    child: Child,
    orders: Option<ChildStdin>,
    said: Receiver<Said>,
    stderr: File,
}

impl Served {
    /// Starts a child for the log of `kind` in `dir`.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start(kind: Kind, dir: &Path, settings: Settings) -> io::Result<Self> {
        Self::start_under(&[], kind, dir, settings)
    }

    /// As [`start`](Self::start), under a tracer: a program and its arguments.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start_under(tracer: &[&str], kind: Kind, dir: &Path, settings: Settings) -> io::Result<Self> {
        let own = std::env::current_exe()?;
        let mut command = match tracer.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(own);
                command
            }
            None => Command::new(own),
        };
        let stderr = tempfile::tempfile()?;
        command.args(["child", kind.name()]).arg(dir).arg(settings.segment_bytes.to_string());
        command.env("WALRUS_DATA_DIR", dir).env("WALRUS_QUIET", "1").env_remove("WALRUS_INSTANCE_KEY");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr.try_clone()?);
        let mut child = command.spawn()?;
        let orders = child.stdin.take();
        let (says, said) = channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    // What is not ours was printed by the contestant; a line cut off by a kill is no news.
                    if let Ok(message) = serde_json::from_str(&line)
                        && says.send(message).is_err()
                    {
                        break;
                    }
                }
            });
        }
        Ok(Self { child, orders, said, stderr })
    }

    /// The child's process number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives an order. A child that is gone is noticed by the next wait.
    pub fn order(&mut self, order: &Order) {
        let Ok(mut line) = serde_json::to_vec(order) else { return };
        line.push(b'\n');
        if let Some(orders) = &mut self.orders
            && orders.write_all(&line).is_err()
        {
            self.orders = None;
        }
    }

    /// The next that the child says.
    pub fn next(&mut self, silence: Duration) -> Event {
        let mut said = self.said.recv_timeout(silence);
        let mut waited = silence;
        if said == Err(RecvTimeoutError::Timeout) && silence >= SILENCE && self.is_running() {
            said = self.said.recv_timeout(AT_WORK);
            waited += AT_WORK;
        }
        match said {
            Ok(said) => Event::Said(said),
            Err(RecvTimeoutError::Timeout) => {
                let doing = if self.is_running() { "at work" } else { "waiting" };
                Event::Silent(format!("no answer in {} s ({doing})", waited.as_secs()))
            }
            Err(RecvTimeoutError::Disconnected) => match self.child.wait() {
                Ok(status) => Event::Ended(self.describe(status)),
                Err(error) => Event::Ended(error.to_string()),
            },
        }
    }

    /// Whether any of the child's threads computes, rather than waits.
    fn is_running(&self) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid()));
        tasks.is_ok_and(|mut tasks| {
            tasks.any(|task| {
                let stat =
                    task.and_then(|task| fs::read_to_string(task.path().join("stat"))).unwrap_or_default();
                // The state is the first word behind the name, which is in parentheses.
                stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('R'))
            })
        })
    }

    fn describe(&mut self, status: ExitStatus) -> String {
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            _ => "unknown end".to_string(),
        };
        let mut text = String::new();
        let read = self.stderr.rewind().and_then(|()| self.stderr.read_to_string(&mut text));
        let last = text.lines().rfind(|line| !line.trim().is_empty() && !line.contains("RUST_BACKTRACE"));
        match (read, last) {
            (Ok(_), Some(last)) => format!("{how} ({})", last.trim()),
            _ => how,
        }
    }

    /// Waits for the log to be open.
    pub fn opened(&mut self) -> Opening {
        match self.next(SILENCE) {
            Event::Said(Said::Opened(told)) => Opening::Open(told),
            Event::Said(Said::NotOpened(error)) => Opening::Refused(error),
            Event::Said(Said::Panicked(panic)) => Opening::Broke(format!("panic: {panic}")),
            Event::Said(other) => Opening::Broke(format!("{other:?}")),
            Event::Ended(how) => Opening::Broke(how),
            Event::Silent(how) => Opening::Broke(how),
        }
    }

    /// Gives an order and gathers what is said until it is done, or the child ends or hangs: then the last is that.
    pub fn carry_out(&mut self, order: &Order) -> Vec<Event> {
        self.order(order);
        let mut events = Vec::new();
        loop {
            match self.next(SILENCE) {
                Event::Said(Said::Done) => return events,
                Event::Said(Said::Closed | Said::NotClosed(_)) if *order == Order::Close => return events,
                Event::Said(said) => events.push(Event::Said(said)),
                end => {
                    events.push(end);
                    return events;
                }
            }
        }
    }

    /// Asks for every record.
    pub fn replay(&mut self) -> Returned {
        let mut returned = Returned::default();
        for event in self.carry_out(&Order::Replay) {
            match event {
                Event::Said(Said::Found(appender, number, genuine)) => {
                    returned.records.push((appender, number, genuine));
                }
                Event::Said(Said::Garbage(_)) => returned.garbage += 1,
                Event::Said(Said::NotReplayed(error)) => returned.error = Some(error),
                Event::Said(Said::Panicked(panic)) => returned.broke = Some(format!("panic: {panic}")),
                Event::Said(_) => {}
                Event::Ended(how) => returned.broke = Some(how),
                Event::Silent(how) => returned.broke = Some(how),
            }
        }
        returned
    }

    /// Kills the child and gives back what it said until then.
    pub fn kill(mut self) -> Vec<Said> {
        // It may have ended by itself: that is what was wanted.
        self.child.kill().ok();
        let deadline = Instant::now() + SILENCE;
        let mut said = Vec::new();
        while let Ok(message) = self.said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            said.push(message);
        }
        said
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Nothing is left to be told about a child that has ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
