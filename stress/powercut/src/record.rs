//! Makes one recording: starts the recording disk, creates a file system on it, and runs the workload in the file
//! system.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crate::{
    filesystem::FileSystem,
    image::Image,
    marker::Marker,
    mounts::{LoopDevice, Mount, TempDirectory},
    recorder::{CONTROL_NAME, DISK_NAME, READY},
    recording::{Event, Recording},
    workload::WorkloadPlan,
};

/// The interval of polling the workload process.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The number of polls after which the workload counts as hung. It normally takes seconds.
const MAX_POLLS: u32 = 120_000;

/// Configuration of a recording.
#[derive(Debug, Clone)]
pub(crate) struct RecordingConfig {
    pub(crate) file_system: FileSystem,
    pub(crate) seed: u64,
    /// The number of power cuts before this recording.
    pub(crate) generation: u64,
    pub(crate) rounds: u64,
    pub(crate) steps: u64,
    pub(crate) uring: bool,
    /// Acknowledge records before they are durable: a control.
    pub(crate) early: bool,
}

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
    let scratch = TempDirectory::create(&std::env::temp_dir(), "record")?;
    let [disk_dir, dir] = ["disk", "fs"].map(|name| scratch.path().join(name));
    fs::create_dir_all(&disk_dir)?;
    fs::create_dir_all(&dir)?;
    let file = scratch.path().join("recording");

    let recorder = RecorderProcess::start(config.file_system, before, &disk_dir, &file)?;
    let recorder_mount = Mount::adopt(&disk_dir);
    let mut control = OpenOptions::new().write(true).open(disk_dir.join(CONTROL_NAME))?;
    let device = LoopDevice::attach(&disk_dir.join(DISK_NAME), true)?;
    match before {
        None => config.file_system.mkfs(device.device())?,
        Some(before) => copy_markers(&mut control, &before.markers)?,
    }
    let mounted = mount(config.file_system, &device, &dir)?;
    if before.is_none() {
        rustix::fs::syncfs(File::open(&dir)?).map_err(io::Error::from)?;
        control.write_all(b"reset")?;
    }
    run_workload(config, &dir, &disk_dir.join(CONTROL_NAME), stop)?;
    control.write_all(format!("dump {}", file.display()).as_bytes())?;
    drop(control);
    mounted.unmount()?;
    device.assert_unused()?;
    drop(device);
    recorder_mount.unmount()?;
    drop(recorder);
    let recording = Recording::load(&file)?;
    match recording.events.iter().rev().find_map(Marker::parse) {
        Some(Ok(Marker::Done)) => Ok(recording),
        last => Err(RecordingError::Workload(format!("the workload did not complete: {last:?}"))),
    }
}

/// Mounts `device`, and checks that [`LoopDevice::is_mounted`] detects the mount.
pub(crate) fn mount(file_system: FileSystem, device: &LoopDevice, dir: &Path) -> io::Result<Mount> {
    let mounted = Mount::new(device.device(), dir, file_system.name(), file_system.mount_data())?;
    if !device.is_mounted()? {
        return Err(io::Error::other(
            "a mounted device can be opened exclusively: leftover mounts are not detected",
        ));
    }
    Ok(mounted)
}

fn copy_markers(control: &mut File, markers: &[Event]) -> io::Result<()> {
    for event in markers {
        if let Event::Marker(text) = event {
            control.write_all(format!("marker {text}").as_bytes())?;
        }
    }
    Ok(())
}

/// The process that serves the disk. It ends when its file system is unmounted, or when this guard is dropped.
#[derive(Debug)]
struct RecorderProcess {
    child: Child,
}

impl RecorderProcess {
    fn start(
        file_system: FileSystem,
        before: Option<&PowerCutState>,
        dir: &Path,
        file: &Path,
    ) -> io::Result<Self> {
        let base = before.map_or_else(|| Image::new(file_system.disk_bytes()), |before| before.image.clone());
        Recording { base, events: Vec::new() }.save(file)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").arg(dir).arg(file).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut recorder = Self { child: command.spawn()? };
        let mut line = String::new();
        if let Some(out) = recorder.child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        if line.trim() != READY {
            return Err(io::Error::other("the recorder did not start: is /dev/fuse usable?"));
        }
        Ok(recorder)
    }
}

impl Drop for RecorderProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run_workload(
    config: &RecordingConfig,
    dir: &Path,
    control: &Path,
    stop: &AtomicBool,
) -> Result<(), RecordingError> {
    let plan = WorkloadPlan {
        seed: config.seed,
        generation: config.generation,
        dir: dir.into(),
        control: control.into(),
        rounds: config.rounds,
        steps: config.steps,
        uring: config.uring,
        early: config.early,
    };
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
