//! Properties of every chart.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::{Chart, LineStyle, NAME_HEIGHT, Scale, Series, Unit, names, svg};

fn line(label: &str, points: &[(f64, f64)]) -> Series {
    Series { label: label.into(), style: LineStyle::Peer(0), points: points.to_vec() }
}

fn chart(series: Vec<Series>) -> Chart {
    let text = || String::from("a < b");
    Chart {
        id: "x".into(),
        title: text(),
        description: text(),
        across: text(),
        upwards: text(),
        unit: Unit::Count,
        series,
    }
}

#[test]
fn every_line_is_named_and_text_is_escaped() {
    let spec = svg(&chart(vec![line("one", &[(1.0, 10.0), (16.0, 1000.0)]), line("two", &[(1.0, 5.0)])]));
    let spec = spec.unwrap();
    assert!(spec.contains(">one</text>") && spec.contains(">two</text>"));
    assert!(spec.contains("<title id=\"x-title\">a &lt; b</title>") && !spec.contains("a < b"));
    assert!(spec.contains("prefers-color-scheme:dark"));
}

#[test]
fn empty_chart_is_not_drawn() {
    assert_eq!(svg(&chart(vec![line("none", &[])])), None);
}

#[test]
fn labels_do_not_overlap() {
    let series: Vec<Series> =
        (0..9).map(|number| line("same", &[(1.0, 1.0), (16.0, 100.0 + f64::from(number))])).collect();
    let mut heights = names(&Scale::of(&series), &series);
    heights.sort_by(f64::total_cmp);
    assert!(heights.windows(2).all(|pair| pair[1] - pair[0] >= NAME_HEIGHT - 0.001), "{heights:?}");
}

#[test]
fn large_values_are_shortened() {
    let shortened = [0.1, 1.0, 100.0, 1000.0, 1e5, 1e6].map(|value| Unit::Count.short(value));
    assert_eq!(shortened, ["0.1", "1", "100", "1k", "100k", "1M"]);
    let shortened = [1.0, 100.0, 1000.0, 1e5, 1e6, 1e7].map(|value| Unit::Micros.short(value));
    assert_eq!(shortened, ["1 µs", "100 µs", "1 ms", "100 ms", "1 s", "10 s"]);
}
