//! A small real disk: an image in memory on a loop device, with its own file system.

use std::{fmt, path::Path, process::Command};

use ministore_faultfs::mounts::{LoopDevice, Mount, run, temp_dir};
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
    mount: Option<Mount>,
    device: LoopDevice,
    dir: TempDir,
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
        let dir = temp_dir().unwrap();
        let (device, _) = LoopDevice::in_memory(kind.mib << 20).unwrap();
        run(Command::new(kind.mkfs[0]).args(&kind.mkfs[1..]).arg(device.path())).unwrap();
        let mount = Some(Mount::new(&device, dir.path(), kind.name, c"").unwrap());
        Some(Self { mount, device, dir })
    }

    /// Shuts the file system down, as after an error that it cannot handle: nothing is written any more. Returns
    /// `false`, after a message, if `xfs_io` is missing.
    pub(crate) fn shut_down(&self) -> bool {
        let command = ["-x", "-c", "shutdown"];
        match Command::new("xfs_io").args(command).arg(self.path()).output() {
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
    pub(crate) fn mount_again(&mut self, kind: FsKind) {
        self.mount.take().unwrap().unmount().unwrap();
        self.mount = Some(Mount::new(&self.device, self.path(), kind.name, c"").unwrap());
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl fmt::Display for LoopDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.path().display(), self.device.path().display())
    }
}
