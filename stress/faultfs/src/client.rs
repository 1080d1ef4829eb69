//! The handle that tests use: a mounted file system, unmounted when it is dropped.

use std::{
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

use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::{
    daemon::READY,
    mounts::temp_dir,
    protocol::{Command, MountOptions, Op, Reply, Rule, RuleId, socket_path},
    recording::KeptWrites,
};

/// The longest wait for a reply. The program's own waits are shorter, so one that takes longer is broken.
const REPLY_TIMEOUT: Duration = Duration::from_secs(90);

/// The name of the served directory.
const BACKING: &str = "backing";

/// A mounted file system that fails on command.
///
/// It ends together with the *thread* that mounted it, also if that thread panics.
#[derive(Debug)]
pub struct Faultfs {
    daemon: Child,
    mount_point: PathBuf,
    /// Removed after the file system is unmounted.
    dir: TempDir,
}

impl Faultfs {
    /// Runs `program`, which passes its further arguments to [`run`](crate::run), to serve a new, empty directory in
    /// memory.
    pub fn mount(mut program: Process, options: MountOptions) -> io::Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Err(io::Error::other("only root can mount and unmount"));
        }
        let dir = temp_dir()?;
        let [backing, mount_point] = [BACKING, "mount"].map(|name| dir.path().join(name));
        [&backing, &mount_point].into_iter().try_for_each(fs::create_dir)?;
        program.args([&backing, &mount_point]).arg(serde_json::to_string(&options)?);
        let daemon = program.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut this = Self { daemon, mount_point, dir };
        let mut line = String::new();
        if let Some(output) = this.daemon.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        if line.trim_end() != READY {
            return Err(io::Error::other("the file system was not mounted: see its own message"));
        }
        Ok(this)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mount_point
    }

    /// Returns the directory that the mount serves.
    #[must_use]
    pub fn backing(&self) -> PathBuf {
        self.dir.path().join(BACKING)
    }

    /// Adds a rule; it counts operations from now on.
    pub fn set(&self, rule: Rule) -> io::Result<RuleId> {
        self.send(&Command::Add(rule))
    }

    /// Ends a rule; the operations that it blocks continue.
    pub fn release(&self, rule: RuleId) -> io::Result<()> {
        self.send(&Command::Release(rule))
    }

    /// Ends every rule and limit; everything works again.
    pub fn clear(&self) -> io::Result<()> {
        self.send(&Command::Clear)
    }

    /// Limits the bytes by which all files together may grow; truncating or deleting a file frees its bytes again. A
    /// write beyond the limit is short, and the next one fails with `errno`.
    pub fn set_space_limit(&self, bytes: u64, errno: Errno) -> io::Result<()> {
        self.send(&Command::SetSpaceLimit { bytes, errno: errno.raw_os_error() })
    }

    /// Makes every later change, and every later open for writing, fail with `EROFS`.
    pub fn read_only(&self) -> io::Result<()> {
        self.send(&Command::ReadOnly)
    }

    /// Waits until a rule was applied `times` times.
    ///
    /// # Errors
    ///
    /// The rule was not applied that often within a minute.
    pub fn await_fired(&self, rule: RuleId, times: u64) -> io::Result<()> {
        self.send(&Command::AwaitFired { rule, times })
    }

    /// Waits until a rule blocks `operations` operations at once.
    ///
    /// # Errors
    ///
    /// The rule does not block that many within a minute.
    pub fn await_blocked(&self, rule: RuleId, operations: u64) -> io::Result<()> {
        self.send(&Command::AwaitBlocked { rule, operations })
    }

    /// Returns the number of operations that a rule was applied to.
    pub fn fired(&self, rule: RuleId) -> io::Result<u64> {
        self.send(&Command::Fired(rule))
    }

    /// Returns the number of operations of this kind since the file system was mounted.
    pub fn count(&self, op: Op) -> io::Result<u64> {
        self.send(&Command::Count(op))
    }

    /// Copies the state that a power cut at this moment would leave into the directory `to`, which is empty or is
    /// created. Of the changes that were not synced, it contains those that `kept` selects.
    pub fn power_cut(&self, to: &Path, kept: KeptWrites) -> io::Result<()> {
        self.send(&Command::PowerCut { to: to.to_path_buf(), kept })
    }

    /// Records every change and sync of a file in the root directory from now on; what it contains now is durable.
    pub fn record(&self, name: &str) -> io::Result<()> {
        self.send(&Command::Record(name.to_owned()))
    }

    /// Writes the recording of a file to the file `to`.
    pub fn save_recording(&self, name: &str, to: &Path) -> io::Result<()> {
        self.send(&Command::SaveRecording { name: name.to_owned(), to: to.to_path_buf() })
    }

    /// Kills the program that serves the file system: all running and later operations fail.
    pub fn kill(&mut self) -> io::Result<()> {
        self.daemon.kill()?;
        self.daemon.wait().map(drop)
    }

    fn send<T: DeserializeOwned>(&self, command: &Command) -> io::Result<T> {
        send(&self.mount_point, command)
    }
}

/// Adds a marker to each recording of the file system at `mount_point`, which another process may have mounted.
pub fn mark(mount_point: &Path, text: &str) -> io::Result<()> {
    send(mount_point, &Command::Mark(text.to_owned()))
}

fn send<T: DeserializeOwned>(mount_point: &Path, command: &Command) -> io::Result<T> {
    let mut stream = UnixStream::connect(socket_path(mount_point))?;
    stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
    let mut line = serde_json::to_vec(command)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut reply = String::new();
    BufReader::new(stream).read_line(&mut reply)?;
    let reply: Reply<T> = serde_json::from_str(&reply)?;
    reply.map_err(|error| io::Error::other(format!("the file system replied: {error}")))
}

impl Drop for Faultfs {
    fn drop(&mut self) {
        // Unmount first: killing the program first turns every operation into an error but leaves the mount. The
        // blocked operations end with the program.
        let _ = unmount(&self.mount_point, UnmountFlags::DETACH);
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
