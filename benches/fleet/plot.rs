//! Figures over the size of the fleet, as drawings.

use crate::options::{Scenario, Size};
use crate::report::Report;
use crate::stats::median;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// The drawing and what is around its plot, in pixels.
const SIZE: (f64, f64) = (640.0, 300.0);
const LEFT: f64 = 70.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 45.0;
/// How many lines the upright axis has.
const STEPS: u32 = 4;

/// One drawing.
struct Plot {
    /// What stands above it.
    title: String,
    /// What the level axis counts.
    along: &'static str,
    unit: &'static str,
    /// Points of each subject, from left to right.
    lines: BTreeMap<String, Vec<(f64, f64)>>,
}

/// Draws every figure that was measured with more than one size.
pub(crate) fn write_all(dir: &Path, report: &Report) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    for scenario in report.options.scenarios() {
        for (name, plot) in plots(scenario, report) {
            if plot.lines.values().any(|points| points.len() > 1) {
                std::fs::write(dir.join(format!("{name}.svg")), plot.svg())?;
            }
        }
    }
    Ok(())
}

fn plots(scenario: Scenario, report: &Report) -> BTreeMap<String, Plot> {
    let sizes = scenario.sizes(&report.options);
    let by_history = sizes.iter().any(|size| size.history != sizes[0].history);
    let mut plots: BTreeMap<String, Plot> = BTreeMap::new();
    for size in sizes {
        for (figure, unit, values) in report.figures(scenario, size) {
            let over = if by_history { "history" } else { "hosts" };
            let name = format!("{}-{}-by-{over}", scenario.name(), file_name(figure));
            let plot = plots.entry(name).or_insert_with(|| Plot {
                title: format!("{}: {}", scenario.name(), figure.trim()),
                along: if by_history { "finished commands in the database" } else { "hosts" },
                unit,
                lines: BTreeMap::new(),
            });
            for (subject, rounds) in values {
                let all: Vec<f64> = rounds.values().copied().collect();
                let points = plot.lines.entry(subject.to_owned()).or_default();
                points.push((along(size, by_history), median(&all)));
            }
        }
    }
    plots
}

fn along(size: Size, by_history: bool) -> f64 {
    if by_history { size.history as f64 } else { size.hosts as f64 }
}

fn file_name(figure: &str) -> String {
    let plain = figure.trim().to_lowercase();
    let plain = plain.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    plain.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

impl Plot {
    /// Both axes are linear and begin at 0: a cost that grows with the fleet is a straight line.
    fn svg(&self) -> String {
        let points = || self.lines.values().flatten();
        let most_x = points().map(|(x, _)| *x).fold(1.0, f64::max);
        let most_y = round_up(points().map(|(_, y)| *y).fold(0.0, f64::max));
        let (width, height) = SIZE;
        let (right, bottom) = (width - RIGHT, height - BOTTOM);
        let x_of = |x: f64| LEFT + x / most_x * (right - LEFT);
        let y_of = |y: f64| bottom - y / most_y * (bottom - TOP);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
             <style>text{{fill:#333}}.axis{{stroke:#bbb}}.a{{stroke:#2563eb;fill:#2563eb}}\
             .b{{stroke:#888;fill:#888}}.c{{stroke:#c2410c;fill:#c2410c}}\
             @media(prefers-color-scheme:dark){{text{{fill:#ccc}}.axis{{stroke:#555}}}}</style>\n\
             <text x=\"{LEFT}\" y=\"22\" font-size=\"14\">{}</text>\n",
            escaped(&self.title)
        );
        for step in 0..=STEPS {
            let value = most_y * f64::from(step) / f64::from(STEPS);
            let y = y_of(value);
            let _ = writeln!(
                svg,
                "<path class=\"axis\" d=\"M{LEFT} {y:.1}H{right}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                short(value)
            );
        }
        for x in self.places() {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                x_of(x),
                bottom + 18.0,
                short(x)
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            f64::midpoint(LEFT, right),
            height - 8.0,
            self.along,
            right + 8.0,
            TOP - 12.0,
            escaped(self.unit)
        );
        for (class, (subject, points)) in ["a", "b", "c"].iter().zip(&self.lines) {
            let path: Vec<String> =
                points.iter().map(|(x, y)| format!("{:.1} {:.1}", x_of(*x), y_of(*y))).collect();
            let _ = writeln!(
                svg,
                "<path class=\"{class}\" style=\"fill:none\" stroke-width=\"2\" d=\"M{}\"/>",
                path.join("L")
            );
            for (x, y) in points {
                let _ = writeln!(
                    svg,
                    "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"/>",
                    x_of(*x),
                    y_of(*y)
                );
            }
            if let Some((x, y)) = points.last() {
                let _ = writeln!(
                    svg,
                    "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                    x_of(*x) + 8.0,
                    y_of(*y) + 4.0,
                    escaped(subject)
                );
            }
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// Where the level axis is labelled: at what was measured, but not closer than can be read.
    fn places(&self) -> Vec<f64> {
        let mut all: Vec<f64> = self.lines.values().flatten().map(|(x, _)| *x).collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        let most = all.last().copied().unwrap_or(1.0).max(1.0);
        let mut places: Vec<f64> = Vec::new();
        for x in all.into_iter().rev() {
            if places.last().is_none_or(|last| last - x > most * 0.08) {
                places.push(x);
            }
        }
        places
    }
}

/// The next number of 1, 2, 2.5 or 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    let step = steps.into_iter().find(|step| step * power >= value).unwrap_or(10.0);
    step * power
}

fn short(value: f64) -> String {
    if value >= 10_000.0 {
        format!("{}k", value / 1000.0)
    } else {
        format!("{}", (value * 100.0).round() / 100.0)
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
