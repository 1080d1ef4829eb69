//! Writes latency distributions in the format of HdrHistogram's tools.

use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;
use ministore_uring::stats::write_hgrm;

use crate::{exit::CliError, output_file};

/// Nanoseconds in the unit of the file.
const UNIT: f64 = 1_000.0;

pub(super) fn write_file(histogram: &Histogram<u64>, path: &Path) -> Result<(), CliError> {
    let mut text = Vec::new();
    write_hgrm(histogram, UNIT, &mut text).map_err(|error| CliError::create(path, &error))?;
    output_file::write(path, &text)
}

/// Returns the file for a point: for `latency.hgrm` and `16x300-auto`, `latency.16x300-auto.hgrm`.
pub(super) fn path_of(path: &Path, point: &str) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!(".{point}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sweep_point_has_its_own_file() {
        let name = |path: &str| path_of(Path::new(path), "4x300-auto-2.5").to_string_lossy().into_owned();
        assert_eq!(name("/a.b/latency.hgrm"), "/a.b/latency.4x300-auto-2.5.hgrm");
        assert_eq!(name("latency"), "latency.4x300-auto-2.5");
    }
}
