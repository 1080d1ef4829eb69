//! Owns a FIFO: made where it is missing, read for as long as the service lives, whoever comes and goes.
//!
//! From the first writer that opens it until the last one has closed it, it is read like one connection. Then it is
//! opened anew, and only then closed: what is written in between is not lost. Half a line that the last writer left is
//! not joined to what the next one writes, unless that one had opened it before.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tokio::{
    net::unix::pipe::{OpenOptions, Receiver},
    time::sleep,
};

use super::{
    client::{self, Origin},
    service::Service,
    take::Taken,
};
use crate::exit::{Code, Failure};

/// What could not be made durable is not asked for again; whoever writes meanwhile waits in front of a full pipe.
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);

/// A FIFO that is open.
#[derive(Debug)]
pub(super) struct Fifo {
    path: PathBuf,
    receiver: Receiver,
}

impl Fifo {
    pub(super) fn open(path: &Path, mode: u32) -> Result<Self, Failure> {
        let refused = |error: io::Error| Failure::file(path, "open the FIFO", &error);
        match mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).map_err(io::Error::from) {
            // Whatever the umask says.
            Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(refused)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if !fs::metadata(path).map_err(refused)?.file_type().is_fifo() {
                    let reason = format_args!("fifo:{}: there is a file that is no FIFO", path.display());
                    return Err(Failure::new(Code::CannotCreate, reason));
                }
            }
            Err(error) => return Err(refused(error)),
        }
        let receiver = OpenOptions::new().open_receiver(path).map_err(refused)?;
        Ok(Self { path: path.to_owned(), receiver })
    }

    /// Until the service ends. The FIFO stays: a writer that comes later waits for the next start.
    pub(super) async fn serve(mut self, service: Arc<Service>) {
        let origin = Origin { name: format!("fifo:{}", self.path.display()), is_fifo: true };
        loop {
            let taken = client::serve(&service, &origin, &mut self.receiver, tokio::io::sink()).await;
            if service.ending.has_begun() {
                return;
            }
            if taken == Taken::Failed {
                tokio::select! {
                    () = service.ending.wait() => return,
                    () = sleep(AFTER_A_FAILURE) => {}
                }
            }
            match OpenOptions::new().open_receiver(&self.path) {
                Ok(next) => self.receiver = next,
                Err(error) => {
                    let failure = Failure::file(&self.path, "open it again", &error);
                    return service.ending.fail(failure);
                }
            }
        }
    }
}
