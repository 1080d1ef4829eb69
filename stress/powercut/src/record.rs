//! One recording: a disk that remembers, a file system on it, the workload in the file system.

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
    mark::Mark,
    mounts::{Directory, Loop, Mount},
    recorder::{CONTROL_NAME, DISK_NAME, READY},
    recording::{Event, Recording},
    workload::Plan,
};

/// How often the workload's process is looked at.
const POLL: Duration = Duration::from_millis(5);

/// A workload that takes longer hangs: it takes seconds.
const POLLS_MAX: u32 = 120_000;

/// What to record.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) file_system: FileSystem,
    pub(crate) seed: u64,
    /// How many power cuts came before.
    pub(crate) generation: u64,
    pub(crate) rounds: u64,
    pub(crate) steps: u64,
    pub(crate) uring: bool,
    /// Acknowledge too early: a control.
    pub(crate) early: bool,
}

/// What an earlier power cut left, and the marks made before it.
#[derive(Debug)]
pub(crate) struct Before {
    pub(crate) image: Image,
    pub(crate) said: Vec<Event>,
}

/// Why there is no recording.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The workload did not do as planned on a disk without a fault: the engine's failure.
    Workload(String),
    /// This program's own, or the machine's.
    Instrument(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Instrument(error)
    }
}

/// Records the workload on a new file system, or on what a power cut left: then from the mount on, so that the file
/// system's own recovery is cut off too.
pub(crate) fn record(
    setting: &Setting,
    before: Option<&Before>,
    stop: &AtomicBool,
) -> Result<Recording, Failed> {
    let scratch = Directory::create(&std::env::temp_dir(), "record")?;
    let [disk_dir, dir] = ["disk", "fs"].map(|name| scratch.path().join(name));
    fs::create_dir_all(&disk_dir)?;
    fs::create_dir_all(&dir)?;
    let file = scratch.path().join("recording");

    let recorder = Recorder::start(setting.file_system, before, &disk_dir, &file)?;
    let recorder_mount = Mount::adopt(&disk_dir);
    let mut control = OpenOptions::new().write(true).open(disk_dir.join(CONTROL_NAME))?;
    let device = Loop::attach(&disk_dir.join(DISK_NAME), true)?;
    match before {
        None => setting.file_system.make(device.device())?,
        Some(before) => repeat_marks(&mut control, &before.said)?,
    }
    let mounted = mount(setting.file_system, &device, &dir)?;
    if before.is_none() {
        rustix::fs::syncfs(File::open(&dir)?).map_err(io::Error::from)?;
        control.write_all(b"reset")?;
    }
    work(setting, &dir, &disk_dir.join(CONTROL_NAME), stop)?;
    control.write_all(format!("dump {}", file.display()).as_bytes())?;
    drop(control);
    mounted.unmount()?;
    device.assert_unused()?;
    drop(device);
    recorder_mount.unmount()?;
    drop(recorder);
    let recording = Recording::load(&file)?;
    match recording.events.iter().rev().find_map(Mark::of) {
        Some(Ok(Mark::Done)) => Ok(recording),
        last => Err(Failed::Workload(format!("the workload did not come to its end: {last:?}"))),
    }
}

/// Mounts `device`, and sees to it that the guard against a mount that lives on can fail.
pub(crate) fn mount(file_system: FileSystem, device: &Loop, dir: &Path) -> io::Result<Mount> {
    let mounted = Mount::new(device.device(), dir, file_system.name(), file_system.mount_data())?;
    if !device.is_mounted()? {
        return Err(io::Error::other("a mounted device can be opened exclusively: the guard is blind"));
    }
    Ok(mounted)
}

fn repeat_marks(control: &mut File, said: &[Event]) -> io::Result<()> {
    for event in said {
        if let Event::Mark(text) = event {
            control.write_all(format!("mark {text}").as_bytes())?;
        }
    }
    Ok(())
}

/// The process that serves the disk. Ends when its file system is unmounted, or with the guard.
#[derive(Debug)]
struct Recorder {
    child: Child,
}

impl Recorder {
    fn start(file_system: FileSystem, before: Option<&Before>, dir: &Path, file: &Path) -> io::Result<Self> {
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
            return Err(io::Error::other("the recorder did not come up: is /dev/fuse usable?"));
        }
        Ok(recorder)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn work(setting: &Setting, dir: &Path, control: &Path, stop: &AtomicBool) -> Result<(), Failed> {
    let plan = Plan {
        seed: setting.seed,
        generation: setting.generation,
        dir: dir.into(),
        control: control.into(),
        rounds: setting.rounds,
        steps: setting.steps,
        uring: setting.uring,
        early: setting.early,
    };
    let mut command = Command::new(std::env::current_exe()?);
    let plan = serde_json::to_string(&plan).map_err(io::Error::from)?;
    let mut child = command.arg("work").arg(&plan).stdin(Stdio::null()).spawn()?;
    for _ in 0..POLLS_MAX {
        if let Some(status) = child.try_wait()? {
            return match status.success() {
                true => Ok(()),
                false => Err(Failed::Workload(format!("the workload failed: {status}; its plan: {plan}"))),
            };
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        thread::sleep(POLL);
    }
    child.kill()?;
    child.wait()?;
    match stop.load(Ordering::Relaxed) {
        true => Err(Failed::Instrument(io::ErrorKind::Interrupted.into())),
        false => Err(Failed::Workload(format!("the workload hung; its plan: {plan}"))),
    }
}
