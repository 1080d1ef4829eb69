//! The handle of a child process that serves a log. Every wait has a timeout; the child ends with its handle.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{self, Child, ChildStdin, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use super::{
    integrity::ReplayResult,
    wire::{Command, Reply},
};
use crate::log_under_test::LogKind;

/// The longest wait for a reply before a child counts as hanging.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// The additional wait for a child that computes: damage can make a log check gibibytes.
const BUSY_EXTENSION: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChildEvent {
    Reply(Reply),
    /// It exited: how, and its last line on standard error.
    Exited(String),
    /// It sent no reply in time: the time waited, and whether it computes or waits.
    TimedOut(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenOutcome {
    /// It is open, with the message about recovered damage.
    Opened(Option<String>),
    Failed(String),
    /// It panicked, crashed or hung: how.
    Crashed(String),
}

/// A child that serves a log.
#[derive(Debug)]
pub struct ChildProcess {
    child: Child,
    commands: Option<ChildStdin>,
    replies: Receiver<Reply>,
    stderr: File,
}

impl ChildProcess {
    pub fn start(kind: LogKind, dir: &Path, segment_bytes: u64) -> io::Result<Self> {
        Self::start_under(&[], kind, dir, segment_bytes)
    }

    /// Starts a child as [`start`](Self::start) does, under a tracer: a program and its arguments.
    pub fn start_under(tracer: &[&str], kind: LogKind, dir: &Path, segment_bytes: u64) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let mut command = match tracer.split_first() {
            Some((tracer, arguments)) => {
                let mut command = process::Command::new(tracer);
                command.args(arguments).arg(program);
                command
            }
            None => process::Command::new(program),
        };
        let stderr = tempfile::tempfile()?;
        command.arg("child").arg(serde_json::to_string(&(kind, dir, segment_bytes))?);
        command.env("WALRUS_DATA_DIR", dir).env("WALRUS_QUIET", "1").env_remove("WALRUS_INSTANCE_KEY");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr.try_clone()?);
        let mut child = command.spawn()?;
        let commands = child.stdin.take();
        let (sender, replies) = channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    // Other lines were printed by the log itself, or were cut off by a kill.
                    if let Ok(message) = serde_json::from_str(&line)
                        && sender.send(message).is_err()
                    {
                        break;
                    }
                }
            });
        }
        Ok(Self { child, commands, replies, stderr })
    }

    pub fn opened(mut self, kind: LogKind) -> io::Result<Self> {
        match self.wait_for_open() {
            OpenOutcome::Opened(_) => Ok(self),
            other => Err(io::Error::other(format!("{}: does not open: {other:?}", kind.name()))),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a command. If the child has exited, the next wait reports that.
    pub fn send(&mut self, command: &Command) {
        let Ok(mut line) = serde_json::to_vec(command) else { return };
        line.push(b'\n');
        if let Some(commands) = &mut self.commands
            && commands.write_all(&line).is_err()
        {
            self.commands = None;
        }
    }

    pub fn next(&mut self, timeout: Duration) -> ChildEvent {
        let mut reply = self.replies.recv_timeout(timeout);
        let mut waited = timeout;
        if reply == Err(RecvTimeoutError::Timeout) && timeout >= REPLY_TIMEOUT && self.is_running() {
            reply = self.replies.recv_timeout(BUSY_EXTENSION);
            waited += BUSY_EXTENSION;
        }
        match reply {
            Ok(reply) => ChildEvent::Reply(reply),
            Err(RecvTimeoutError::Timeout) => {
                let activity = if self.is_running() { "at work" } else { "waiting" };
                ChildEvent::TimedOut(format!("no answer in {} s ({activity})", waited.as_secs()))
            }
            Err(RecvTimeoutError::Disconnected) => match self.child.wait() {
                Ok(status) => ChildEvent::Exited(self.describe(status)),
                Err(error) => ChildEvent::Exited(error.to_string()),
            },
        }
    }

    /// Returns whether a thread of the child computes instead of waiting.
    fn is_running(&self) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid()));
        tasks.is_ok_and(|mut tasks| {
            tasks.any(|task| {
                let stat =
                    task.and_then(|task| fs::read_to_string(task.path().join("stat"))).unwrap_or_default();
                // The state is the first word after the name, which is in parentheses.
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

    pub fn wait_for_open(&mut self) -> OpenOutcome {
        match self.next(REPLY_TIMEOUT) {
            ChildEvent::Reply(Reply::Opened(message)) => OpenOutcome::Opened(message),
            ChildEvent::Reply(Reply::NotOpened(error)) => OpenOutcome::Failed(error),
            ChildEvent::Reply(Reply::Panicked(panic)) => OpenOutcome::Crashed(format!("panic: {panic}")),
            ChildEvent::Reply(other) => OpenOutcome::Crashed(format!("{other:?}")),
            ChildEvent::Exited(how) => OpenOutcome::Crashed(how),
            ChildEvent::TimedOut(how) => OpenOutcome::Crashed(how),
        }
    }

    /// Sends a command and collects the replies until it is done. If the child exits or hangs, that event is the last.
    pub fn execute(&mut self, command: &Command) -> Vec<ChildEvent> {
        self.send(command);
        let mut events = Vec::new();
        loop {
            match self.next(REPLY_TIMEOUT) {
                ChildEvent::Reply(Reply::Done) => return events,
                ChildEvent::Reply(Reply::Closed | Reply::NotClosed(_)) if *command == Command::Close => {
                    return events;
                }
                ChildEvent::Reply(reply) => events.push(ChildEvent::Reply(reply)),
                end => {
                    events.push(end);
                    return events;
                }
            }
        }
    }

    pub fn replay(&mut self) -> ReplayResult {
        let mut result = ReplayResult::default();
        for event in self.execute(&Command::Replay) {
            match event {
                ChildEvent::Reply(Reply::Found(appender, number, genuine)) => {
                    result.records.push((appender, number, genuine));
                }
                ChildEvent::Reply(Reply::Garbage(_)) => result.garbage += 1,
                ChildEvent::Reply(Reply::NotReplayed(error)) => result.error = Some(error),
                ChildEvent::Reply(Reply::Panicked(panic)) => result.crash = Some(format!("panic: {panic}")),
                ChildEvent::Reply(_) => {}
                ChildEvent::Exited(how) => result.crash = Some(how),
                ChildEvent::TimedOut(how) => result.crash = Some(how),
            }
        }
        result
    }

    /// Kills the child and returns its replies until then.
    pub fn kill(mut self) -> Vec<Reply> {
        // The child may have exited already.
        self.child.kill().ok();
        let deadline = Instant::now() + REPLY_TIMEOUT;
        let mut replies = Vec::new();
        while let Ok(reply) = self.replies.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            replies.push(reply);
        }
        replies
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // Errors mean that the child has exited already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
