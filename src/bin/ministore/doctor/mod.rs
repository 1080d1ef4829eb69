//! Owns `ministore doctor`: whether a directory is a good place for a journal, what a durable write costs there, and what
//! to do about what is not as it should be.
//!
//! It looks, tries in a fresh directory, measures, and changes nothing that was there.

mod device;
mod file_system;
mod finding;
mod io_uring;
mod locks;
mod measure;
mod recommend;
mod report;
mod room;
mod sync;
mod writes;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use ministore_uring::SyncKind;

use crate::{
    directory::OwnDirectory,
    exit::{Code, Failure},
    machine::{FileSystem, Machine},
    signals::Interrupts,
    units,
};
use device::Device;
use finding::{Finding, Level};
use measure::Measured;
use recommend::Recommendation;
use room::Room;

/// Look whether a directory is a good place for a journal, and measure what a durable write costs there
///
/// Tells of kernel, io_uring (and what is in its way), file system, device, room, locks and kinds of writes; writes a few
/// MiB in every way that the machine has of making them durable, in a fresh directory inside DIR that is removed
/// afterwards; warns where a sync is too fast to be true; and recommends options. Exits with 1 where there is a warning
/// or a problem, not for notes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore doctor /var/lib
  ministore doctor /var/lib --seconds 30    # quieter figures
  ministore doctor --seconds 0    # look and try, measure nothing
  ministore doctor --json | jq -r '.checks[] | select(.level != \"ok\") | .found'")]
pub(crate) struct Args {
    /// The directory that a journal is to be in
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,

    /// For how long to measure, in seconds; 0 measures nothing
    #[arg(long, value_name = "S", default_value = "4", value_parser = seconds)]
    seconds: Duration,

    /// The report as one JSON object
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// All that was found.
#[derive(Debug)]
struct Examined {
    directory: PathBuf,
    machine: Machine,
    file_system: FileSystem,
    device: Option<Device>,
    room: Room,
    /// What makes commits durable here, where a journal could be written.
    sync_mode: Option<SyncKind>,
    findings: Vec<Finding>,
    /// Empty where nothing was measured.
    measured: Vec<Measured>,
    recommended: Vec<Recommendation>,
}

pub(crate) fn run(args: &Args) -> Result<Code, Failure> {
    let interrupts = Interrupts::listen(|| {})?;
    let mut examined = look(&args.directory)?;
    match OwnDirectory::try_create_in(&args.directory, "doctor") {
        Ok(own) => {
            let tried = examined.try_out(own.path(), args.seconds, &interrupts);
            own.remove()?;
            tried?;
        }
        Err((_, error)) if has_no_room(&error) => examined.findings.push(
            Finding::problem("directory", format!("nothing can be made in it: {error}"))
                .why("a journal cannot be written here"),
        ),
        Err((path, error)) => return Err(Failure::file(&path, "create", &error)),
    }
    if let Some(signal) = interrupts.raised() {
        return Ok(signal);
    }
    let Examined { file_system, room, measured, sync_mode, .. } = &examined;
    examined.recommended = recommend::recommend(&file_system.kind, room, measured, *sync_mode);
    if args.json {
        report::print_json(&examined)?
    } else {
        report::print(&examined)?
    }
    let heeded = finding::verdict(&examined.findings) >= Level::Warning;
    Ok(if heeded { Code::Faults } else { Code::Ok })
}

/// A file system that can be looked at, and cannot be written: that is a finding, not the end.
fn has_no_room(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::ReadOnlyFilesystem | Kind::StorageFull | Kind::QuotaExceeded)
}

/// What can be seen without writing.
fn look(directory: &Path) -> Result<Examined, Failure> {
    let failed = |error| Failure::file(directory, "look at it", &error);
    if !fs::metadata(directory).map_err(failed)?.is_dir() {
        let message = format_args!("{}: not a directory", directory.display());
        return Err(
            Failure::new(Code::NoInput, message).hint("name the directory that a journal is to be in")
        );
    }
    let machine = Machine::this();
    let file_system = FileSystem::of(directory).map_err(failed)?;
    let device = Device::under(directory, file_system.source.as_deref());
    let room = Room::of(directory, &file_system);
    let mut findings = vec![kernel(&machine)];
    findings.extend(file_system::check(&file_system));
    findings.push(device::check(device.as_ref()));
    findings.extend(room::check(&room));
    let (directory, measured, recommended) = (directory.to_owned(), Vec::new(), Vec::new());
    Ok(Examined {
        directory,
        machine,
        file_system,
        device,
        room,
        sync_mode: None,
        findings,
        measured,
        recommended,
    })
}

impl Examined {
    /// What has to be tried.
    fn try_out(&mut self, own: &Path, time: Duration, interrupts: &Interrupts) -> Result<(), Failure> {
        let kind = self.file_system.kind.clone();
        self.findings.push(io_uring::check(own, self.machine.kernel.as_deref()));
        let (findings, sync_mode) = writes::check(own);
        self.findings.extend(findings);
        self.sync_mode = sync_mode;
        self.findings.push(locks::check(own, &kind));
        if !time.is_zero() && self.room.is_enough() {
            self.measured = measure::measure(own, time, interrupts)
                .map_err(|error| Failure::file(own, "measure in it", &error))?;
        }
        self.findings.push(sync::check(&self.measured, self.device.as_ref(), &kind, sync_mode));
        Ok(())
    }
}

fn kernel(machine: &Machine) -> Finding {
    let processors = units::counted(machine.processors as u64, "processor");
    let memory =
        machine.memory_bytes.map_or_else(String::new, |bytes| format!(", {} of memory", units::bytes(bytes)));
    let release = machine.kernel.as_deref().unwrap_or("of an unknown release");
    Finding::ok("kernel", format!("{release}, {processors}{memory}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_a_time_and_less_is_not() {
        assert_eq!(["0", "2.5"].map(seconds), [Ok(Duration::ZERO), Ok(Duration::from_millis(2500))]);
        assert!(["-1", "x", "inf", "1e300"].map(seconds).iter().all(Result::is_err));
    }

    #[test]
    fn what_cannot_be_written_is_found_and_what_is_forbidden_ends_it() {
        let of = |kind| has_no_room(&io::Error::from(kind));
        assert!(of(io::ErrorKind::ReadOnlyFilesystem) && of(io::ErrorKind::StorageFull));
        assert!(!of(io::ErrorKind::PermissionDenied) && !of(io::ErrorKind::NotFound));
    }
}
