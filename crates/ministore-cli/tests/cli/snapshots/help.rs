//! The help texts, of every subcommand there is.

use insta::assert_snapshot;

use crate::{
    manual::subcommands,
    snapshot::{settings, shown},
    support::{Place, Run, ministore},
};

#[test]
fn help_of_the_program() {
    let place = Place::new();
    snapshot!(place, &mut ministore(["--help"])).ok();
    snapshot!(place, &mut ministore(["--version"])).ok();
}

#[test]
fn help() {
    for subcommand in subcommands() {
        let mut command = ministore([&*subcommand, "--help"]);
        let ran = command.run().ok();
        let mut settings = settings(&Place::new());
        settings.set_snapshot_suffix(&subcommand);
        settings.bind(|| assert_snapshot!(shown(&command, &ran)));
        assert!(
            ran.out.contains(
                "Examples:
  "
            ),
            "{}",
            ran.out
        );
    }
}

#[test]
fn the_manual_of_the_program() {
    snapshot!(Place::new(), &mut ministore(["man"])).ok();
}
