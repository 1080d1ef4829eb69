//! The private mount namespace, and guards for what must be undone: mounts, loop devices, directories.
//!
//! A copy of a mount in another namespace keeps its file system alive after our `umount`: the next mount of the
//! device then shows the old content, and every loss found would be false. Hence the namespace, and hence
//! [`Loop::assert_unused`] after every `umount`.

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

/// What our directories and images begin with; the process id follows.
const PREFIX: &str = "ministore-powercut-";

/// Attaching races with everybody else who looks for a free device.
const ATTACH_TRIES: usize = 20;

/// How often a busy file system is tried again: ten seconds in all.
const BUSY_TRIES: usize = 1000;

/// The pause between two tries.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// To be called first, while there is one thread: threads started later are in the namespace too.
pub(crate) fn enter_private_namespace() -> io::Result<()> {
    #[expect(deprecated, reason = "what is unsafe about it are descriptor tables, which stay shared here")]
    rustix::thread::unshare(UnshareFlags::NEWNS)?;
    let flags = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount_change("/", flags).map_err(io::Error::from)
}

/// A directory that goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn create(parent: &Path, name: &str) -> io::Result<Self> {
        let path = parent.join(format!("{PREFIX}{}-{name}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Never what is mounted there: a directory that is not empty stays.
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

    /// One that somebody else mounted, to be unmounted by us.
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
/// The kernel ends the ring of a process that was killed or exited in the background: for a moment after `wait` it
/// still holds the files that were open in the ring.
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
pub(crate) struct Loop {
    device: PathBuf,
}

impl Loop {
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

    /// Whether a file system holds the device.
    pub(crate) fn is_mounted(&self) -> io::Result<bool> {
        let exclusive = i32::try_from(OFlags::EXCL.bits()).unwrap_or_default();
        match OpenOptions::new().read(true).custom_flags(exclusive).open(&self.device) {
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// After an `umount`: a file system that lives on would be mounted again as it was.
    pub(crate) fn assert_unused(&self) -> io::Result<()> {
        match self.is_mounted()? {
            false => Ok(()),
            true => Err(io::Error::other(format!("{} is held after its umount", self.device.display()))),
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = run(Command::new("losetup").arg("--detach").arg(&self.device));
    }
}

/// Detaches the loop devices of runs that were killed.
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

/// A file for an image, in memory. Whoever attaches it removes the name then: the space goes with the last use.
pub(crate) fn image_file(bytes: u64, name: &str) -> io::Result<(File, PathBuf)> {
    let path = Path::new("/dev/shm").join(format!("{PREFIX}{}-{name}", std::process::id()));
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
    file.set_len(bytes)?;
    Ok((file, path))
}

/// Runs a command to its end; its output, or what it complained about.
pub(crate) fn run(command: &mut Command) -> io::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.output().map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{name}: {}: {}", output.status, complaint.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
