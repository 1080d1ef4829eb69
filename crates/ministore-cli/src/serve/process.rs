//! The metrics of the process that every Prometheus client library has, under the same names.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use procfs::{ProcResult, process::Process};
use rustix::process::{Resource, getrlimit};

const GAUGES: [(&str, Unit, &str); 6] = [
    ("process_resident_memory_bytes", Unit::Bytes, "Resident memory."),
    ("process_virtual_memory_bytes", Unit::Bytes, "Virtual memory."),
    ("process_open_fds", Unit::Count, "Open file descriptors."),
    ("process_max_fds", Unit::Count, "The limit of open file descriptors."),
    ("process_threads", Unit::Count, "Threads."),
    ("process_start_time_seconds", Unit::Seconds, "Start of the process, in seconds since 1970."),
];

pub(super) fn describe() {
    describe_counter!(
        "process_cpu_seconds_total",
        Unit::Seconds,
        "CPU time of the process, in whole seconds."
    );
    for (name, unit, meaning) in GAUGES {
        describe_gauge!(name, unit, meaning);
    }
}

/// Copies the values to the recorder. Without `/proc` there are none.
pub(super) fn publish() {
    if let Err(error) = try_publish() {
        tracing::debug!("cannot read the metrics of the process: {error}");
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges of Prometheus are floating-point numbers")]
fn try_publish() -> ProcResult<()> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let ticks = procfs::ticks_per_second();
    counter!("process_cpu_seconds_total").absolute((stat.utime + stat.stime) / ticks);
    gauge!("process_resident_memory_bytes").set(stat.rss.saturating_mul(procfs::page_size()) as f64);
    gauge!("process_virtual_memory_bytes").set(stat.vsize as f64);
    gauge!("process_threads").set(stat.num_threads as f64);
    gauge!("process_start_time_seconds").set((procfs::boot_time_secs()? + stat.starttime / ticks) as f64);
    gauge!("process_open_fds").set(process.fd_count()? as f64);
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        gauge!("process_max_fds").set(limit as f64);
    }
    Ok(())
}
