//! Disks of a chosen latency: an ext4 on a loop device. Its image is a file of a FUSE file system in memory that delays
//! every sync; the disk then has a write cache that takes this long to flush.

use std::{fs::File, io, path::Path, process::Command, time::Duration};

use ministore_faultfs::{
    Faultfs, MountOptions, Op, Rule,
    mounts::{LoopDevice, Mount, run, temp_dir},
};
use tempfile::TempDir;

use super::{
    bench_case::BenchCase,
    plan::TARGET_RECORDS,
    results::Results,
    targets::{Target, evaluate_slow_disk, grouped},
};

/// The argument with which this program serves the FUSE file system.
pub const FUSE_VERB: &str = "faultfs";

/// The size of a disk: several times that of the largest file on it.
const DISK_BYTES: u64 = 512 << 20;

/// The name of the image.
const IMAGE: &str = "image";

/// A mounted disk. The fields are dropped in their order: each lies on the next one.
#[derive(Debug)]
pub struct SlowDisk {
    _mount: Mount,
    _device: LoopDevice,
    _fuse: Faultfs,
    dir: TempDir,
}

impl SlowDisk {
    /// Creates and mounts a disk whose flushes take `delay`, in addition to the time that FUSE takes.
    ///
    /// # Errors
    ///
    /// This machine lacks root, FUSE, loop devices, `losetup` or `mkfs.ext4`.
    pub fn create(delay: Duration) -> io::Result<Self> {
        let mut program = Command::new(std::env::current_exe()?);
        program.arg(FUSE_VERB);
        let fuse =
            Faultfs::mount(program, MountOptions { async_direct_io: true, ..MountOptions::default() })?;
        let image = fuse.path().join(IMAGE);
        File::create_new(&image)?.set_len(DISK_BYTES)?;
        let device = LoopDevice::attach(&image, true)?;
        // Nothing is left to initialize while a log is measured.
        let options = ["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
        run(Command::new("mkfs.ext4").args(options).arg(device.path()))?;
        let dir = temp_dir()?;
        let mount = Mount::new(&device, dir.path(), "ext4", c"")?;
        fuse.set(Rule::on(Op::Sync).forever().delayed(delay))?;
        Ok(Self { _mount: mount, _device: device, _fuse: fuse, dir })
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// The first lines of the table of slow disks: median latencies in microseconds.
pub const TABLE_HEAD: &str = "\
| a sync is delayed by | floor, direct | floor, buffered | blocking append | / direct | target | | append | / direct |
| ---: | ---: | ---: | ---: | ---: | --- | --- | ---: | ---: |
";

/// Formats the line of one disk; `None` if something was not measured.
pub fn table_line(delay: Duration, results: &Results) -> Option<String> {
    let p50 = |case| results.median(case, 1, TARGET_RECORDS).map(|measurement| measurement.p50_us);
    let (direct, buffered) = (p50(BenchCase::FloorDirect)?, p50(BenchCase::FloorBuffered)?);
    let (blocking, append) = (p50(BenchCase::AppendBlocking)?, p50(BenchCase::Append)?);
    let Target { ratio, bound, met, .. } = evaluate_slow_disk(results)?;
    let met = if met { "met" } else { "**missed**" };
    Some(format!(
        "| {delay:?} | {} | {} | {} | {ratio:.2} | {bound} | {met} | {} | {:.2} |\n",
        grouped(direct),
        grouped(buffered),
        grouped(blocking),
        grouped(append),
        append / direct
    ))
}
