//! Private mount namespaces, and guards that remove mounts and loop devices, for tests on real file systems.
//!
//! A copy of a mount in another namespace keeps its file system alive after `umount` here. The next mount of the device
//! would then show the old contents and report false losses. The private namespace prevents that, and
//! [`LoopDevice::assert_unused`] checks it after an `umount`.

use std::{
    ffi::CStr,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use rustix::{
    fs::OFlags,
    io::Errno,
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount},
    thread::UnshareFlags,
};
use tempfile::{Builder, TempDir};

/// The prefix of the names of all directories and images. The PID follows.
const PREFIX: &str = "ministore-disk-";

/// Attempts to attach a loop device, because other processes may take the free device first.
const ATTACH_TRIES: usize = 20;

/// Attempts to unmount a busy file system: ten seconds in total.
const BUSY_TRIES: usize = 1000;

/// The pause between two attempts.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Moves this thread, and the threads and processes that it starts later, into a private mount namespace: no other
/// process can keep their mounts alive, and the mounts end with them.
pub fn enter_private_namespace() -> io::Result<()> {
    #[expect(deprecated, reason = "only unsharing descriptor tables is unsafe, and they stay shared")]
    rustix::thread::unshare(UnshareFlags::NEWNS)?;
    let flags = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount_change("/", flags).map_err(io::Error::from)
}

/// Creates a directory in memory, or the system's directory for temporary files where there is none.
pub fn temp_dir() -> io::Result<TempDir> {
    Builder::new().prefix(&prefix()).tempdir_in(memory())
}

fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

fn prefix() -> String {
    format!("{PREFIX}{}-", std::process::id())
}

#[derive(Debug)]
pub struct Mount {
    dir: Option<PathBuf>,
}

impl Mount {
    /// Mounts the file system of this kind at an existing directory, with the options `data`.
    pub fn new(device: &LoopDevice, dir: &Path, kind: &str, data: &CStr) -> io::Result<Self> {
        mount(&device.path, dir, kind, MountFlags::empty(), data)?;
        Ok(Self { dir: Some(dir.into()) })
    }

    /// Unmounts the file system.
    ///
    /// # Errors
    ///
    /// It stays in use.
    pub fn unmount(mut self) -> io::Result<()> {
        let dir = self.dir.take().unwrap_or_default();
        let outcome = while_busy(|| unmount(&dir, UnmountFlags::empty()));
        if outcome.is_err() {
            self.dir = Some(dir);
        }
        outcome.map_err(io::Error::from)
    }
}

/// Repeats `operation` while it fails with `EBUSY`, for ten seconds at most.
///
/// The kernel closes the ring of an exited process in the background, so the files of the ring may stay open for a
/// moment after `wait`.
fn while_busy(mut operation: impl FnMut() -> rustix::io::Result<()>) -> rustix::io::Result<()> {
    for _ in 0..BUSY_TRIES {
        match operation() {
            Err(Errno::BUSY) => thread::sleep(BUSY_PAUSE),
            outcome => return outcome,
        }
    }
    operation()
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Some(dir) = &self.dir {
            let _ = unmount(dir, UnmountFlags::empty()).or_else(|_| unmount(dir, UnmountFlags::DETACH));
        }
    }
}

/// A loop device, attached to a file.
#[derive(Debug)]
pub struct LoopDevice {
    path: PathBuf,
}

impl LoopDevice {
    /// Creates a disk of zeros in memory. Returns its content too.
    pub fn in_memory(bytes: u64) -> io::Result<(Self, File)> {
        let image = Builder::new().prefix(&prefix()).tempfile_in(memory())?;
        image.as_file().set_len(bytes)?;
        // The kernel keeps the file for as long as the device is attached.
        Ok((Self::attach(image.path(), false)?, image.into_file()))
    }

    /// Attaches a device to a file, which it reads and writes with direct I/O on request.
    pub fn attach(file: &Path, direct: bool) -> io::Result<Self> {
        let direct = if direct { "--direct-io=on" } else { "--direct-io=off" };
        let mut outcome = Err(io::Error::other("no loop device"));
        for _ in 0..ATTACH_TRIES {
            let mut command = Command::new("losetup");
            outcome = run(command.args(["--find", "--show", direct]).arg(file));
            if outcome.is_ok() {
                break;
            }
        }
        Ok(Self { path: PathBuf::from(outcome?.trim()) })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn is_mounted(&self) -> io::Result<bool> {
        let exclusive = i32::try_from(OFlags::EXCL.bits()).unwrap_or_default();
        match OpenOptions::new().read(true).custom_flags(exclusive).open(&self.path) {
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Checks after an `umount` that the file system is gone. If it were still alive, the next mount would show its old
    /// state.
    ///
    /// # Errors
    ///
    /// The device is still in use.
    pub fn assert_unused(&self) -> io::Result<()> {
        match self.is_mounted()? {
            false => Ok(()),
            true => Err(io::Error::other(format!("{} is still in use after umount", self.path.display()))),
        }
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = run(Command::new("losetup").arg("--detach").arg(&self.path));
    }
}

/// Detaches the loop devices, and removes the directories, that killed runs have left.
pub fn remove_orphans() {
    for device in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let file = fs::read_to_string(device.path().join("loop/backing_file")).unwrap_or_default();
        if is_orphan(&file) {
            let _ =
                run(Command::new("losetup").arg("--detach").arg(Path::new("/dev").join(device.file_name())));
        }
    }
    for entry in fs::read_dir(memory()).into_iter().flatten().flatten() {
        if is_orphan(&entry.file_name().to_string_lossy()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Returns whether the process that created this name has ended.
fn is_orphan(name: &str) -> bool {
    let pid = name.split_once(PREFIX).and_then(|(_, rest)| rest.split('-').next());
    pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
}

/// Runs a command and returns its output, or its standard error as an error.
pub fn run(command: &mut Command) -> io::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.output().map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{name}: {}: {}", output.status, stderr.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
