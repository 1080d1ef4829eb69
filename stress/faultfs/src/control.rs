//! The control socket: one command per connection, each served on its own thread, so that a command that waits for
//! an event does not block the command that causes it.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    sync::Arc,
    thread,
};

use crate::{
    fs::Core,
    protocol::{Command, Reply},
};

/// Serves commands until the process ends.
pub(crate) fn serve(listener: UnixListener, core: Arc<Core>) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let core = Arc::clone(&core);
            // A client that disconnected needs no reply.
            thread::spawn(move || drop(serve_one(&stream, &core)));
        }
    });
}

fn serve_one(mut stream: &UnixStream, core: &Core) -> io::Result<()> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let reply = match serde_json::from_str(&line) {
        Ok(command) => execute(command, core),
        Err(error) => Reply::Failed(error.to_string()),
    };
    let mut reply = serde_json::to_vec(&reply)?;
    reply.push(b'\n');
    stream.write_all(&reply)
}

fn execute(command: Command, core: &Core) -> Reply {
    let faults = &core.faults;
    let in_time = |happened, what: &str| {
        if happened { Reply::Done } else { Reply::Failed(format!("{what} in time")) }
    };
    match command {
        Command::Add(rule) => return Reply::Rule(faults.add(rule)),
        Command::Release(rule) => faults.release(rule),
        Command::Clear => faults.clear(),
        Command::SetSpaceLimit { bytes, errno } => faults.set_space_limit(bytes, errno),
        Command::ReadOnly => faults.set_read_only(),
        Command::AwaitFired { rule, times } => {
            return in_time(faults.await_fired(rule, times), "the rule was not applied often enough");
        }
        Command::AwaitBlocked { rule, operations } => {
            return in_time(
                faults.await_blocked(rule, operations),
                "the rule did not block enough operations",
            );
        }
        Command::Fired(rule) => return Reply::Count(faults.fired(rule)),
        Command::Counts => {
            let counts = faults.counts().into_iter().map(|(op, count)| (format!("{op:?}"), count));
            return Reply::Counts(counts.collect());
        }
        Command::PowerCut { to } => {
            return core
                .power_cut(&to)
                .map_or_else(|error| Reply::Failed(error.to_string()), |()| Reply::Done);
        }
    }
    Reply::Done
}
