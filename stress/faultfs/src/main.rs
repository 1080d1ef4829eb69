//! `ministore-faultfs BACKING MOUNTPOINT`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    match ministore_faultfs::run(std::env::args_os().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the program's own message")]
            {
                eprintln!("ministore-faultfs: {error}");
            }
            ExitCode::FAILURE
        }
    }
}
