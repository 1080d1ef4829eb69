//! Owns the files in which `bench` leaves its latencies for HdrHistogram's own tools.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use hdrhistogram::Histogram;
use ministore_uring::stats::write_hgrm;

use crate::exit::{Code, Failure};

/// Nanoseconds in the unit of the file.
const UNIT: f64 = 1_000.0;

pub(super) fn write_file(histogram: &Histogram<u64>, path: &Path) -> Result<(), Failure> {
    let write = || {
        let mut file = BufWriter::new(File::create(path)?);
        write_hgrm(histogram, UNIT, &mut file)?;
        file.flush()
    };
    write().map_err(|error| failure(path, &error))
}

pub(super) fn failure(path: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::file(path, "write", error),
        _ => Failure::new(Code::CannotCreate, format_args!("{}: cannot write: {error}", path.display())),
    }
}
