//! The private mount namespace, and guards that remove mounts, loop devices and directories.
//!
//! A copy of a mount in another namespace keeps its file system alive after `umount` here. The next mount of the device
//! would then show the old contents and report false losses. The private namespace prevents that, and
//! [`LoopDevice::assert_unused`] checks it after every `umount`.

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

/// The prefix of the names of all directories and images. The PID follows.
const PREFIX: &str = "ministore-powercut-";

/// Attempts to attach a loop device, because other processes may take the free device first.
const ATTACH_TRIES: usize = 20;

/// Attempts to unmount a busy file system: ten seconds in total.
const BUSY_TRIES: usize = 1000;

/// The pause between two attempts.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Enters a private mount namespace. Must be called before other threads start, so that they inherit the namespace.
pub(crate) fn enter_private_namespace() -> io::Result<()> {
    #[expect(deprecated, reason = "only unsharing descriptor tables is unsafe, and they stay shared")]
    rustix::thread::unshare(UnshareFlags::NEWNS)?;
    let flags = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount_change("/", flags).map_err(io::Error::from)
}

/// A directory that is removed on drop.
#[derive(Debug)]
pub(crate) struct TempDirectory(PathBuf);

impl TempDirectory {
    pub(crate) fn create(parent: &Path, name: &str) -> io::Result<Self> {
        let path = parent.join(format!("{PREFIX}{}-{name}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDirectory {
    fn drop(&mut self) {
        // This does not delete the contents of mounts: a directory that is not empty is kept.
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir(entry.path()));
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// A mounted file system.
#[derive(Debug)]
pub(crate) struct Mount {
    dir: Option<PathBuf>,
}

impl Mount {
    pub(crate) fn new(device: &Path, dir: &Path, kind: &str, data: &CStr) -> io::Result<Self> {
        mount(device, dir, kind, MountFlags::empty(), data)?;
        Ok(Self { dir: Some(dir.into()) })
    }

    /// Takes over the unmount of a file system that another process mounted.
    pub(crate) fn adopt(dir: &Path) -> Self {
        Self { dir: Some(dir.into()) }
    }

    /// Unmounts the file system; fails if it stays in use.
    pub(crate) fn unmount(mut self) -> io::Result<()> {
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
pub(crate) struct LoopDevice {
    device: PathBuf,
}

impl LoopDevice {
    pub(crate) fn attach(file: &Path, direct: bool) -> io::Result<Self> {
        let direct = if direct { "--direct-io=on" } else { "--direct-io=off" };
        let mut outcome = Err(io::Error::other("no loop device"));
        for _ in 0..ATTACH_TRIES {
            let mut command = Command::new("losetup");
            outcome = run(command.args(["--find", "--show", direct]).arg(file));
            if outcome.is_ok() {
                break;
            }
        }
        Ok(Self { device: PathBuf::from(outcome?.trim()) })
    }

    pub(crate) fn device(&self) -> &Path {
        &self.device
    }

    /// Returns `true` if the device is mounted.
    pub(crate) fn is_mounted(&self) -> io::Result<bool> {
        let exclusive = i32::try_from(OFlags::EXCL.bits()).unwrap_or_default();
        match OpenOptions::new().read(true).custom_flags(exclusive).open(&self.device) {
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Checks after an `umount` that the file system is gone. If it were still alive, the next mount would show its old
    /// state.
    pub(crate) fn assert_unused(&self) -> io::Result<()> {
        match self.is_mounted()? {
            false => Ok(()),
            true => Err(io::Error::other(format!("{} is still in use after umount", self.device.display()))),
        }
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = run(Command::new("losetup").arg("--detach").arg(&self.device));
    }
}

/// Detaches the loop devices that killed runs have left.
pub(crate) fn detach_orphans() {
    let Ok(devices) = fs::read_dir("/sys/block") else { return };
    for device in devices.flatten() {
        let Ok(file) = fs::read_to_string(device.path().join("loop/backing_file")) else { continue };
        let Some((_, rest)) = file.split_once(PREFIX) else { continue };
        let pid: String = rest.chars().take_while(char::is_ascii_digit).collect();
        if !pid.is_empty() && !Path::new("/proc").join(&pid).exists() {
            let _ =
                run(Command::new("losetup").arg("--detach").arg(Path::new("/dev").join(device.file_name())));
        }
    }
}

/// Creates a file for an image in memory. The caller attaches it and removes its name, so that the kernel frees the
/// memory after the last use.
pub(crate) fn image_file(bytes: u64, name: &str) -> io::Result<(File, PathBuf)> {
    let path = Path::new("/dev/shm").join(format!("{PREFIX}{}-{name}", std::process::id()));
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
    file.set_len(bytes)?;
    Ok((file, path))
}

/// Runs a command and returns its output, or its standard error as an error.
pub(crate) fn run(command: &mut Command) -> io::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.output().map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{name}: {}: {}", output.status, stderr.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
