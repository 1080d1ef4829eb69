//! A chart as an SVG file of its own: its lines are labelled at their ends, it is readable on light and dark backgrounds,
//! and it has a title and a description for screen readers.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::chart::{Chart, ChartBody, Layout, Series, raw};

/// The layout. The labels are right of the frame.
pub(super) const LAYOUT: Layout =
    Layout { width: 980.0, height: 520.0, left: 72.0, right: 666.0, top: 62.0, bottom: 462.0 };

const NAME_HEIGHT: f64 = 16.0;

/// One colour per line, on light and dark backgrounds. The first is for ministore-uring, the last for limits.
pub(super) const COLOURS: [(&str, &str); 10] = [
    ("#0757ba", "#6cb6ff"),
    ("#2f8132", "#6bc46d"),
    ("#bc4c00", "#f69d50"),
    ("#8250df", "#c297ff"),
    ("#bf3989", "#fc8dc7"),
    ("#8a6100", "#daaa3f"),
    ("#0b7285", "#4fd1d9"),
    ("#b3261e", "#ff938a"),
    ("#4d4d00", "#c9d14e"),
    ("#57606a", "#9ba5b0"),
];

/// Draws a chart of lines, each with at least one point.
pub(super) fn svg(chart: &Chart) -> String {
    let Layout { width, height, left, .. } = chart.layout;
    let ChartBody::Lines(series) = &chart.body else { return String::new() };
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {width} {height}")) width=(width) height=(height)
            role="img" aria-labelledby=(chart.label_ids())
        {
            (chart.labels())
            style { (raw(&style())) }
            rect.paper width=(width) height=(height) {}
            text.head x=(left) y="28" { (chart.title) }
            (chart.drawing())
            @for (line, y) in series.iter().zip(label_heights(chart, series)) { (label(chart, line, y)) }
        }
    };
    picture.into_string() + "\n"
}

fn style() -> String {
    let mut text = String::from(
        "text{font:13px system-ui,sans-serif;fill:#1f2328}.halo{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}\
         .head{font-size:16px;font-weight:600}.paper{fill:#fff}.grid,.axis{stroke:#d1d9e0;fill:none}\
         .series{fill:none;stroke-width:1.8;stroke-linejoin:round}.series circle{stroke:none;stroke-dasharray:none}\
         .thick{stroke-width:3}.dashed{stroke-dasharray:7 5}.dotted{stroke-dasharray:2 4}",
    );
    let colours = |text: &mut String, of: fn(&(&'static str, &'static str)) -> &'static str| {
        for (number, colour) in COLOURS.iter().map(of).enumerate() {
            write!(text, ".s{number}{{stroke:{colour}}}.s{number} circle,text.f{number}{{fill:{colour}}}")
                .ok();
        }
    };
    colours(&mut text, |(light, _)| light);
    text.push_str(
        "@media (prefers-color-scheme:dark){text{fill:#e6edf3}.paper{fill:#0d1117}.halo{stroke:#0d1117}.grid,.axis{stroke:#30363d}",
    );
    colours(&mut text, |(_, dark)| dark);
    text + "}"
}

/// Returns the height of each label: the end of its line, unless another label is there.
fn label_heights(chart: &Chart, series: &[Series]) -> Vec<f64> {
    let ends: Vec<f64> =
        series.iter().map(|line| line.dots.last().map_or(0.0, |dot| chart.y_of(dot.y))).collect();
    let mut order: Vec<usize> = (0..series.len()).filter(|index| series[*index].dots.len() > 1).collect();
    order.sort_by(|left, right| ends[*left].total_cmp(&ends[*right]));
    let mut heights = ends;
    let mut free = chart.layout.top;
    for index in &order {
        heights[*index] = heights[*index].max(free);
        free = heights[*index] + NAME_HEIGHT;
    }
    let mut free = chart.layout.bottom + NAME_HEIGHT;
    for index in order.iter().rev() {
        heights[*index] = heights[*index].min(free - NAME_HEIGHT);
        free = heights[*index];
    }
    heights
}

/// Draws the label of a line right of the frame; that of a single point next to it.
fn label(chart: &Chart, line: &Series, height: f64) -> Markup {
    let Some(end) = line.dots.last() else { return html! {} };
    let (x, y) = (chart.x_of(end.x), chart.y_of(end.y));
    let is_line = line.dots.len() > 1;
    let at = if is_line { chart.layout.right + 22.0 } else { x + 8.0 };
    let colour =
        line.class.split(' ').find_map(|class| class.strip_prefix('s')?.parse::<u8>().ok()).unwrap_or(0);
    html! {
        @if is_line {
            path class=(format!("series s{colour}")) stroke-opacity=".6"
                d=(format!("M{x:.1} {y:.1}L{:.1} {height:.1}", at - 4.0)) {}
        }
        text class=(format!("f{colour} halo")) x=(format!("{at:.1}")) y=(format!("{:.1}", height + 4.5)) {
            (line.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            chart::{Axis, Dot},
            scale::{Scale, ScaleKind, count_tick},
        },
        *,
    };

    fn line(name: &str, dots: &[(f64, f64)]) -> Series {
        let dots = dots.iter().map(|(x, y)| Dot::at(*x, *y)).collect();
        Series { name: name.into(), class: "series s1".into(), dots, dotted: true }
    }

    fn chart(series: Vec<Series>) -> Chart {
        let text = || String::from("a < b");
        let axis = || Axis::new("a < b", Scale { kind: ScaleKind::Log, from: 1.0, to: 1000.0 }, count_tick);
        let chart = Chart::new("x", text(), text(), (axis(), axis()), ChartBody::Lines(series));
        Chart { layout: LAYOUT, ..chart }
    }

    #[test]
    fn every_line_is_named_and_text_is_escaped() {
        let two = vec![line("one", &[(1.0, 10.0), (16.0, 1000.0)]), line("two", &[(1.0, 5.0)])];
        let picture = svg(&chart(two));
        assert!(picture.contains(">one</text>") && picture.contains(">two</text>"));
        assert!(picture.contains("<title id=\"x-title\">a &lt; b</title>") && !picture.contains("a < b"));
        assert!(picture.contains("prefers-color-scheme:dark"));
    }

    #[test]
    fn labels_do_not_overlap() {
        let series: Vec<Series> =
            (0..9).map(|number| line("same", &[(1.0, 1.0), (16.0, 100.0 + f64::from(number))])).collect();
        let mut heights = label_heights(&chart(series.clone()), &series);
        heights.sort_by(f64::total_cmp);
        assert!(heights.windows(2).all(|pair| pair[1] - pair[0] >= NAME_HEIGHT - 0.001), "{heights:?}");
    }
}
