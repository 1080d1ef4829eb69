//! Charts: lines or bars in a frame with axes, as SVG with an accessible name. Colours are classes of the style sheet.

use std::fmt::Write;

use maud::{Markup, PreEscaped, html};

use super::scale::Scale;

/// The size of a chart, and the position of the frame in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

/// The layout on the page. Text stays readable on a phone of 350 pixels.
const PAGE: Layout =
    Layout { width: 460.0, height: 300.0, left: 60.0, right: 446.0, top: 28.0, bottom: 248.0 };

/// The number of colours; further series reuse them, dashed.
const COLOUR_COUNT: usize = 7;

/// An axis.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub(super) label: String,
    pub(super) scale: Scale,
    /// The labelled values.
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    pub(super) fn new(label: &str, scale: Scale, text: fn(f64) -> String) -> Self {
        let ticks = scale.ticks().into_iter().map(|tick| (tick, text(tick))).collect();
        Self { label: label.to_owned(), scale, ticks }
    }
}

/// A value, with its range if it has one, and its tooltip.
#[derive(Debug, Clone)]
pub(super) struct Dot {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) spread: Option<(f64, f64)>,
    pub(super) tip: String,
    /// The label next to it, if it fits.
    pub(super) label: String,
}

impl Dot {
    /// A dot without label and range.
    pub(super) fn at(x: f64, y: f64) -> Self {
        Self { x, y, spread: None, tip: String::new(), label: String::new() }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) name: String,
    /// Its classes in the style sheet: those of [`class_of`] its colour, the same for the same series in all charts.
    pub(super) class: String,
    pub(super) dots: Vec<Dot>,
    /// Draw dots, not only the line.
    pub(super) dotted: bool,
}

/// The content of the frame.
#[derive(Debug, Clone)]
pub(super) enum ChartBody {
    Lines(Vec<Series>),
    /// One bar per value, with a tooltip.
    Bars(Vec<Dot>),
}

#[derive(Debug, Clone)]
pub(super) struct Chart {
    /// Unique on the page.
    pub(super) id: String,
    pub(super) title: String,
    /// Describes the chart in words.
    pub(super) description: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) body: ChartBody,
    pub(super) layout: Layout,
    /// Marked values of the x axis.
    pub(super) marks: Vec<f64>,
    /// The meaning of the marks.
    pub(super) marks_name: String,
}

impl Chart {
    /// A chart of the page, without marks.
    pub(super) fn new(
        id: &str,
        title: String,
        description: String,
        (x, y): (Axis, Axis),
        body: ChartBody,
    ) -> Self {
        let (id, marks_name) = (id.to_owned(), String::new());
        Self { id, title, description, x, y, body, layout: PAGE, marks: Vec::new(), marks_name }
    }

    pub(super) fn figure(&self) -> Markup {
        html! {
            figure {
                figcaption {
                    h4 { (self.title) }
                    (self.legend())
                }
                (self.svg())
            }
        }
    }

    fn legend(&self) -> Markup {
        let series: &[Series] = match &self.body {
            ChartBody::Lines(series) if series.len() > 1 => series,
            _ => &[],
        };
        html! {
            @if !series.is_empty() || !self.marks.is_empty() {
                p.legend {
                    @for series in series {
                        span.key {
                            svg.swatch viewBox="0 0 22 10" aria-hidden="true" {
                                path class=(series.class) d="M1 5H21" {}
                            }
                            (series.name)
                        }
                    }
                    @if !self.marks.is_empty() {
                        span.key {
                            svg.swatch viewBox="0 0 22 10" aria-hidden="true" { path.mark d="M11 0V10" {} }
                            (self.marks_name)
                        }
                    }
                }
            }
        }
    }

    fn svg(&self) -> Markup {
        let Layout { width, height, .. } = self.layout;
        html! {
            svg.chart id=(self.id) viewBox=(format!("0 0 {width} {height}")) role="img" aria-labelledby=(self.label_ids()) {
                (self.labels())
                (self.drawing())
            }
        }
    }

    /// Returns the ids of the elements that describe the chart.
    pub(super) fn label_ids(&self) -> String {
        format!("{id}-title {id}-desc", id = self.id)
    }

    /// Describes the chart for screen readers.
    pub(super) fn labels(&self) -> Markup {
        html! {
            title id=(format!("{}-title", self.id)) { (self.title) }
            desc id=(format!("{}-desc", self.id)) { (self.description) }
        }
    }

    /// Draws the frame and its content.
    pub(super) fn drawing(&self) -> Markup {
        let Layout { top, bottom, .. } = self.layout;
        html! {
            (self.frame())
            @for &mark in &self.marks {
                path.mark d=(format!("M{x:.1} {top}V{bottom}", x = self.x_of(mark))) {}
            }
            @match &self.body {
                ChartBody::Lines(series) => { @for series in series { (self.line(series)) } }
                ChartBody::Bars(bars) => { (self.bars(bars)) }
            }
        }
    }

    fn frame(&self) -> Markup {
        let Layout { height, left, right, top, bottom, .. } = self.layout;
        html! {
            @for (tick, text) in &self.y.ticks {
                @let y = self.y_of(*tick);
                path.grid d=(format!("M{left} {y:.1}H{right}")) {}
                text.tick x=(left - 7.0) y=(format!("{:.1}", y + 4.5)) text-anchor="end" { (text) }
            }
            @for (tick, text) in &self.x.ticks {
                @let x = self.x_of(*tick);
                path.grid d=(format!("M{x:.1} {top}V{:.1}", bottom + 5.0)) {}
                text.tick x=(format!("{x:.1}")) y=(bottom + 20.0) text-anchor="middle" { (text) }
            }
            path.axis d=(format!("M{left} {bottom}H{right}")) {}
            text.label x=(f64::midpoint(left, right)) y=(height - 8.0) text-anchor="middle" { (self.x.label) }
            text.label x="2" y=(top - 14.0) { (self.y.label) }
        }
    }

    fn line(&self, series: &Series) -> Markup {
        let mut path = String::new();
        for (n, dot) in series.dots.iter().enumerate() {
            let to = if n == 0 { 'M' } else { 'L' };
            // Writing to a string does not fail.
            let written = write!(path, "{to}{:.1} {:.1}", self.x_of(dot.x), self.y_of(dot.y));
            debug_assert!(written.is_ok());
        }
        html! {
            g class=(series.class) {
                path d=(path) {}
                @if series.dotted {
                    @for dot in &series.dots {
                        @let (x, y) = (self.x_of(dot.x), self.y_of(dot.y));
                        @if let Some((low, high)) = dot.spread {
                            path.spread d=(format!("M{x:.1} {:.1}V{:.1}", self.y_of(low), self.y_of(high))) {}
                        }
                        circle cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r="3.6" { title { (dot.tip) } }
                        // Labels are above a line, which mostly rises, and inside the frame.
                        @let (anchor, x) = match x {
                            ..100.0 => ("middle", x),
                            ..420.0 => ("end", x + 8.0),
                            _ => ("end", x - 7.0),
                        };
                        @if !dot.label.is_empty() {
                            text.value x=(format!("{x:.1}")) y=(format!("{:.1}", y - 9.0)) text-anchor=(anchor) { (dot.label) }
                        }
                    }
                }
            }
        }
    }

    fn bars(&self, bars: &[Dot]) -> Markup {
        let Layout { left, right, bottom, .. } = self.layout;
        let width = ((right - left) / bars.len().max(1) as f64 * 0.76).min(56.0);
        html! {
            g.bars {
                @for bar in bars {
                    @let (x, y) = (self.x_of(bar.x) - width / 2.0, self.y_of(bar.y));
                    rect x=(format!("{x:.1}")) y=(format!("{y:.1}")) width=(format!("{width:.1}"))
                        height=(format!("{:.1}", bottom - y)) rx="2" { title { (bar.tip) } }
                }
            }
        }
    }

    pub(super) fn x_of(&self, value: f64) -> f64 {
        let Layout { left, right, .. } = self.layout;
        left + self.x.scale.position(value) * (right - left)
    }

    pub(super) fn y_of(&self, value: f64) -> f64 {
        let Layout { top, bottom, .. } = self.layout;
        bottom - self.y.scale.position(value) * (bottom - top)
    }
}

/// Returns the classes of a colour, by its index.
pub(super) fn class_of(series: usize) -> String {
    let dashed = if series / COLOUR_COUNT % 2 == 1 { " dashed" } else { "" };
    format!("series s{}{dashed}", series % COLOUR_COUNT)
}

/// Text that must not be escaped, such as the style sheet.
pub(super) fn raw(text: &str) -> PreEscaped<&str> {
    PreEscaped(text)
}
