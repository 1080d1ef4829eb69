//! A small real disk: an image in memory on a loop device, with its own file system.

use std::{
    fmt,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::Duration,
};

use rustix::{
    io::Errno,
    mount::{MountFlags, UnmountFlags, mount, unmount},
};
use tempfile::TempDir;

use crate::fixture::{enter_private_namespace, may_mount, report_skipped};

/// A file system and its smallest disk size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FsKind {
    pub(crate) name: &'static str,
    mib: u64,
    mkfs: &'static [&'static str],
}

/// The tested file systems.
pub(crate) const FILE_SYSTEMS: [FsKind; 3] = [
    FsKind { name: "ext4", mib: 16, mkfs: &["mkfs.ext4", "-q", "-F"] },
    FsKind { name: "xfs", mib: 320, mkfs: &["mkfs.xfs", "-q", "-f", "-K"] },
    FsKind { name: "btrfs", mib: 128, mkfs: &["mkfs.btrfs", "-q", "-f", "-K"] },
];

/// A mounted disk; it is unmounted and detached when it is dropped.
pub(crate) struct LoopDisk {
    mount_point: PathBuf,
    device: LoopDevice,
    _dir: TempDir,
}

impl LoopDisk {
    /// Creates and mounts a disk. Returns `None`, after a message, if this machine lacks a tool or a right.
    pub(crate) fn new(kind: FsKind) -> Option<Self> {
        let skip = |why: &str| {
            report_skipped(&format!("a full disk with {}", kind.name), why);
            None
        };
        if let Err(error) = may_mount() {
            return skip(&format!("a private mount namespace: {error}"));
        }
        for tool in [kind.mkfs[0], "losetup"] {
            if Command::new(tool).arg("-V").output().is_err() {
                return skip(&format!("there is no {tool}"));
            }
        }
        if !Path::new("/dev/loop-control").exists() {
            return skip("there are no loop devices");
        }
        enter_private_namespace().unwrap();
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let (image, mount_point) = (dir.path().join("image"), dir.path().join("disk"));
        File::create(&image).unwrap().set_len(kind.mib << 20).unwrap();
        fs::create_dir(&mount_point).unwrap();
        run(Command::new(kind.mkfs[0]).args(&kind.mkfs[1..]).arg(&image));
        let attached = run(Command::new("losetup").args(["--find", "--show"]).arg(&image));
        let device = LoopDevice(String::from_utf8(attached.stdout).unwrap().trim().into());
        mount(&*device.0, &mount_point, kind.name, MountFlags::empty(), None).unwrap();
        Some(Self { mount_point, device, _dir: dir })
    }

    /// Shuts the file system down, as after an error that it cannot handle: nothing is written any more. Returns
    /// `false`, after a message, if `xfs_io` is missing.
    pub(crate) fn shut_down(&self) -> bool {
        let command = ["-x", "-c", "shutdown"];
        match Command::new("xfs_io").args(command).arg(&self.mount_point).output() {
            Ok(output) => {
                assert!(output.status.success(), "xfs_io: {}", String::from_utf8_lossy(&output.stderr));
                true
            }
            Err(error) => {
                report_skipped("a file system that shuts down", &format!("xfs_io: {error}"));
                false
            }
        }
    }

    /// Unmounts the disk, on which no file may be open, and mounts it again.
    ///
    /// The kernel closes an io_uring in the background and keeps the files that were open in it for a moment.
    pub(crate) fn mount_again(&self, kind: FsKind) {
        let mut tries = 0;
        while let Err(error) = unmount(&self.mount_point, UnmountFlags::empty()) {
            assert!(error == Errno::BUSY && tries < 1000, "unmount: {error}");
            tries += 1;
            thread::sleep(Duration::from_millis(10));
        }
        mount(&*self.device.0, &self.mount_point, kind.name, MountFlags::empty(), None).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        &self.mount_point
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        let _ = unmount(&self.mount_point, UnmountFlags::DETACH);
    }
}

impl fmt::Display for LoopDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.mount_point.display(), self.device.0)
    }
}

struct LoopDevice(String);

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
