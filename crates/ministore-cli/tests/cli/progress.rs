//! The progress bar: printed to standard error, and only if that is a terminal.

use crate::{
    support::{TestDir, lines},
    terminal::{TerminalOutput, on_a_terminal},
};

#[test]
fn terminal_shows_progress_bar() {
    let dir = TestDir::new();
    let file = dir.write("in.ndjson", lines(5000));
    let (output, shown) = on_a_terminal(dir.ingest().arg(&file), TerminalOutput::Stderr, 80);
    let output = output.ok();
    assert!(shown.contains("records, ") && shown.contains('\u{1b}'), "{shown:?}");
    assert!(
        output.stdout.contains("5,000 durable (complete)") && !output.stdout.contains('\u{1b}'),
        "{output:?}"
    );
}

#[test]
fn pipe_gets_no_progress_bar() {
    let dir = TestDir::new();
    let file = dir.write("in.ndjson", lines(5000));
    let output = crate::support::CommandExt::run(dir.ingest().arg(&file)).ok();
    assert_eq!(output.errors(), Vec::<&str>::new());
    assert!(!output.stdout.contains('\u{1b}'), "{output:?}");
}
