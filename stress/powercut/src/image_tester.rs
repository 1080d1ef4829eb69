//! Tests images on one loop device over a file in memory, which is rewritten for each image.

use std::{fs::File, io};

use ministore_faultfs::mounts::{LoopDevice, temp_dir};
use tempfile::TempDir;

use crate::{
    acked_state::AckedStates,
    check::{Checker, Finding},
    crash::{Crash, ImageBuilder},
    filesystem::FileSystem,
    record::mount,
};

/// The disk of one worker.
#[derive(Debug)]
pub(crate) struct ImageTester {
    file_system: FileSystem,
    file: File,
    device: LoopDevice,
    dir: TempDir,
    checker: Checker,
}

impl ImageTester {
    pub(crate) fn new(file_system: FileSystem, bytes: u64, uring: bool) -> io::Result<Self> {
        let (device, file) = LoopDevice::in_memory(bytes)?;
        Ok(Self { file_system, file, device, dir: temp_dir()?, checker: Checker::new(uring)? })
    }

    /// Mounts the image that `crash` leaves, and checks its journals.
    pub(crate) fn check_crash(
        &mut self,
        builder: &mut ImageBuilder<'_>,
        acked_states: &mut AckedStates<'_>,
        crash: Crash,
    ) -> Result<(), Finding> {
        // No process has the device open, so its page cache is empty and the next mount reads the contents of the file.
        builder.image(crash).store(&self.file).map_err(Finding::harness("write the image"))?;
        let mounted = mount(self.file_system, &self.device, self.dir.path())
            .map_err(|error| Finding::NotMounted(error.to_string()))?;
        let outcome = self.checker.check(self.dir.path(), acked_states.at(crash.at), crash);
        mounted.unmount().map_err(Finding::harness("unmount the image"))?;
        self.device.assert_unused().map_err(Finding::harness("release the image"))?;
        outcome
    }
}
