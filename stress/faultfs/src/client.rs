//! The handle that tests hold: a mounted file system, taken down when it is dropped.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command as Process, Stdio},
    time::Duration,
};

use rustix::{
    io::Errno,
    mount::{UnmountFlags, unmount},
};

use crate::{
    daemon::READY,
    protocol::{Answer, Command, MountOptions, Op, Rule, RuleId, socket_path},
};

/// A program that does not answer for so long is broken: its own waits are shorter.
const ANSWER: Duration = Duration::from_secs(90);

/// A mounted file system that fails on command.
///
/// It ends with the *thread* that mounted it, whatever happens to that thread.
#[derive(Debug)]
pub struct Faultfs {
    daemon: Child,
    backing: PathBuf,
    mount_point: PathBuf,
}

impl Faultfs {
    /// Runs `program` (`ministore-faultfs`) to serve what is in `backing` at `mount_point`, both of them
    /// directories that exist. Needs the right to mount.
    ///
    /// # Errors
    ///
    /// The program did not start, or did not mount.
    pub fn mount(
        program: &Path,
        backing: &Path,
        mount_point: &Path,
        options: MountOptions,
    ) -> io::Result<Self> {
        let mut command = Process::new(program);
        command.args([backing, mount_point]).args(options.to_args());
        let daemon = command.stdout(Stdio::piped()).spawn()?;
        let mut this =
            Self { daemon, backing: backing.to_path_buf(), mount_point: mount_point.to_path_buf() };
        let mut line = String::new();
        if let Some(output) = this.daemon.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        if line.trim_end() != READY {
            return Err(io::Error::other("the file system was not mounted: see its own message"));
        }
        Ok(this)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mount_point
    }

    /// The directory behind it.
    #[must_use]
    pub fn backing(&self) -> &Path {
        &self.backing
    }

    /// Sets a rule; it counts from now.
    ///
    /// # Errors
    ///
    /// The file system is gone.
    pub fn set(&self, rule: Rule) -> io::Result<RuleId> {
        match self.ask(&Command::Add(rule))? {
            Answer::Rule(id) => Ok(id),
            other => Err(unexpected(&other)),
        }
    }

    /// Ends a rule; what it holds back goes on.
    ///
    /// # Errors
    ///
    /// The file system is gone.
    pub fn release(&self, rule: RuleId) -> io::Result<()> {
        self.order(&Command::Release(rule))
    }

    /// Ends every rule and limit; everything works again.
    ///
    /// # Errors
    ///
    /// The file system is gone.
    pub fn clear(&self) -> io::Result<()> {
        self.order(&Command::Clear)
    }

    /// Files may grow by so many bytes together (what is cut or deleted is room again); a write beyond that is
    /// short, and the next one fails with `errno`.
    ///
    /// # Errors
    ///
    /// The file system is gone.
    pub fn set_space_limit(&self, bytes: u64, errno: Errno) -> io::Result<()> {
        self.order(&Command::LimitRoom { bytes, errno: errno.raw_os_error() })
    }

    /// From now on every change, and every opening for writing, fails with `EROFS`.
    ///
    /// # Errors
    ///
    /// The file system is gone.
    pub fn read_only(&self) -> io::Result<()> {
        self.order(&Command::ReadOnly)
    }

    /// Waits until a rule was applied so many times.
    ///
    /// # Errors
    ///
    /// It was not within a minute.
    pub fn await_fired(&self, rule: RuleId, times: u64) -> io::Result<()> {
        self.order(&Command::AwaitFired { rule, times })
    }

    /// Waits until a rule holds so many operations back at once.
    ///
    /// # Errors
    ///
    /// It does not within a minute.
    pub fn await_held(&self, rule: RuleId, operations: u64) -> io::Result<()> {
        self.order(&Command::AwaitHeld { rule, operations })
    }

    /// How many operations a rule was applied to.
    ///
    /// # Errors
    ///
    /// The file system is gone.
    pub fn fired(&self, rule: RuleId) -> io::Result<u64> {
        match self.ask(&Command::Fired(rule))? {
            Answer::Count(count) => Ok(count),
            other => Err(unexpected(&other)),
        }
    }

    /// How many such operations there were since it was mounted.
    ///
    /// # Errors
    ///
    /// The file system is gone.
    pub fn count(&self, op: Op) -> io::Result<u64> {
        match self.ask(&Command::Counts)? {
            Answer::Counts(counts) => Ok(BTreeMap::get(&counts, &format!("{op:?}")).copied().unwrap_or(0)),
            other => Err(unexpected(&other)),
        }
    }

    /// Copies what a power cut at this moment would leave into `to`: everything that was not synced is missing.
    /// Names are taken as they are.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn power_cut(&self, to: &Path) -> io::Result<()> {
        self.order(&Command::PowerCut { to: to.to_path_buf() })
    }

    /// Kills the program that serves it: whatever is under way in it, and whatever comes, fails.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn kill(&mut self) -> io::Result<()> {
        self.daemon.kill()?;
        self.daemon.wait().map(drop)
    }

    fn order(&self, command: &Command) -> io::Result<()> {
        match self.ask(command)? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    fn ask(&self, command: &Command) -> io::Result<Answer> {
        let mut stream = UnixStream::connect(socket_path(&self.mount_point))?;
        stream.set_read_timeout(Some(ANSWER))?;
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        Ok(serde_json::from_str(&answer)?)
    }
}

fn unexpected(answer: &Answer) -> io::Error {
    io::Error::other(format!("the file system answered: {answer:?}"))
}

impl Drop for Faultfs {
    fn drop(&mut self) {
        // The mount first: who kills the program first makes everything in it an error, but leaves it mounted. What
        // is held back ends with the program.
        let _ = unmount(&self.mount_point, UnmountFlags::DETACH);
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let _ = fs::remove_file(socket_path(&self.mount_point));
    }
}
