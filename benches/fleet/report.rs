//! What came out, as text and as JSON.

use crate::options::{Options, Scenario, Size};
use crate::stats::median;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One number of one run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) name: &'static str,
    /// In what.
    pub(crate) unit: &'static str,
    /// How much.
    pub(crate) value: f64,
    /// The most that it may be.
    pub(crate) most: Option<f64>,
}

/// A figure that is told.
pub(crate) fn figure(name: &'static str, unit: &'static str, value: f64) -> Figure {
    Figure { name, unit, value, most: None }
}

/// A figure that must not be higher; else the whole run fails.
pub(crate) fn at_most(name: &'static str, unit: &'static str, value: f64, most: f64) -> Figure {
    Figure { name, unit, value, most: Some(most) }
}

/// The figure that is compared with the floor's.
pub(crate) const CPU_PER_HEARTBEAT: &str = "CPU per heartbeat";

/// What was lost: nothing may be.
pub(crate) fn lost(unit: &'static str, count: usize) -> Figure {
    at_most("lost", unit, count as f64, 0.0)
}

/// What one subject did in one round of one scenario.
pub(crate) struct Run {
    pub(crate) scenario: Scenario,
    pub(crate) size: Size,
    pub(crate) subject: String,
    pub(crate) round: usize,
    pub(crate) figures: Vec<Figure>,
}

/// Everything that was measured.
pub(crate) struct Report {
    pub(crate) options: Options,
    runs: Vec<Run>,
}

/// The values of one figure, by subject and round.
pub(crate) type Values<'a> = BTreeMap<&'a str, BTreeMap<usize, f64>>;

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        Self { options: options.clone(), runs: Vec::new() }
    }

    pub(crate) fn add(&mut self, run: Run) {
        for one in &run.figures {
            let most = one.most.map(|most| format!(" (at most {most})")).unwrap_or_default();
            eprintln!("    {:<34} {:>12.3} {}{most}", one.name, one.value, one.unit);
        }
        self.runs.push(run);
    }

    /// The figures of a scenario, in the order in which they first came.
    pub(crate) fn figures(
        &self,
        scenario: Scenario,
        size: Size,
    ) -> Vec<(&'static str, &'static str, Values<'_>)> {
        let mut found: Vec<(&'static str, &'static str, Values<'_>)> = Vec::new();
        for run in self.runs.iter().filter(|run| run.scenario == scenario && run.size == size) {
            for one in &run.figures {
                let place = found.iter().position(|(name, _, _)| *name == one.name);
                let place = place.unwrap_or_else(|| {
                    found.push((one.name, one.unit, Values::new()));
                    found.len() - 1
                });
                let of_subject = found[place].2.entry(&run.subject).or_default();
                of_subject.insert(run.round, one.value);
            }
        }
        found
    }

    /// What was to be measured, in order.
    fn measured(&self) -> Vec<(Scenario, Size)> {
        let of = |scenario: Scenario| {
            scenario.sizes(&self.options).into_iter().map(move |size| (scenario, size))
        };
        self.options.scenarios().into_iter().flat_map(of).collect()
    }

    /// The table for people: medians, the range, and ratios of the same round.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (scenario, size) in self.measured() {
            let (Size { hosts, history }, rounds) = (size, self.options.rounds);
            let _ = write!(text, "\n{}: {hosts} hosts, {rounds} rounds", scenario.name());
            if history > 0 {
                let _ = write!(text, ", {history} commands of before");
            }
            text.push('\n');
            for (name, unit, values) in self.figures(scenario, size) {
                let _ = writeln!(text, "  {name} ({unit})");
                for subject in ["floor", "dashboard", "against", "counted"] {
                    let Some(of_subject) = values.get(subject) else { continue };
                    let all: Vec<f64> = of_subject.values().copied().collect();
                    let low = all.iter().copied().fold(f64::INFINITY, f64::min);
                    let high = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let middle = median(&all);
                    let _ = write!(text, "    {subject:<10} {middle:>12.3}  {low:.3} to {high:.3}");
                    for other in ["floor", "against"] {
                        if let Some(ratio) = ratio(&values, subject, other) {
                            let _ = write!(text, "  {ratio:.3} x {other}");
                        }
                    }
                    let _ = writeln!(text);
                }
            }
        }
        text
    }

    /// The same for programs, with every round.
    pub(crate) fn json(&self) -> anyhow::Result<String> {
        let runs: Vec<_> = self
            .runs
            .iter()
            .map(|run| {
                serde_json::json!({
                    "scenario": run.scenario.name(), "subject": run.subject,
                    "hosts": run.size.hosts, "history": run.size.history,
                    "round": run.round, "figures": run.figures,
                })
            })
            .collect();
        let options = format!("{:?}", self.options);
        Ok(serde_json::to_string_pretty(&serde_json::json!({ "options": options, "runs": runs }))?)
    }

    /// Where a heartbeat costs more than it may, as a multiple of the floor in the same run.
    fn above_floor(&self) -> Vec<String> {
        let Some(most) = self.options.at_most_floor else {
            return Vec::new();
        };
        let mut broken = Vec::new();
        for (scenario, size) in self.measured() {
            for (name, _, values) in self.figures(scenario, size) {
                let times = ratio(&values, "dashboard", "floor").unwrap_or(0.0);
                if name == CPU_PER_HEARTBEAT && times > most {
                    let scenario = scenario.name();
                    broken.push(format!(
                        "{scenario}: {name}: {times:.2} x the floor, at most {most} allowed"
                    ));
                }
            }
        }
        broken
    }

    /// Whether every figure is within its bound. What is no number is not.
    pub(crate) fn verdict(&self) -> anyhow::Result<()> {
        let mut broken = Vec::new();
        for run in &self.runs {
            for one in &run.figures {
                let Some(most) = one.most else { continue };
                let within = one.value <= most;
                if !within {
                    let (scenario, subject) = (run.scenario.name(), &run.subject);
                    let (name, unit, value) = (one.name, one.unit, one.value);
                    broken.push(format!(
                        "{scenario}: {subject}: {name}: {value:.3} {unit}, at most {most} allowed"
                    ));
                }
            }
        }
        broken.extend(self.above_floor());
        anyhow::ensure!(broken.is_empty(), "{}", broken.join("\n"));
        Ok(())
    }
}

/// The median of what one subject needs, divided by what another one needs in the same round.
fn ratio(values: &Values<'_>, subject: &str, other: &str) -> Option<f64> {
    if subject == other || subject == "floor" {
        return None;
    }
    let (own, others) = (values.get(subject)?, values.get(other)?);
    let mut ratios = Vec::new();
    for (round, value) in own {
        let of_other = others.get(round).copied().unwrap_or(0.0);
        if of_other != 0.0 {
            ratios.push(value / of_other);
        }
    }
    if ratios.is_empty() { None } else { Some(median(&ratios)) }
}
