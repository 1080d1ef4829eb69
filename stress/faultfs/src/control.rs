//! The control socket: one command a connection, each served on a thread of its own, so that one that waits for
//! something to happen keeps nobody from making it happen.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    sync::Arc,
    thread,
};

use crate::{
    fs::Core,
    protocol::{Answer, Command},
};

/// Serves commands until the process ends.
pub(crate) fn serve(listener: UnixListener, core: Arc<Core>) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let core = Arc::clone(&core);
            // A client that went away has nothing to be told.
            thread::spawn(move || drop(serve_one(&stream, &core)));
        }
    });
}

fn serve_one(mut stream: &UnixStream, core: &Core) -> io::Result<()> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let answer = match serde_json::from_str(&line) {
        Ok(command) => carry_out(command, core),
        Err(error) => Answer::Failed(error.to_string()),
    };
    let mut answer = serde_json::to_vec(&answer)?;
    answer.push(b'\n');
    stream.write_all(&answer)
}

fn carry_out(command: Command, core: &Core) -> Answer {
    let faults = &core.faults;
    let in_time = |happened, what: &str| {
        if happened { Answer::Done } else { Answer::Failed(format!("{what} in time")) }
    };
    match command {
        Command::Add(rule) => return Answer::Rule(faults.add(rule)),
        Command::Release(rule) => faults.release(rule),
        Command::Clear => faults.clear(),
        Command::LimitRoom { bytes, errno } => faults.set_space_limit(bytes, errno),
        Command::ReadOnly => faults.set_read_only(),
        Command::AwaitFired { rule, times } => {
            return in_time(faults.await_fired(rule, times), "the rule met too little");
        }
        Command::AwaitHeld { rule, operations } => {
            return in_time(faults.await_held(rule, operations), "nothing was held back");
        }
        Command::Fired(rule) => return Answer::Count(faults.fired(rule)),
        Command::Counts => {
            let counts = faults.counts().into_iter().map(|(op, count)| (format!("{op:?}"), count));
            return Answer::Counts(counts.collect());
        }
        Command::PowerCut { to } => {
            return core
                .power_cut(&to)
                .map_or_else(|error| Answer::Failed(error.to_string()), |()| Answer::Done);
        }
    }
    Answer::Done
}
