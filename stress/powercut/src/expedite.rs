//! The kernel's knob that makes mounts quick: `rcu_expedited`. It is everybody's, so it is touched only when asked for,
//! and put back whatever happens but a SIGKILL.

use std::{fs, io};

const KNOB: &str = "/sys/kernel/rcu_expedited";

/// Holds the knob at 1.
#[derive(Debug)]
pub(crate) struct Expedited {
    before: String,
}

impl Expedited {
    pub(crate) fn hold() -> io::Result<Self> {
        let before = fs::read_to_string(KNOB)?;
        fs::write(KNOB, "1")?;
        Ok(Self { before })
    }
}

impl Drop for Expedited {
    fn drop(&mut self) {
        let _ = fs::write(KNOB, self.before.trim());
    }
}
