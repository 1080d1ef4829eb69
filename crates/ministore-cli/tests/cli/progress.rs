//! The progress bar: on a terminal, on standard error, and nowhere else.

use crate::{
    support::{Place, lines},
    terminal::{Shown, on_a_terminal},
};

#[test]
fn a_terminal_shows_how_far_the_input_has_been_read() {
    let place = Place::new();
    let file = place.write("in.ndjson", lines(5000));
    let (ran, shown) = on_a_terminal(place.ingest().arg(&file), Shown::Errors, 80);
    let ran = ran.ok();
    assert!(shown.contains("records, ") && shown.contains('\u{1b}'), "{shown:?}");
    assert!(ran.out.contains("5,000 durable (complete)") && !ran.out.contains('\u{1b}'), "{ran:?}");
}

#[test]
fn what_is_no_terminal_gets_no_progress_bar() {
    let place = Place::new();
    let file = place.write("in.ndjson", lines(5000));
    let ran = crate::support::Run::run(place.ingest().arg(&file)).ok();
    assert_eq!(ran.errors(), Vec::<&str>::new());
    assert!(!ran.out.contains('\u{1b}'), "{ran:?}");
}
