//! The machine of the measurements.

use std::{fs, os::unix::fs::MetadataExt, path::Path, thread::available_parallelism};

use serde::Serialize;

/// Properties of the machine; "unknown" if they cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostInfo {
    pub processor: String,
    /// The number of threads that run concurrently.
    pub cores: usize,
    pub memory_kib: u64,
    pub kernel: String,
    pub file_system: String,
    pub device: String,
    pub write_cache: String,
}

impl HostInfo {
    pub fn of(dir: &Path) -> Self {
        let device = device(dir);
        let queue = device.as_deref().and_then(queue);
        let sent = |name: &str| queue.as_deref().map(|queue| read(&format!("{queue}/{name}")));
        Self {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cores: available_parallelism().map_or(1, usize::from),
            memory_kib: field("/proc/meminfo", "MemTotal")
                .and_then(|text| text.split_whitespace().next()?.parse().ok())
                .unwrap_or(0),
            kernel: read("/proc/sys/kernel/osrelease"),
            file_system: file_system(dir).unwrap_or_else(unknown),
            write_cache: sent("write_cache").unwrap_or_else(unknown),
            device: device.unwrap_or_else(unknown),
        }
    }

    pub fn sentence(&self) -> String {
        let Self { processor, cores, memory_kib, kernel, file_system, device, write_cache } = self;
        let memory = memory_kib / (1 << 20);
        format!(
            "{cores} × {processor}, {memory} GiB, Linux {kernel}, {file_system} on {device} (write cache: {write_cache})"
        )
    }
}

fn unknown() -> String {
    "unknown".into()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| unknown(), |text| text.trim().to_string())
}

/// Returns the text after the colon in the first line of `path` that starts with `name`.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

fn device_number(dir: &Path) -> Option<String> {
    let number = fs::metadata(dir).ok()?.dev();
    Some(format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number)))
}

/// Returns the line of the mount that contains `dir`: `id parent major:minor root point options - type source
/// super-options`.
fn mount_line(dir: &Path) -> Option<String> {
    let number = device_number(dir)?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find(|line| line.split(' ').nth(2) == Some(number.as_str())).map(str::to_string)
}

fn file_system(dir: &Path) -> Option<String> {
    let line = mount_line(dir)?;
    let (before, after) = line.split_once(" - ")?;
    Some(format!("{} ({})", after.split(' ').next()?, before.split(' ').nth(5)?))
}

fn device(dir: &Path) -> Option<String> {
    Some(mount_line(dir)?.split_once(" - ")?.1.split(' ').nth(1)?.to_string())
}

/// Returns the sysfs directory of the queue of `device`, or of the disk that it is a partition of.
fn queue(device: &str) -> Option<String> {
    let name = Path::new(device).file_name()?.to_str()?;
    let own = fs::canonicalize(format!("/sys/class/block/{name}")).ok()?;
    let mut folders = own.ancestors().map(|folder| folder.join("queue"));
    folders.find(|folder| folder.is_dir())?.to_str().map(str::to_string)
}
