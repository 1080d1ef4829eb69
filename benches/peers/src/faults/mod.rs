//! The faults, one module each, and their shared code.

pub mod changed_byte;
pub mod child;
pub mod child_process;
pub mod directory_sync;
pub mod disk_full;
pub mod failed_sync;
pub mod integrity;
pub mod killed;
pub mod log_files;
pub mod missing_file;
pub mod power_cut;
pub mod report;
pub mod stuck_sync;
pub mod template;
pub mod torn_tail;
pub mod two_writers;
pub mod wire;

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

use ministore_faultfs::{Faultfs, MountOptions, NameDurability};

use crate::log_under_test::LogKind;
use report::Table;

#[derive(Debug)]
pub struct Context {
    pub kinds: Vec<LogKind>,
    /// The directory of the logs, on a real file system; it is emptied afterwards.
    pub dir: PathBuf,
    pub seed: u64,
    /// The number of kills and of power cuts; the size of the other faults follows from it.
    pub rounds: u64,
    /// The number of concurrent callers before a kill or a power cut.
    pub appenders: usize,
}

impl Context {
    pub fn create_dir(&self, fault: &str, kind: LogKind) -> io::Result<PathBuf> {
        let dir = self.dir.join(fault).join(kind.name());
        remove(&dir)?;
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    }
}

/// Mounts an empty file system that knows what is durable.
pub fn mount(names: NameDurability) -> io::Result<Faultfs> {
    let mut program = Command::new(std::env::current_exe()?);
    program.arg("faultfs");
    Faultfs::mount(program, MountOptions { names, ..MountOptions::default() })
}

/// Checks that this process can mount that file system.
fn mountable() -> Result<(), String> {
    let mounted = mount(NameDurability::WithFile);
    mounted.map(drop).map_err(|error| format!("the file system cannot be mounted: {error}"))
}

/// Removes a directory that may be missing.
pub fn remove(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Files so large that a small log has one.
pub const ONE_FILE: u64 = 64 << 20;

/// Files so small that a small log has several.
pub const SMALL_FILES: u64 = 4 << 10;

#[derive(Debug)]
pub struct Fault {
    /// The name on the command line.
    pub id: &'static str,
    /// Describes the fault to the reader of the report.
    pub description: fn(&Context) -> String,
    /// Returns an error if the machine lacks something that the test needs.
    pub requirement: fn() -> Result<(), String>,
    /// Adds the rows and the violations of one log.
    pub test: fn(&Context, LogKind, &mut Table) -> io::Result<()>,
    /// Context for the reader: which behaviour is not promised, and by which log.
    pub notes: &'static [&'static str],
}

impl Fault {
    pub fn run(&self, context: &Context) -> io::Result<Table> {
        let mut table = Table::new(self, context);
        if let Err(reason) = (self.requirement)() {
            table.not_tested = Some(reason);
            return Ok(table);
        }
        for &kind in &context.kinds {
            (self.test)(context, kind, &mut table)?;
        }
        table.notes = self.notes;
        Ok(table)
    }
}

/// All faults in the order of the report.
pub const ALL: [Fault; 10] = [
    killed::FAULT,
    power_cut::FAULT,
    failed_sync::FAULT,
    disk_full::FAULT,
    torn_tail::FAULT,
    changed_byte::FAULT,
    missing_file::FAULT,
    two_writers::FAULT,
    directory_sync::FAULT,
    stuck_sync::FAULT,
];
