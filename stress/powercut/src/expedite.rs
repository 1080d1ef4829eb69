//! The kernel setting `rcu_expedited`, which makes mounts faster. It affects the whole machine, so it is set only on
//! request and restored at the end. Only SIGKILL prevents that.

use std::{fs, io};

const RCU_EXPEDITED: &str = "/sys/kernel/rcu_expedited";

/// Sets the kernel setting to 1 and restores the previous value on drop.
#[derive(Debug)]
pub(crate) struct ExpeditedRcu {
    before: String,
}

impl ExpeditedRcu {
    pub(crate) fn enable() -> io::Result<Self> {
        let before = fs::read_to_string(RCU_EXPEDITED)?;
        fs::write(RCU_EXPEDITED, "1")?;
        Ok(Self { before })
    }
}

impl Drop for ExpeditedRcu {
    fn drop(&mut self) {
        let _ = fs::write(RCU_EXPEDITED, self.before.trim());
    }
}
