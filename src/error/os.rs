//! The errors of system calls: temporary shortages, a full disk, and calls that are known to have changed nothing.

use std::io;

use rustix::io::Errno;

/// Returns a copy of an error, for a result that several callers get.
pub(crate) fn clone_io_error(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// Returns whether the disk, a quota or the process's file size limit is full.
pub(crate) fn is_storage_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Returns whether a call failed because of a temporary shortage: descriptors, memory, or an interrupted call.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    const SHORTAGES: [Errno; 6] =
        [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS, Errno::AGAIN, Errno::INTR];
    Errno::from_io_error(error).is_some_and(|errno| SHORTAGES.contains(&errno))
}

/// Returns whether a `rename`, `link` or `unlink` that failed with this error is known to have changed nothing. The
/// kernel returns these errors while it looks the names up, checks permissions and reserves resources, before the first
/// change. After every other error the outcome is unknown: `EIO` can occur in the middle of the change, and the
/// response of a server may be lost (`EINTR`, `ETIMEDOUT`, `ESTALE`; a repeated request returns `ENOENT` if the first
/// one succeeded).
pub(crate) fn left_names_unchanged(error: &io::Error) -> bool {
    const BEFORE_ANY_CHANGE: [Errno; 20] = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::NOBUFS,
        Errno::AGAIN,
        Errno::ACCESS,
        Errno::PERM,
        Errno::ROFS,
        Errno::NOSPC,
        Errno::DQUOT,
        Errno::BUSY,
        Errno::EXIST,
        Errno::MLINK,
        Errno::NAMETOOLONG,
        Errno::XDEV,
        Errno::INVAL,
        Errno::ISDIR,
        Errno::LOOP,
        Errno::NOSYS,
        Errno::OPNOTSUPP,
    ];
    Errno::from_io_error(error).is_some_and(|errno| BEFORE_ANY_CHANGE.contains(&errno))
        || is_storage_full(error)
}
