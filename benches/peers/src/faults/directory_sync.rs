//! Which logs make the names of their files durable, according to their system calls seen by `strace`.

use std::{
    fs, io,
    path::Path,
    process::{self, Stdio},
};

use super::{Context, Fault, SMALL_FILES, child_process::ChildProcess, report::Table, wire::Command};
use crate::log_under_test::LogKind;

/// The number of appended records: enough for several files of 4 KiB.
const RECORDS: u64 = 120;

/// The system calls that create names, make them durable, or report an acknowledgement.
const CALLS: &str = "trace=open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,\
                     fsync,fdatasync,sync_file_range,syncfs,write";

#[derive(Default)]
struct TraceCounts {
    created: u64,
    renamed: u64,
    directory_syncs: u64,
    parent_syncs: u64,
    acked: u64,
    acked_before_any_directory_sync: u64,
}

pub const FAULT: Fault = Fault {
    id: "directory-sync",
    description: |_| {
        format!(
            "{RECORDS} records appended one by one to a new log (files of 4 KiB where the size can be set), under \
             `strace -f`: names created in the log's directory (files created with `O_CREAT` and written by the log, \
             renames), and syncs of a descriptor of that directory."
        )
    },
    requirement: strace_available,
    test,
    notes: &[
        "The log's directory exists before it is opened; walrus-rust and raft-engine make one of their own in it, which is \
         then *the log's directory*, and *the directory above* the one that was given.",
        "Sources: ministore 0.1.7 `src/lib.rs` syncs files only (`sync_all` in `append` and `rotate`); okaywal 0.3.1 \
         `src/lib.rs`, `sync_directory`; wal-db 1.1.0 `src/segment.rs` and `src/store.rs` have no sync of a directory; \
         walrus-rust 0.2.0 `src/wal/paths.rs`, `create_new_file`; raft-engine 0.4.2 `src/file_pipe_log/pipe.rs`, `sync_dir`, \
         called by `rotate_imp`, not for the first file; raft-log 0.4.6: `src/config.rs` of chunked-wal 0.2.3, `sync_dir`.",
    ],
};

fn test(context: &Context, kind: LogKind, table: &mut Table) -> io::Result<()> {
    let dir = context.create_dir("directory-sync", kind)?;
    let counts = trace(kind, &dir)?;
    if counts.directory_syncs == 0 || counts.acked_before_any_directory_sync > 0 {
        table.record_violation(
            kind,
            "directory-sync: a record was acknowledged before the directory was synced",
        );
    }
    table.row(
        kind,
        [
            ("files created", counts.created.to_string()),
            ("renames", counts.renamed.to_string()),
            ("syncs of the log's directory", counts.directory_syncs.to_string()),
            ("syncs of the directory above", counts.parent_syncs.to_string()),
            (
                "acknowledged before the first sync of the log's directory",
                format!("{} of {}", counts.acked_before_any_directory_sync, counts.acked),
            ),
        ],
    );
    Ok(())
}

fn strace_available() -> Result<(), String> {
    let strace =
        process::Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match strace.is_ok_and(|status| status.success()) {
        true => Ok(()),
        false => Err("`strace` is not installed or may not trace".into()),
    }
}

fn trace(kind: LogKind, dir: &Path) -> io::Result<TraceCounts> {
    let log = dir.join("log");
    fs::create_dir(&log)?;
    let output = dir.join("trace");
    let path = output.display().to_string();
    let tracer = ["strace", "-f", "-y", "-s", "64", "-e", CALLS, "-e", "signal=none", "-o", path.as_str()];
    let mut process = ChildProcess::start_under(&tracer, kind, &log, SMALL_FILES)?.opened(kind)?;
    process.execute(&Command::Append { appender: 0, from: 1, count: RECORDS, fill_bytes: 0 });
    process.execute(&Command::Close);
    drop(process);
    let own = match kind {
        LogKind::Walrus => log.join("log"),
        LogKind::RaftEngine => log.join("engine"),
        _ => log,
    };
    Ok(read(&fs::read_to_string(output)?, &own))
}

/// Reads a trace. A call that another thread interrupted is on two lines; the first one names its file.
fn read(trace: &str, log: &Path) -> TraceCounts {
    let mut counts = TraceCounts::default();
    let inside = format!("\"{}/", log.display());
    let directory = format!("<{}>", log.display());
    let above = format!("<{}>", log.parent().unwrap_or(log).display());
    for line in trace.lines().filter(|line| !line.contains("resumed>")) {
        let call = line.split_once(' ').map_or(line, |(_, call)| call.trim_start());
        let called = call.split('(').next().unwrap_or_default();
        match called {
            "open" | "openat" | "openat2" | "creat" if call.contains("O_CREAT") && call.contains(&inside) => {
                counts.created += 1;
            }
            "rename" | "renameat" | "renameat2" if call.contains(&inside) => counts.renamed += 1,
            "fsync" | "fdatasync" if call.contains(&directory) => counts.directory_syncs += 1,
            "fsync" | "fdatasync" if call.contains(&above) => counts.parent_syncs += 1,
            "write" if call.starts_with("write(1<") && call.contains("Acked") => {
                counts.acked += 1;
                counts.acked_before_any_directory_sync += u64::from(counts.directory_syncs == 0);
            }
            _ => {}
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::read;

    #[test]
    fn trace_separates_names_syncs_and_acknowledgements() {
        let trace = r#"7 openat(AT_FDCWD, "/d/log/a", O_RDWR|O_CREAT|O_CLOEXEC, 0666) = 4</d/log/a>
7 fdatasync(4</d/log/a>) = 0
7 write(1<pipe:[5]>, "{\"Acked\":[0,1]}\n", 16) = 16
8 fsync(5</d/log>) = 0
7 rename("/d/log/a", "/d/log/b") = 0
7 write(1<pipe:[5]>, "{\"Acked\":[0,2]}\n", 16) = 16
8 fsync(5</d>) = 0
"#;
        let counts = read(trace, Path::new("/d/log"));
        assert_eq!((counts.created, counts.renamed), (1, 1));
        assert_eq!((counts.directory_syncs, counts.parent_syncs), (1, 1));
        assert_eq!((counts.acked, counts.acked_before_any_directory_sync), (2, 1));
    }
}
