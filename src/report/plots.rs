//! Plots as SVG elements that stand inside a page.
//!
//! plotters places everything on whole pixels, so a plot is drawn at [`SCALE`] times its size on the page.

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::metrics::{Decile, ReliabilityBin};
use crate::time::Day;

use super::format;

const SCALE: u32 = 4;
const SIZE: (u32, u32) = (420 * SCALE, 320 * SCALE);
const INK: RGBColor = RGBColor(71, 85, 105);
const GRID: RGBColor = RGBColor(226, 232, 240);
const MAIN: RGBColor = RGBColor(13, 116, 144);
const OTHER: RGBColor = RGBColor(203, 213, 225);
const GUESS: RGBColor = RGBColor(148, 163, 184);

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// How an axis is labelled.
struct Axis {
    title: &'static str,
    end: f64,
    /// Writes a tick.
    tick: fn(f64, f64) -> String,
    ticks: usize,
}

/// Mean probability against observed rate, with 95 % intervals. `None` without points.
pub fn reliability(bins: &[ReliabilityBin]) -> Option<String> {
    let highest = bins.iter().map(|bin| bin.mean_predicted.max(bin.observed_high)).fold(0.0, f64::max);
    if bins.is_empty() || !highest.is_finite() || highest <= 0.0 {
        return None;
    }
    let end = (1.05 * highest).min(1.0);
    let x = Axis { title: "predicted probability", end, tick: percent_tick, ticks: 6 };
    let y = Axis { title: "observed rate", end, tick: percent_tick, ticks: 6 };
    Some(plot("Reliability: observed rate against predicted probability", 0.0, x, y, |chart| {
        chart.draw_series(dashes((0.0, 0.0), (end, end)))?;
        for bin in bins {
            let x = bin.mean_predicted;
            let bar = PathElement::new(
                [(x, bin.observed_low), (x, bin.observed_high)],
                MAIN.mix(0.5).stroke_width(2 * SCALE),
            );
            chart.draw_series([bar])?;
        }
        let points = bins.iter().map(|bin| (bin.mean_predicted, bin.observed));
        chart.draw_series(LineSeries::new(points.clone(), MAIN.stroke_width(2 * SCALE)))?;
        chart.draw_series(points.map(|point| Circle::new(point, 4 * SCALE, MAIN.filled())))?;
        Ok(())
    }))
}

/// Share of customers, best first, against the share of positives or of value that they hold. `None` where that is undefined.
pub fn gains(deciles: &[Decile], held: &'static str) -> Option<String> {
    let mut points = vec![(0.0, 0.0)];
    for row in deciles {
        points.push((row.cumulative_rows, row.cumulative_share.filter(|share| share.is_finite())?));
    }
    let highest = points.iter().map(|point| point.1).fold(1.0, f64::max);
    let lowest = points.iter().map(|point| point.1).fold(0.0, f64::min);
    if points.len() < 2 {
        return None;
    }
    let x = Axis { title: "customers, best first", end: 1.0, tick: percent_tick, ticks: 6 };
    let y = Axis { title: held, end: highest, tick: percent_tick, ticks: 6 };
    Some(plot("Gains: share reached by the best customers", lowest, x, y, |chart| {
        chart.draw_series(dashes((0.0, 0.0), (1.0, 1.0)))?;
        let outline: Vec<(f64, f64)> = points.iter().copied().chain([(1.0, 0.0)]).collect();
        chart.draw_series([Polygon::new(outline, MAIN.mix(0.08))])?;
        chart.draw_series(LineSeries::new(points.clone(), MAIN.stroke_width(2 * SCALE)))?;
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 4 * SCALE, MAIN.filled())))?;
        Ok(())
    }))
}

/// Actual and predicted mean of each decile side by side. `None` without deciles or where all are 0.
pub fn deciles(deciles: &[Decile], title: &'static str, as_share: bool) -> Option<String> {
    let means = || deciles.iter().flat_map(|row| [row.mean_actual, row.mean_predicted]);
    let (lowest, highest) = (means().fold(0.0, f64::min), means().fold(0.0, f64::max));
    if !(highest - lowest).is_finite() || highest <= 0.0 {
        return None;
    }
    let x = Axis { title: "decile by prediction, 1 = highest", end: 10.5, tick: |at, _| format!("{at:.0}"), ticks: 10 };
    let tick = if as_share { percent_tick } else { amount_tick };
    let y = Axis { title, end: 1.05 * highest, tick, ticks: 6 };
    Some(plot("Actual and predicted mean by decile", lowest, x, y, |chart| {
        for row in deciles {
            let at = f64::from(row.decile);
            let bar = |from: f64, to: f64, value: f64, colour: RGBColor| {
                Rectangle::new([(at + from, 0.0), (at + to, value)], colour.filled())
            };
            chart
                .draw_series([bar(-0.38, -0.02, row.mean_actual, MAIN), bar(0.02, 0.38, row.mean_predicted, OTHER)])?;
        }
        Ok(())
    }))
}

/// A figure over days. `None` below two days.
pub fn over_days(points: &[(Day, f64)], title: &'static str) -> Option<String> {
    let (first, last) = (points.first()?.0, points.last()?.0);
    let values = || points.iter().map(|(_, value)| *value);
    let (lowest, highest) = (values().fold(0.0, f64::min), values().fold(0.0, f64::max));
    if points.len() < 2 || !(highest - lowest).is_finite() || highest <= lowest {
        return None;
    }
    let days = f64::from(last.since(first)).max(1.0);
    let at = |day: Day| f64::from(day.since(first)) / days;
    // Labels would need the first day; the caption and the table name the days.
    let x = Axis { title: "first to last day", end: 1.0, tick: |_, _| String::new(), ticks: 6 };
    let y = Axis { title, end: 1.05 * highest, tick: amount_tick, ticks: 6 };
    let description = format!("{title} from {first} to {last}");
    Some(plot(&description, lowest, x, y, |chart| {
        let points = points.iter().map(|&(day, value)| (at(day), value));
        chart.draw_series(LineSeries::new(points.clone(), MAIN.stroke_width(2 * SCALE)))?;
        chart.draw_series(points.map(|point| Circle::new(point, 3 * SCALE, MAIN.filled())))?;
        Ok(())
    }))
}

fn percent_tick(share: f64, end: f64) -> String {
    let decimals = if end <= 0.05 { 1 } else { 0 };
    format!("{:.decimals$} %", 100.0 * share)
}

fn amount_tick(amount: f64, end: f64) -> String {
    if end >= 10.0 && amount.fract() == 0.0 {
        let sign = if amount < 0.0 { "-" } else { "" };
        format!("{sign}{}", format::count(amount.abs() as u64))
    } else {
        format::amount(Some(amount))
    }
}

/// A line of dashes: what guessing, or a perfect calibration, would give.
fn dashes(from: (f64, f64), to: (f64, f64)) -> impl Iterator<Item = PathElement<(f64, f64)>> {
    const DASHES: u32 = 30;
    let at = move |step: f64| {
        let share = step / f64::from(DASHES);
        (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share)
    };
    (0..DASHES).map(move |i| {
        let start = f64::from(i);
        PathElement::new([at(start), at(start + 0.5)], GUESS.stroke_width(SCALE + SCALE / 2))
    })
}

fn plot(description: &str, lowest: f64, x: Axis, y: Axis, draw: impl FnOnce(&mut Chart<'_, '_>) -> Drawn) -> String {
    let mut svg = String::new();
    try_plot(&mut svg, lowest, x, y, draw).expect("writing to a string does not fail");
    // Inside a page the size comes from the style sheet and the name space is known.
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    let (width, height) = SIZE;
    format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{description}\">{body}")
}

fn try_plot(svg: &mut String, lowest: f64, x: Axis, y: Axis, draw: impl FnOnce(&mut Chart<'_, '_>) -> Drawn) -> Drawn {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let text = |size: u32| ("sans-serif", size * SCALE).into_font().color(&INK);
    let start = if x.end > 1.0 { 0.5 } else { 0.0 }; // bars stand around whole numbers
    let mut chart = ChartBuilder::on(&area)
        .margin(8 * SCALE)
        .margin_right(26 * SCALE)
        .x_label_area_size(42 * SCALE)
        .y_label_area_size(58 * SCALE)
        .build_cartesian_2d(start..x.end, lowest..y.end)?;
    let (x_tick, y_tick) = (|at: &f64| (x.tick)(*at, x.end), |at: &f64| (y.tick)(*at, y.end));
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.stroke_width(SCALE))
        .axis_style(GUESS.stroke_width(SCALE))
        .x_desc(x.title)
        .y_desc(y.title)
        .set_all_tick_mark_size(6 * SCALE)
        .x_labels(x.ticks)
        .y_labels(y.ticks)
        .x_label_formatter(&x_tick)
        .y_label_formatter(&y_tick)
        .label_style(text(15))
        .axis_desc_style(text(16))
        .draw()?;
    draw(&mut chart)?;
    drop(chart);
    area.present()
}
