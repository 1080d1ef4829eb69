//! The handle that tests use: a mounted file system, unmounted when it is dropped.

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
    protocol::{Command, MountOptions, Op, Reply, Rule, RuleId, socket_path},
};

/// The longest wait for a reply. The program's own waits are shorter, so one that takes longer is broken.
const REPLY_TIMEOUT: Duration = Duration::from_secs(90);

/// A mounted file system that fails on command.
///
/// It ends together with the *thread* that mounted it, also if that thread panics.
#[derive(Debug)]
pub struct Faultfs {
    daemon: Child,
    backing: PathBuf,
    mount_point: PathBuf,
}

impl Faultfs {
    /// Runs `program` (`ministore-faultfs`) to serve the existing directory `backing` at the existing directory
    /// `mount_point`. Needs the right to mount.
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

    /// Returns the mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mount_point
    }

    /// Returns the directory that the mount serves.
    #[must_use]
    pub fn backing(&self) -> &Path {
        &self.backing
    }

    /// Adds a rule; it counts operations from now on.
    ///
    /// # Errors
    ///
    /// The file system is gone.
    pub fn set(&self, rule: Rule) -> io::Result<RuleId> {
        match self.send(&Command::Add(rule))? {
            Reply::Rule(id) => Ok(id),
            other => Err(unexpected(&other)),
        }
    }

    /// Ends a rule; the operations that it blocks continue.
    ///
    /// # Errors
    ///
    /// The file system is gone.
    pub fn release(&self, rule: RuleId) -> io::Result<()> {
        self.execute(&Command::Release(rule))
    }

    /// Ends every rule and limit; everything works again.
    ///
    /// # Errors
    ///
    /// The file system is gone.
    pub fn clear(&self) -> io::Result<()> {
        self.execute(&Command::Clear)
    }

    /// Limits the bytes by which all files together may grow; truncating or deleting a file frees its bytes again. A
    /// write beyond the limit is short, and the next one fails with `errno`.
    ///
    /// # Errors
    ///
    /// The file system is gone.
    pub fn set_space_limit(&self, bytes: u64, errno: Errno) -> io::Result<()> {
        self.execute(&Command::SetSpaceLimit { bytes, errno: errno.raw_os_error() })
    }

    /// Makes every later change, and every later open for writing, fail with `EROFS`.
    ///
    /// # Errors
    ///
    /// The file system is gone.
    pub fn read_only(&self) -> io::Result<()> {
        self.execute(&Command::ReadOnly)
    }

    /// Waits until a rule was applied `times` times.
    ///
    /// # Errors
    ///
    /// The rule was not applied that often within a minute.
    pub fn await_fired(&self, rule: RuleId, times: u64) -> io::Result<()> {
        self.execute(&Command::AwaitFired { rule, times })
    }

    /// Waits until a rule blocks `operations` operations at once.
    ///
    /// # Errors
    ///
    /// The rule does not block that many within a minute.
    pub fn await_blocked(&self, rule: RuleId, operations: u64) -> io::Result<()> {
        self.execute(&Command::AwaitBlocked { rule, operations })
    }

    /// Returns the number of operations that a rule was applied to.
    ///
    /// # Errors
    ///
    /// The file system is gone.
    pub fn fired(&self, rule: RuleId) -> io::Result<u64> {
        match self.send(&Command::Fired(rule))? {
            Reply::Count(count) => Ok(count),
            other => Err(unexpected(&other)),
        }
    }

    /// Returns the number of operations of this kind since the file system was mounted.
    ///
    /// # Errors
    ///
    /// The file system is gone.
    pub fn count(&self, op: Op) -> io::Result<u64> {
        match self.send(&Command::Counts)? {
            Reply::Counts(counts) => Ok(BTreeMap::get(&counts, &format!("{op:?}")).copied().unwrap_or(0)),
            other => Err(unexpected(&other)),
        }
    }

    /// Copies the state that a power cut at this moment would leave into `to`: data that was not synced is missing.
    /// Names are copied as they are.
    ///
    /// # Errors
    ///
    /// The operating system's error.
    pub fn power_cut(&self, to: &Path) -> io::Result<()> {
        self.execute(&Command::PowerCut { to: to.to_path_buf() })
    }

    /// Kills the program that serves the file system: all running and later operations fail.
    ///
    /// # Errors
    ///
    /// The operating system's error.
    pub fn kill(&mut self) -> io::Result<()> {
        self.daemon.kill()?;
        self.daemon.wait().map(drop)
    }

    fn execute(&self, command: &Command) -> io::Result<()> {
        match self.send(command)? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    fn send(&self, command: &Command) -> io::Result<Reply> {
        let mut stream = UnixStream::connect(socket_path(&self.mount_point))?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        let mut reply = String::new();
        BufReader::new(stream).read_line(&mut reply)?;
        Ok(serde_json::from_str(&reply)?)
    }
}

fn unexpected(reply: &Reply) -> io::Error {
    io::Error::other(format!("the file system replied: {reply:?}"))
}

impl Drop for Faultfs {
    fn drop(&mut self) {
        // Unmount first: killing the program first turns every operation into an error but leaves the mount. The
        // blocked operations end with the program.
        let _ = unmount(&self.mount_point, UnmountFlags::DETACH);
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let _ = fs::remove_file(socket_path(&self.mount_point));
    }
}
