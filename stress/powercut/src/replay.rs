//! Repeats one power cut of a kept recording, or extracts its image.

use std::{fs::File, io, path::Path};

use ministore_faultfs::recording::Recording;

use crate::{
    acked_state,
    check::Finding,
    crash::{Crash, ImageBuilder},
    filesystem::FileSystem,
    image_tester::ImageTester,
};

/// Returns the command that repeats `crash` of the recording in `file`.
pub(crate) fn command(file_system: FileSystem, file: &Path, crash: Crash) -> String {
    let Crash { at, kept, .. } = crash;
    let file = file.display();
    format!("cargo run --release -p ministore-powercut -- replay {file_system} {file} {at} {kept}")
}

/// Tests one power cut of a kept recording.
pub(crate) fn replay(
    file_system: FileSystem,
    file: &Path,
    crash: Crash,
    uring: bool,
) -> io::Result<Result<(), Finding>> {
    let recording = Recording::load(file)?;
    if crash.at > recording.events.len() {
        return Err(io::Error::other(format!("the recording has {} events", recording.events.len())));
    }
    let markers = acked_state::markers(&recording.events).map_err(io::Error::other)?;
    let mut tester = ImageTester::new(file_system, recording.base.len(), uring)?;
    Ok(tester.check_crash(
        &mut ImageBuilder::new(&recording),
        &mut acked_state::AckedStates::new(&markers),
        crash,
    ))
}

/// Writes the image after a power cut to the file `image`.
pub(crate) fn extract(file: &Path, crash: Crash, image: &Path) -> io::Result<()> {
    let recording = Recording::load(file)?;
    ImageBuilder::new(&recording).image(crash).store(&File::create(image)?)
}
