//! Makes one recording: serves a disk that records, creates a file system on it, and runs the workload in the file system.

use std::{
    fs::{self, File},
    io,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use ministore_faultfs::{
    Faultfs, MountOptions,
    image::Image,
    mounts::{LoopDevice, Mount, temp_dir},
    recording::{Event, Recording},
};

use crate::{
    filesystem::FileSystem,
    marker::Marker,
    workload::{RecordingConfig, WorkloadPlan},
};

/// The name of the disk in the recorder's directory.
const DISK_NAME: &str = "disk.img";

/// The interval of polling the workload process.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The number of polls after which the workload counts as hung. It normally takes seconds.
const MAX_POLLS: u32 = 120_000;

/// The image left by a power cut, and the markers before it.
#[derive(Debug)]
pub(crate) struct PowerCutState {
    pub(crate) image: Image,
    pub(crate) markers: Vec<Event>,
}

/// Why a recording failed.
#[derive(Debug)]
pub(crate) enum RecordingError {
    /// The workload failed on a disk without a fault, so the engine is faulty.
    Workload(String),
    /// The test program or the machine failed.
    Harness(io::Error),
}

impl From<io::Error> for RecordingError {
    fn from(error: io::Error) -> Self {
        Self::Harness(error)
    }
}

/// Records the workload on a new file system, or on the image left by a power cut. In the second case the recording
/// includes the mount, so that power cuts also interrupt the recovery of the file system.
pub(crate) fn record(
    config: &RecordingConfig,
    before: Option<&PowerCutState>,
    stop: &AtomicBool,
) -> Result<Recording, RecordingError> {
    let scratch = temp_dir()?;
    let (dir, file) = (scratch.path().join("fs"), scratch.path().join("recording"));
    fs::create_dir(&dir)?;
    let mut program = Command::new(std::env::current_exe()?);
    program.arg("serve");
    let options = MountOptions { open_direct_io: true, unaligned_direct_io: true, ..MountOptions::default() };
    let recorder = Faultfs::mount(program, options)?;
    let disk = recorder.path().join(DISK_NAME);
    let base =
        before.map_or_else(|| Image::new(config.file_system.disk_bytes()), |before| before.image.clone());
    base.store(&File::create_new(&disk)?)?;
    let device = LoopDevice::attach(&disk, true)?;
    match before {
        None => config.file_system.mkfs(device.path())?,
        Some(before) => {
            recorder.record(DISK_NAME)?;
            copy_markers(recorder.path(), &before.markers)?;
        }
    }
    let mounted = mount(config.file_system, &device, &dir)?;
    if before.is_none() {
        rustix::fs::syncfs(File::open(&dir)?).map_err(io::Error::from)?;
        recorder.record(DISK_NAME)?;
    }
    run_workload(config, &dir, recorder.path(), stop)?;
    recorder.save_recording(DISK_NAME, &file)?;
    mounted.unmount()?;
    device.assert_unused()?;
    drop(device);
    drop(recorder);
    let recording = Recording::load(&file)?;
    match recording.events.iter().rev().find_map(Marker::parse) {
        Some(Ok(Marker::Done)) => Ok(recording),
        last => Err(RecordingError::Workload(format!("the workload did not complete: {last:?}"))),
    }
}

/// Mounts `device`, and checks that [`LoopDevice::is_mounted`] detects the mount.
pub(crate) fn mount(file_system: FileSystem, device: &LoopDevice, dir: &Path) -> io::Result<Mount> {
    let mounted = Mount::new(device, dir, file_system.name(), file_system.mount_data())?;
    if !device.is_mounted()? {
        return Err(io::Error::other(
            "a mounted device can be opened exclusively: leftover mounts are not detected",
        ));
    }
    Ok(mounted)
}

fn copy_markers(recorder: &Path, markers: &[Event]) -> io::Result<()> {
    for event in markers {
        if let Event::Marker(text) = event {
            ministore_faultfs::mark(recorder, text)?;
        }
    }
    Ok(())
}

fn run_workload(
    config: &RecordingConfig,
    dir: &Path,
    recorder: &Path,
    stop: &AtomicBool,
) -> Result<(), RecordingError> {
    let plan = WorkloadPlan { config: *config, dir: dir.into(), recorder: recorder.into() };
    let mut command = Command::new(std::env::current_exe()?);
    let plan = serde_json::to_string(&plan).map_err(io::Error::from)?;
    let mut child = command.arg("work").arg(&plan).stdin(Stdio::null()).spawn()?;
    for _ in 0..MAX_POLLS {
        if let Some(status) = child.try_wait()? {
            return match status.success() {
                true => Ok(()),
                false => {
                    Err(RecordingError::Workload(format!("the workload failed: {status}; plan: {plan}")))
                }
            };
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        thread::sleep(POLL_INTERVAL);
    }
    child.kill()?;
    child.wait()?;
    match stop.load(Ordering::Relaxed) {
        true => Err(RecordingError::Harness(io::ErrorKind::Interrupted.into())),
        false => Err(RecordingError::Workload(format!("the workload hung; plan: {plan}"))),
    }
}
