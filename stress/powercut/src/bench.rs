//! Where images are tried: one loop device over a file in memory, rewritten from image to image.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
};

use rustix::fs::SeekFrom;

use crate::{
    check::{Checker, Trouble},
    crash::{Builder, Crash},
    filesystem::FileSystem,
    image::{Image, PAGE_BYTES},
    mounts::{Directory, Loop, image_file},
    promise::Promises,
    record::mount,
};

/// Bytes compared at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// One worker's disk.
#[derive(Debug)]
pub(crate) struct Bench {
    file_system: FileSystem,
    file: File,
    device: Loop,
    dir: Directory,
    checker: Checker,
}

impl Bench {
    pub(crate) fn new(file_system: FileSystem, bytes: u64, number: usize, uring: bool) -> io::Result<Self> {
        let name = format!("{file_system}-{number}");
        let (file, path) = image_file(bytes, &name)?;
        let device = Loop::attach(&path, false);
        fs::remove_file(&path)?;
        let dir = Directory::create(&std::env::temp_dir(), &name)?;
        Ok(Self { file_system, file, device: device?, dir, checker: Checker::new(uring)? })
    }

    /// Cuts the power as `crash` says and looks at what is left.
    pub(crate) fn try_crash(
        &mut self,
        builder: &mut Builder<'_>,
        promises: &mut Promises<'_>,
        crash: Crash,
    ) -> Result<(), Trouble> {
        self.put(&builder.image(crash)).map_err(Trouble::instrument("write the image"))?;
        let mounted = mount(self.file_system, &self.device, self.dir.path())
            .map_err(|error| Trouble::NotMounted(error.to_string()))?;
        let outcome = self.checker.check(self.dir.path(), promises.at(crash.at), crash);
        mounted.unmount().map_err(Trouble::instrument("unmount the image"))?;
        self.device.assert_unused().map_err(Trouble::instrument("release the image"))?;
        outcome
    }

    /// Makes the disk equal to `image`. Nothing has the device open: its page cache is empty, and what is written to
    /// the file is what the next mount reads.
    fn put(&self, image: &Image) -> io::Result<()> {
        let page_bytes = PAGE_BYTES as u64;
        let mut in_file = vec![false; image.page_count()];
        let mut chunk = vec![0; CHUNK_BYTES];
        for (from, to) in self.extents()? {
            let mut at = from;
            while at < to {
                let bytes = usize::try_from(to - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
                self.file.read_exact_at(&mut chunk[..bytes], at)?;
                for page in chunk[..bytes].chunks_exact(PAGE_BYTES) {
                    let index = usize::try_from(at / page_bytes).unwrap_or(usize::MAX);
                    let wanted = image.page(index);
                    if page != wanted {
                        self.file.write_all_at(wanted, at)?;
                    }
                    if let Some(there) = in_file.get_mut(index) {
                        *there = true;
                    }
                    at += page_bytes;
                }
            }
        }
        for (index, page) in image.written() {
            if !in_file[index] {
                self.file.write_all_at(page, index as u64 * page_bytes)?;
            }
        }
        Ok(())
    }

    /// Where the file holds data: all else reads as zeros.
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
