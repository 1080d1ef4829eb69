//! The control socket: one command per connection, each served on its own thread, so that a command that waits for
//! an event does not block the command that causes it.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    sync::Arc,
    thread,
};

use serde_json::{Value, json};

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
    let reply: Reply<Value> = serde_json::from_str(&line)
        .map_err(io::Error::from)
        .and_then(|command| execute(command, core))
        .map_err(|error| error.to_string());
    let mut reply = serde_json::to_vec(&reply)?;
    reply.push(b'\n');
    stream.write_all(&reply)
}

fn execute(command: Command, core: &Core) -> io::Result<Value> {
    let faults = &core.faults;
    let in_time = |happened, what: &str| match happened {
        true => Ok(()),
        false => Err(io::Error::other(format!("{what} in time"))),
    };
    match command {
        Command::Add(rule) => return Ok(json!(faults.add(rule))),
        Command::Fired(rule) => return Ok(json!(faults.fired(rule))),
        Command::Count(op) => return Ok(json!(faults.count(op))),
        Command::Release(rule) => faults.release(rule),
        Command::Clear => faults.clear(),
        Command::SetSpaceLimit { bytes, errno } => faults.set_space_limit(bytes, errno),
        Command::ReadOnly => faults.set_read_only(),
        Command::AwaitFired { rule, times } => {
            in_time(faults.await_fired(rule, times), "the rule was not applied often enough")?;
        }
        Command::AwaitBlocked { rule, operations } => {
            in_time(faults.await_blocked(rule, operations), "the rule did not block enough operations")?;
        }
        Command::PowerCut { to, kept } => core.durability().power_cut(&to, kept)?,
        Command::Record(name) => core.durability().record(core.inode_of(&name)?)?,
        Command::Mark(text) => core.durability().mark(&text),
        Command::SaveRecording { name, to } => {
            core.durability().recording(core.inode_of(&name)?)?.save(&to)?;
        }
    }
    Ok(Value::Null)
}
