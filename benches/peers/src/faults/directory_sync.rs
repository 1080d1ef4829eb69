//! Which contestants make the names of their files durable: what they ask of the kernel, seen by `strace`.

use std::{
    fs, io,
    path::Path,
    process::{Command, Stdio},
};

use super::{
    Context, SMALL_FILES,
    report::Table,
    served::{Opening, Served},
    wire::Order,
};
use crate::contestant::Kind;

/// How many records are appended: enough for several files of 4 KiB.
const RECORDS: u64 = 120;

/// The calls that make names, make them durable, or say that a record is acknowledged.
const CALLS: &str = "trace=open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,\
                     fsync,fdatasync,sync_file_range,syncfs,write";

/// What the trace of one contestant shows.
#[derive(Default)]
struct Names {
    created: u64,
    renamed: u64,
    directory_syncs: u64,
    parent_syncs: u64,
    acked: u64,
    acked_before_any_directory_sync: u64,
}

/// Traces every contestant.
///
/// # Errors
///
/// A child cannot be started.
pub fn run(context: &Context) -> io::Result<Table> {
    let mut table = Table::new(
        "directory-sync",
        format!(
            "{RECORDS} records appended one by one to a new log (files of 4 KiB where the contestant lets one choose), under \
             `strace -f`: names made in the log's directory (files created with `O_CREAT` and written by the contestant, \
             renames), and syncs of a descriptor of that directory."
        ),
        &[
            "files created",
            "renames",
            "syncs of the log's directory",
            "syncs of the directory above",
            "acknowledged before the first sync of the log's directory",
        ],
    );
    let strace = Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !strace.is_ok_and(|status| status.success()) {
        table.not_tested = Some("`strace` is not installed or may not trace".to_string());
        return Ok(table);
    }
    for &kind in &context.kinds {
        let dir = context.fresh("directory-sync", kind)?;
        let names = trace(kind, &dir)?;
        if names.directory_syncs == 0 || names.acked_before_any_directory_sync > 0 {
            table.blame(kind, "directory-sync: a record was acknowledged before the directory was synced");
        }
        table.row(
            kind,
            vec![
                names.created.to_string(),
                names.renamed.to_string(),
                names.directory_syncs.to_string(),
                names.parent_syncs.to_string(),
                format!("{} of {}", names.acked_before_any_directory_sync, names.acked),
            ],
        );
    }
    table.notes.extend([
        "The log's directory exists before it is opened; walrus-rust and raft-engine make one of their own in it, which is \
         then *the log's directory*, and *the directory above* the one that was given."
            .to_string(),
        "Sources: ministore 0.1.7 `src/lib.rs` syncs files only (`sync_all` in `append` and `rotate`); okaywal 0.3.1 \
         `src/lib.rs`, `sync_directory`; wal-db 1.1.0 `src/segment.rs` and `src/store.rs` have no sync of a directory; \
         walrus-rust 0.2.0 `src/wal/paths.rs`, `create_new_file`; raft-engine 0.4.2 `src/file_pipe_log/pipe.rs`, `sync_dir`, \
         called by `rotate_imp`, not for the first file."
            .to_string(),
    ]);
    Ok(table)
}

fn trace(kind: Kind, dir: &Path) -> io::Result<Names> {
    let log = dir.join("log");
    fs::create_dir(&log)?;
    let output = dir.join("trace");
    let path = output.display().to_string();
    let tracer = ["strace", "-f", "-y", "-s", "64", "-e", CALLS, "-e", "signal=none", "-o", path.as_str()];
    let mut served = Served::start_under(&tracer, kind, &log, SMALL_FILES)?;
    let opening = served.opened();
    if !matches!(opening, Opening::Open(_)) {
        return Err(io::Error::other(format!("{}: does not open under strace: {opening:?}", kind.name())));
    }
    served.carry_out(&Order::Append { appender: 0, from: 1, count: RECORDS, fill_bytes: 0 });
    served.carry_out(&Order::Close);
    drop(served);
    let own = match kind {
        Kind::Walrus => log.join("log"),
        Kind::RaftEngine => log.join("engine"),
        _ => log,
    };
    Ok(read(&fs::read_to_string(output)?, &own))
}

/// Reads a trace. A call that another thread interrupted is on two lines; what names its file is on the first.
fn read(trace: &str, log: &Path) -> Names {
    let mut names = Names::default();
    let inside = format!("\"{}/", log.display());
    let directory = format!("<{}>", log.display());
    let above = format!("<{}>", log.parent().unwrap_or(log).display());
    for line in trace.lines().filter(|line| !line.contains("resumed>")) {
        let call = line.split_once(' ').map_or(line, |(_, call)| call.trim_start());
        let called = call.split('(').next().unwrap_or_default();
        match called {
            "open" | "openat" | "openat2" | "creat" if call.contains("O_CREAT") && call.contains(&inside) => {
                names.created += 1;
            }
            "rename" | "renameat" | "renameat2" if call.contains(&inside) => names.renamed += 1,
            "fsync" | "fdatasync" if call.contains(&directory) => names.directory_syncs += 1,
            "fsync" | "fdatasync" if call.contains(&above) => names.parent_syncs += 1,
            "write" if call.starts_with("write(1<") && call.contains("Acked") => {
                names.acked += 1;
                names.acked_before_any_directory_sync += u64::from(names.directory_syncs == 0);
            }
            _ => {}
        }
    }
    names
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
        let names = read(trace, Path::new("/d/log"));
        assert_eq!((names.created, names.renamed), (1, 1));
        assert_eq!((names.directory_syncs, names.parent_syncs), (1, 1));
        assert_eq!((names.acked, names.acked_before_any_directory_sync), (2, 1));
    }
}
