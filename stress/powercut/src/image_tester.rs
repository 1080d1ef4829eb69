//! Tests images on one loop device over a file in memory, which is rewritten for each image.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
};

use rustix::fs::SeekFrom;

use crate::{
    acked_state::AckedStates,
    check::{Checker, Finding},
    crash::{Crash, ImageBuilder},
    filesystem::FileSystem,
    image::{Image, PAGE_BYTES},
    mounts::{LoopDevice, TempDirectory, image_file},
    record::mount,
};

/// Bytes compared at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// The disk of one worker.
#[derive(Debug)]
pub(crate) struct ImageTester {
    file_system: FileSystem,
    file: File,
    device: LoopDevice,
    dir: TempDirectory,
    checker: Checker,
}

impl ImageTester {
    pub(crate) fn new(file_system: FileSystem, bytes: u64, number: usize, uring: bool) -> io::Result<Self> {
        let name = format!("{file_system}-{number}");
        let (file, path) = image_file(bytes, &name)?;
        let device = LoopDevice::attach(&path, false);
        fs::remove_file(&path)?;
        let dir = TempDirectory::create(&std::env::temp_dir(), &name)?;
        Ok(Self { file_system, file, device: device?, dir, checker: Checker::new(uring)? })
    }

    /// Mounts the image that `crash` leaves, and checks its journals.
    pub(crate) fn check_crash(
        &mut self,
        builder: &mut ImageBuilder<'_>,
        acked_states: &mut AckedStates<'_>,
        crash: Crash,
    ) -> Result<(), Finding> {
        self.write_image(&builder.image(crash)).map_err(Finding::harness("write the image"))?;
        let mounted = mount(self.file_system, &self.device, self.dir.path())
            .map_err(|error| Finding::NotMounted(error.to_string()))?;
        let outcome = self.checker.check(self.dir.path(), acked_states.at(crash.at), crash);
        mounted.unmount().map_err(Finding::harness("unmount the image"))?;
        self.device.assert_unused().map_err(Finding::harness("release the image"))?;
        outcome
    }

    /// Makes the disk equal to `image`. No process has the device open, so its page cache is empty and the next mount
    /// reads the contents of the file.
    fn write_image(&self, image: &Image) -> io::Result<()> {
        let page_bytes = PAGE_BYTES as u64;
        let mut is_in_file = vec![false; image.page_count()];
        let mut chunk = vec![0; CHUNK_BYTES];
        for (from, to) in self.extents()? {
            let mut at = from;
            while at < to {
                let bytes = usize::try_from(to - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
                self.file.read_exact_at(&mut chunk[..bytes], at)?;
                for page in chunk[..bytes].chunks_exact(PAGE_BYTES) {
                    let index = usize::try_from(at / page_bytes).unwrap_or(usize::MAX);
                    let expected = image.page(index);
                    if page != expected {
                        self.file.write_all_at(expected, at)?;
                    }
                    if let Some(is_in_file) = is_in_file.get_mut(index) {
                        *is_in_file = true;
                    }
                    at += page_bytes;
                }
            }
        }
        for (index, page) in image.written() {
            if !is_in_file[index] {
                self.file.write_all_at(page, index as u64 * page_bytes)?;
            }
        }
        Ok(())
    }

    /// Returns the ranges of the file that contain data. The other ranges read as zeros.
    fn extents(&self) -> io::Result<Vec<(u64, u64)>> {
        let mut extents = Vec::new();
        let mut at = 0;
        loop {
            let from = match rustix::fs::seek(&self.file, SeekFrom::Data(at)) {
                Ok(from) => from,
                Err(rustix::io::Errno::NXIO) => return Ok(extents),
                Err(error) => return Err(error.into()),
            };
            at = rustix::fs::seek(&self.file, SeekFrom::Hole(from))?;
            extents.push((from, at));
        }
    }
}
