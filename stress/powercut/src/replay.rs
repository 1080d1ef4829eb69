//! One power cut of a recording that was kept: tried again, or taken out to be looked at.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use crate::{
    bench::Bench,
    check::Trouble,
    crash::{Builder, Crash},
    filesystem::FileSystem,
    image::PAGE_BYTES,
    promise,
    recording::Recording,
};

/// The command that tries `crash` of the recording in `file` again.
pub(crate) fn command(file_system: FileSystem, file: &Path, crash: Crash) -> String {
    let Crash { at, kept, .. } = crash;
    let file = file.display();
    format!("cargo run --release -p ministore-powercut -- replay {file_system} {file} {at} {kept}")
}

/// Tries one power cut of a recording that was kept.
pub(crate) fn replay(
    file_system: FileSystem,
    file: &Path,
    crash: Crash,
    uring: bool,
) -> io::Result<Result<(), Trouble>> {
    let recording = Recording::load(file)?;
    if crash.at > recording.events.len() {
        return Err(io::Error::other(format!("the recording has {} events", recording.events.len())));
    }
    let marks = promise::marks(&recording.events).map_err(io::Error::other)?;
    let mut bench = Bench::new(file_system, recording.base.bytes(), 0, uring)?;
    Ok(bench.try_crash(&mut Builder::new(&recording), &mut promise::Promises::new(&marks), crash))
}

/// Writes what a power cut left to the file `image`.
pub(crate) fn extract(file: &Path, crash: Crash, image: &Path) -> io::Result<()> {
    let recording = Recording::load(file)?;
    let left = Builder::new(&recording).image(crash);
    let file = File::create(image)?;
    file.set_len(left.bytes())?;
    left.written().try_for_each(|(index, page)| file.write_all_at(page, (index * PAGE_BYTES) as u64))
}
