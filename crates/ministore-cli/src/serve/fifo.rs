//! Serves a FIFO: creates it if it is missing and reads it as long as the service runs.
//!
//! From the first writer that opens it until the last one closes it, it is read like one connection. Then it is opened again
//! before the old descriptor is closed, so that nothing written in between is lost. An incomplete line of the last writer is
//! not joined with data of the next one, unless that one had opened the FIFO before.

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
    client::{self, PeerInfo},
    client_reader::ReadOutcome,
    client_writer::WriteEnd,
    lines::Rest,
    service::Service,
    unread::UnreadLines,
};
use crate::exit::{CliError, ExitStatus};

/// The pause after records could not be made durable, or reading failed. Writers block on the full pipe in the meantime.
const FAILURE_DELAY: Duration = Duration::from_secs(1);

/// An open FIFO.
#[derive(Debug)]
pub(super) struct Fifo {
    path: PathBuf,
    receiver: Receiver,
}

impl Fifo {
    pub(super) fn open(path: &Path, mode: u32) -> Result<Self, CliError> {
        let refused = |error: io::Error| CliError::file(path, "open the FIFO", &error);
        match mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).map_err(io::Error::from) {
            // Regardless of the umask.
            Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(refused)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if !fs::metadata(path).map_err(refused)?.file_type().is_fifo() {
                    let reason = format_args!("fifo:{}: exists and is not a FIFO", path.display());
                    return Err(CliError::new(ExitStatus::CannotCreate, reason).path(path));
                }
            }
            Err(error) => return Err(refused(error)),
        }
        let receiver = OpenOptions::new().open_receiver(path).map_err(refused)?;
        Ok(Self { path: path.to_owned(), receiver })
    }

    /// Runs until the service shuts down. The FIFO is kept: a later writer waits for the next start.
    pub(super) async fn serve(mut self, service: Arc<Service>) {
        let peer = PeerInfo { name: format!("fifo:{}", self.path.display()), is_fifo: true };
        let mut rest = Rest::default();
        loop {
            let sink = tokio::io::sink();
            let end = client::serve_until_end(&service, &peer, &mut self.receiver, sink, &mut rest).await;
            let is_complete = end.read == ReadOutcome::Complete;
            if !is_complete || end.write == WriteEnd::Failed {
                tokio::select! {
                    () = service.shutdown.wait() => {}
                    () = sleep(FAILURE_DELAY) => {}
                }
            }
            if service.shutdown.is_triggered() {
                return service.metrics.count_unread(end.refuse_reason, UnreadLines::of(&rest).lines());
            }
            if !is_complete {
                // The writers still have it open: the rest is examined with what they send next.
                continue;
            }
            match OpenOptions::new().open_receiver(&self.path) {
                Ok(next) => self.receiver = next,
                Err(error) => {
                    let failure = CliError::file(&self.path, "open it again", &error);
                    return service.shutdown.trigger_with_error(failure);
                }
            }
        }
    }
}
