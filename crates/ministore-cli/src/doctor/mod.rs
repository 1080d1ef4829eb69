//! `ministore doctor`: checks whether a directory is suitable for a journal, measures durable writes there, and recommends
//! options. It works in a temporary directory and changes no existing file.

mod device;
mod file_system;
mod finding;
mod io_uring;
mod locks;
mod measure;
mod recommend;
mod report;
mod space;
mod sync;
mod writes;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use ministore_uring::SyncKind;

use crate::{
    exit::{CliError, ExitStatus},
    host::{FileSystem, HostInfo},
    paths,
    signals::SignalHandler,
    units,
};
use device::Device;
use finding::{Finding, Level};
use measure::Measurement;
use recommend::Recommendation;
use space::FreeSpace;

/// Check whether a directory is suitable for a journal, and measure durable writes there
///
/// Checks the kernel, io_uring, the file system, the device, free space, locks and kinds of writes. Writes a few MiB with every
/// method of durable writes that the machine supports, in a temporary directory inside DIR, warns if a sync is suspiciously
/// fast, and recommends options. Exits with 1 if there is a warning or a problem, not for notes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore doctor /var/lib
  ministore doctor /var/lib --duration 30s    # more precise figures
  ministore doctor --duration 0               # checks only, no measurement
  ministore doctor --json | jq -r '.checks[] | select(.level != \"ok\") | .message'")]
pub(crate) struct Args {
    /// The directory for the journal
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,

    /// How long to measure; 0: do not measure
    #[arg(long, short, value_name = "TIME", default_value = "4s", value_parser = units::parse_duration)]
    duration: Duration,

    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// The results of all checks and measurements.
#[derive(Debug)]
struct DoctorReport {
    directory: PathBuf,
    host: HostInfo,
    file_system: FileSystem,
    device: Option<Device>,
    space: FreeSpace,
    /// The sync mode of a journal here, if one could be written.
    sync_mode: Option<SyncKind>,
    findings: Vec<Finding>,
    /// Empty if nothing was measured.
    measured: Vec<Measurement>,
    recommended: Vec<Recommendation>,
}

pub(crate) fn run(args: &Args) -> Result<ExitStatus, CliError> {
    let signals = SignalHandler::listen(|| {})?;
    let mut report = inspect(&args.directory)?;

    let failed = |action: &str, error: &io::Error| CliError::file(&args.directory, action, error);
    match paths::temporary_directory_in(&args.directory, "doctor") {
        Ok(own) => {
            let tried = report.run_checks(own.path(), args.duration, &signals);
            own.close().map_err(|error| failed("remove the temporary directory", &error))?;
            tried?;
        }
        Err(error) if is_unwritable(&error) => report.findings.push(
            Finding::problem("directory", format!("cannot create files in it: {error}"))
                .detail("a journal cannot be written here"),
        ),
        Err(error) => return Err(failed("create a directory in it", &error)),
    }
    if let Some(signal) = signals.received() {
        return Ok(signal);
    }
    let DoctorReport { file_system, space, measured, sync_mode, .. } = &report;
    report.recommended = recommend::recommend(&file_system.kind, space, measured, *sync_mode);
    if args.json {
        report::print_json(&report)?
    } else {
        report::print(&report)?
    }
    let exit_nonzero = finding::verdict(&report.findings) >= Level::Warning;
    Ok(if exit_nonzero { ExitStatus::ProblemFound } else { ExitStatus::Ok })
}

/// A file system that cannot be written is a finding, not an error.
fn is_unwritable(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::ReadOnlyFilesystem | Kind::StorageFull | Kind::QuotaExceeded)
}

/// Runs the checks that do not write.
fn inspect(directory: &Path) -> Result<DoctorReport, CliError> {
    let failed = |error| CliError::file(directory, "read", &error);
    if !fs::metadata(directory).map_err(failed)?.is_dir() {
        return Err(CliError::about(directory, ExitStatus::NoInput, "not a directory")
            .hint("name the directory for the journal"));
    }
    let host = HostInfo::this();
    let file_system = FileSystem::of(directory).map_err(failed)?;
    let device = Device::under(directory, file_system.source.as_deref());
    let space = FreeSpace::of(directory, &file_system);
    let mut findings = vec![kernel(&host)];
    findings.extend(file_system::check(&file_system));
    findings.push(device::check(device.as_ref()));
    findings.extend(space::check(&space));
    Ok(DoctorReport {
        directory: directory.to_owned(),
        host,
        file_system,
        device,
        space,
        sync_mode: None,
        findings,
        measured: Vec::new(),
        recommended: Vec::new(),
    })
}

impl DoctorReport {
    /// Returns a command line with the recommended options.
    fn command(&self) -> Option<String> {
        recommend::command(&self.directory, &self.recommended)
    }

    /// Runs the checks that write.
    fn run_checks(&mut self, own: &Path, time: Duration, signals: &SignalHandler) -> Result<(), CliError> {
        let kind = self.file_system.kind.clone();
        self.findings.push(io_uring::check(own, self.host.kernel.as_deref()));
        let (findings, sync_mode) = writes::check(own);
        self.findings.extend(findings);
        self.sync_mode = sync_mode;
        self.findings.push(locks::check(own, &kind));
        if !time.is_zero() && self.space.is_enough() {
            self.measured = measure::measure(own, time, signals)
                .map_err(|error| CliError::file(own, "run the measurement", &error))?;
        }
        self.findings.push(sync::check(&self.measured, self.device.as_ref(), &kind, sync_mode));
        Ok(())
    }
}

fn kernel(host: &HostInfo) -> Finding {
    let processors = units::counted(host.processors as u64, "processor");
    let memory =
        host.memory_bytes.map_or_else(String::new, |bytes| format!(", {} of memory", units::bytes(bytes)));
    let release = host.kernel.as_deref().unwrap_or("unknown release");
    Finding::ok("kernel", format!("{release}, {processors}{memory}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unwritable_is_found_and_forbidden_is_an_error() {
        let of = |kind| is_unwritable(&io::Error::from(kind));
        assert!(of(io::ErrorKind::ReadOnlyFilesystem) && of(io::ErrorKind::StorageFull));
        assert!(!of(io::ErrorKind::PermissionDenied) && !of(io::ErrorKind::NotFound));
    }
}
