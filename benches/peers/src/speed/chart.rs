//! A chart with two logarithmic axes as SVG: lines are labelled at their ends, readable on light and dark
//! backgrounds, with a title and a description for screen readers.
//!
//! Implemented here because plotting libraries fix every colour as an attribute and do not label lines.

use std::fmt::Write as _;

use super::targets::grouped;

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 520.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 214.0;
const TOP: f64 = 52.0;
const BOTTOM: f64 = 58.0;

/// The smallest distance between labels.
const NAME_HEIGHT: f64 = 16.0;

/// One colour per line, on light and dark backgrounds. The first is for ministore-uring, the last for limits.
const COLOURS: [(&str, &str); 10] = [
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

/// The style of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineStyle {
    /// Thick, in the first colour.
    Ours,
    /// Thick and dotted, in the first colour.
    OursOtherCall,
    /// In the colour with this number.
    Peer(usize),
    /// Dashed, in grey.
    Limit,
}

/// The unit of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A count.
    Count,
    /// Microseconds.
    Micros,
}

impl Unit {
    /// Formats a power of ten in short.
    fn short(self, value: f64) -> String {
        let names = match self {
            Self::Count => [(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")],
            Self::Micros => [(f64::INFINITY, ""), (1e6, " s"), (1e3, " ms"), (1.0, " µs")],
        };
        let fits = names.into_iter().find(|(unit, _)| value >= unit * 0.999);
        let (unit, name) = fits.unwrap_or(names[3]);
        let digits = if value < unit * 0.999 { 3 } else { 0 };
        let number = format!("{:.digits$}", value / unit);
        let number = if digits > 0 { number.trim_end_matches('0') } else { &number };
        format!("{number}{name}")
    }
}

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The label.
    pub label: String,
    /// The style.
    pub style: LineStyle,
    /// From left to right, all positive. A single one is drawn as a point.
    pub points: Vec<(f64, f64)>,
}

/// The contents of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// Identifies its title if one page contains several charts.
    pub id: String,
    /// The title above the chart.
    pub title: String,
    /// A description in one or two sentences.
    pub description: String,
    /// The label of the horizontal axis.
    pub across: String,
    /// The label of the vertical axis.
    pub upwards: String,
    /// The unit of the vertical axis.
    pub unit: Unit,
    /// The lines.
    pub series: Vec<Series>,
}

/// Maps values to positions.
struct Scale {
    left: f64,
    right: f64,
    low: f64,
    high: f64,
}

impl Scale {
    fn of(series: &[Series]) -> Self {
        let points = || series.iter().flat_map(|line| &line.points);
        let least = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(f64::INFINITY, f64::min).log10();
        let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(f64::NEG_INFINITY, f64::max).log10();
        let (left, right) = (least(|point| point.0), most(|point| point.0));
        let (low, high) = (least(|point| point.1).floor(), most(|point| point.1).ceil());
        let apart = |from: f64, to: f64| if to > from { to } else { from + 1.0 };
        Self { left, right: apart(left, right), low, high: apart(low, high) }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + (value.log10() - self.left) / (self.right - self.left) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (value.log10() - self.low) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)
    }
}

/// Draws the chart as SVG. Returns `None` if there is no line.
#[must_use]
pub fn svg(chart: &Chart) -> Option<String> {
    let series: Vec<Series> = chart.series.iter().filter(|line| !line.points.is_empty()).cloned().collect();
    if series.is_empty() {
        return None;
    }
    let scale = Scale::of(&series);
    let mut text = opening(chart);
    text.push_str(&grid(chart, &scale, &series));
    let names = names(&scale, &series);
    for (line, name_y) in series.iter().zip(names) {
        text.push_str(&draw_line(line, &scale, name_y));
    }
    text.push_str("</svg>\n");
    Some(text)
}

fn opening(chart: &Chart) -> String {
    let Chart { id, title, description, .. } = chart;
    let (title, description) = (escaped(title), escaped(description));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         role=\"img\" aria-labelledby=\"{id}-title {id}-desc\">\n\
         <title id=\"{id}-title\">{title}</title>\n<desc id=\"{id}-desc\">{description}</desc>\n{}\
         <rect class=\"paper\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n\
         <text class=\"head\" x=\"{LEFT}\" y=\"28\">{title}</text>\n",
        style()
    )
}

fn style() -> String {
    let mut text = String::from(
        "<style>\ntext{font:13px system-ui,sans-serif;fill:#1f2328}.halo{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}.head{font-size:16px;font-weight:600}\n\
         .paper{fill:#fff}.grid{stroke:#d1d9e0;stroke-width:1}.line{fill:none;stroke-width:1.8;stroke-linejoin:round}\n\
         .thick{stroke-width:3}.dashed{stroke-dasharray:7 5}.dotted{stroke-dasharray:2 4}\n",
    );
    for (number, (light, _)) in COLOURS.iter().enumerate() {
        write!(text, ".s{number}{{stroke:{light}}}.f{number}{{fill:{light}}}").ok();
    }
    text.push_str(
        "\n@media (prefers-color-scheme:dark){text{fill:#e6edf3}.paper{fill:#0d1117}.halo{stroke:#0d1117}.grid{stroke:#30363d}\n",
    );
    for (number, (_, dark)) in COLOURS.iter().enumerate() {
        write!(text, ".s{number}{{stroke:{dark}}}.f{number}{{fill:{dark}}}").ok();
    }
    text.push_str("}\n</style>\n");
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn grid(chart: &Chart, scale: &Scale, series: &[Series]) -> String {
    let mut text = String::new();
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let mut columns: Vec<f64> =
        series.iter().flat_map(|line| line.points.iter().map(|point| point.0)).collect();
    columns.sort_by(f64::total_cmp);
    columns.dedup();
    for value in columns {
        let x = scale.x(value);
        writeln!(text, "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>")
            .ok();
        writeln!(
            text,
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            bottom + 20.0,
            count(value)
        )
        .ok();
    }
    let mut value = 10_f64.powf(scale.low);
    while value <= 10_f64.powf(scale.high) * 1.001 {
        let y = scale.y(value);
        writeln!(text, "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>")
            .ok();
        writeln!(
            text,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            y + 4.5,
            chart.unit.short(value)
        )
        .ok();
        value *= 10.0;
    }
    let (across, upwards) = (escaped(&chart.across), escaped(&chart.upwards));
    let middle = f64::midpoint(LEFT, right);
    writeln!(text, "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{across}</text>", HEIGHT - 14.0)
        .ok();
    let middle = f64::midpoint(TOP, bottom);
    writeln!(
        text,
        "<text transform=\"translate(18 {middle}) rotate(-90)\" text-anchor=\"middle\">{upwards}</text>"
    )
    .ok();
    text
}

/// Formats a number of callers with commas between the thousands.
fn count(value: f64) -> String {
    if value < 100.0 { value.to_string() } else { grouped(value) }
}

/// Returns the height of each label: the end of its line, unless another label is there.
fn names(scale: &Scale, series: &[Series]) -> Vec<f64> {
    let ends: Vec<f64> =
        series.iter().map(|line| line.points.last().map_or(0.0, |point| scale.y(point.1))).collect();
    let mut order: Vec<usize> = (0..series.len()).filter(|index| series[*index].points.len() > 1).collect();
    order.sort_by(|left, right| ends[*left].total_cmp(&ends[*right]));
    let mut heights = ends;
    let mut free = TOP;
    for index in &order {
        heights[*index] = heights[*index].max(free);
        free = heights[*index] + NAME_HEIGHT;
    }
    let mut free = HEIGHT - BOTTOM + NAME_HEIGHT;
    for index in order.iter().rev() {
        heights[*index] = heights[*index].min(free - NAME_HEIGHT);
        free = heights[*index];
    }
    heights
}

fn draw_line(line: &Series, scale: &Scale, name_y: f64) -> String {
    let (colour, extra) = match line.style {
        LineStyle::Ours => (0, " thick"),
        LineStyle::OursOtherCall => (0, " thick dotted"),
        LineStyle::Peer(number) => (1 + number % (COLOURS.len() - 2), ""),
        LineStyle::Limit => (COLOURS.len() - 1, " dashed"),
    };
    let label = escaped(&line.label);
    let spots: Vec<(f64, f64)> = line.points.iter().map(|(x, y)| (scale.x(*x), scale.y(*y))).collect();
    let mut text = format!("<g><title>{label}</title>\n");
    if spots.len() > 1 {
        let path: Vec<String> = spots.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        writeln!(text, "<path class=\"line s{colour}{extra}\" d=\"M{}\"/>", path.join("L")).ok();
    }
    for ((x, y), (callers, value)) in spots.iter().zip(&line.points) {
        let value = grouped(*value);
        writeln!(
            text,
            "<circle class=\"f{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.2\"><title>{label}, {callers} callers: {value}</title></circle>"
        )
        .ok();
    }
    if let Some((x, y)) = spots.last() {
        let alone = spots.len() == 1;
        let (at, name_y) = if alone { (x + 8.0, *y) } else { (WIDTH - RIGHT + 22.0, name_y) };
        if !alone {
            let near = at - 4.0;
            writeln!(text, "<path class=\"line s{colour}\" stroke-opacity=\".6\" d=\"M{x:.1} {y:.1}L{near} {name_y:.1}\"/>")
                .ok();
        }
        writeln!(
            text,
            "<text class=\"f{colour} halo\" x=\"{at:.1}\" y=\"{:.1}\">{label}</text>",
            name_y + 4.5
        )
        .ok();
    }
    text.push_str("</g>\n");
    text
}

#[cfg(test)]
mod tests;
