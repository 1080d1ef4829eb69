//! The help texts of the program and of every subcommand.

use insta::assert_snapshot;

use crate::{
    manual::subcommands,
    snapshot::{settings, shown},
    support::{CommandExt, TestDir, ministore},
};

#[test]
fn program_help() {
    let dir = TestDir::new();
    snapshot!(dir, &mut ministore(["--help"])).ok();
    snapshot!(dir, &mut ministore(["--version"])).ok();
}

#[test]
fn help() {
    for subcommand in subcommands() {
        let mut command = ministore([&*subcommand, "--help"]);
        let output = command.run().ok();
        let mut settings = settings(&TestDir::new());
        settings.set_snapshot_suffix(&subcommand);
        settings.bind(|| assert_snapshot!(shown(&command, &output)));
        assert!(
            output.stdout.contains(
                "Examples:
  "
            ),
            "{}",
            output.stdout
        );
    }
}

#[test]
fn program_manual() {
    snapshot!(TestDir::new(), &mut ministore(["man"])).ok();
}
