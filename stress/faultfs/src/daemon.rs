//! The program: mounts, reports that on standard output, and serves until it is unmounted or killed.

use std::{ffi::OsString, fs, io, io::Write, os::unix::net::UnixListener, path::PathBuf, sync::Arc};

use fuser::{Config, MountOption, Session};

use crate::{
    control,
    fs::{Core, Passthrough},
    protocol::socket_path,
};

/// The line on standard output that reports a completed mount.
pub(crate) const READY: &str = "mounted";

/// Threads that receive requests from the kernel. Rules never block them.
const THREADS: usize = 2;

pub fn run(mut args: impl Iterator<Item = OsString>) -> io::Result<()> {
    let (Some(backing), Some(mount_point)) = (args.next(), args.next()) else {
        return Err(io::Error::other("usage: ministore-faultfs BACKING MOUNTPOINT [OPTIONS]"));
    };
    let options = args.next().map_or_else(|| "{}".into(), |options| options.to_string_lossy().into_owned());
    let options = serde_json::from_str(&options)?;
    let (backing, mount_point) = (fs::canonicalize(backing)?, PathBuf::from(mount_point));
    // A parent that is blocked in a delayed operation can neither exit nor send a command. The kernel kills this
    // process when the parent is killed, and that ends the operation.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let core = Arc::new(Core::new(&backing, options)?);
    let listener = UnixListener::bind(socket_path(&mount_point))?;
    control::serve(listener, Arc::clone(&core));
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("faultfs".into()), MountOption::DefaultPermissions];
    config.n_threads = Some(THREADS);
    let session = Session::new(Passthrough(core), &mount_point, &config)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{READY}")?;
    out.flush()?;
    drop(out);
    session.run()
}
