//! Results as lines, as a Markdown table and as JSON.

use serde_json::{Value, json};

use super::measure::Figure;
use super::members::{Group, MEANS, Mean};
use crate::Failure;

/// One member's figures, in the order of [`Results::names`].
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) group: Group,
    pub(crate) figures: Vec<Option<Figure>>,
}

impl Row {
    /// How many times as long as natively a contender took.
    pub(crate) fn ratio(&self, contender: usize) -> Option<f64> {
        let [native, figure] = [0, contender].map(|index| self.figures.get(index).copied().flatten());
        Some(figure?.seconds / native?.seconds)
    }

    /// Million guest instructions a CPU second.
    fn speed(&self, contender: usize) -> Option<f64> {
        let figure = self.figures.get(contender).copied().flatten()?;
        Some(figure.instructions? as f64 / figure.seconds / 1e6)
    }
}

/// Everything that was measured.
pub(crate) struct Results {
    /// The contenders, native first.
    pub(crate) names: Vec<&'static str>,
    pub(crate) runs: usize,
    pub(crate) rows: Vec<Row>,
}

/// What a contender's ratios in a set of members come to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Summary {
    pub(crate) members: usize,
    pub(crate) mean: f64,
    pub(crate) most: f64,
}

impl Results {
    /// The contenders other than the native run.
    pub(crate) fn contenders(&self) -> impl Iterator<Item = (usize, &'static str)> {
        self.names.iter().copied().enumerate().skip(1)
    }

    /// The rows of a group.
    pub(crate) fn group(&self, group: Group) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.group == group)
    }

    /// Geometric mean and maximum of a contender's ratios to native; `None` if it ran no member.
    pub(crate) fn summarise(&self, mean: &Mean, contender: usize) -> Option<Summary> {
        let rows = self.rows.iter().filter(|row| mean.groups.contains(&row.group));
        let ratios: Vec<f64> = rows.filter_map(|row| row.ratio(contender)).collect();
        if ratios.is_empty() {
            return None;
        }
        let logarithms: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
        Some(Summary {
            members: ratios.len(),
            mean: (logarithms / ratios.len() as f64).exp(),
            most: ratios.iter().copied().fold(0.0, f64::max),
        })
    }

    /// A member on one line.
    pub(crate) fn line(&self, row: &Row) -> String {
        let figure = |index: usize| row.figures.get(index).copied().flatten();
        let mut line = format!("{:<16}", row.name);
        if let Some(Figure { seconds, spread, .. }) = figure(0) {
            line.push_str(&format!(" native {seconds:.3} s ±{:.0} %", spread * 100.0));
        }
        for (index, name) in self.contenders() {
            let (Some(Figure { seconds, spread, .. }), Some(ratio)) = (figure(index), row.ratio(index))
            else {
                continue;
            };
            let spread = spread * 100.0;
            line.push_str(&format!(" | {name} {seconds:.3} s ±{spread:.0} % = {ratio:.2} x"));
            if let Some(speed) = row.speed(index) {
                line.push_str(&format!(", {speed:.0} M instructions/s"));
            }
        }
        line
    }

    /// The means, and whether the bars are kept.
    pub(crate) fn summary(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (index, name) in self.contenders() {
            for mean in MEANS {
                let Some(summary) = self.summarise(mean, index) else { continue };
                let Summary { members, mean: value, most } = summary;
                let verdict = match mean.bar {
                    Some(bar) => format!(" (bar {bar:.0}: {})", if value <= bar { "kept" } else { "MISSED" }),
                    None => String::new(),
                };
                lines.push(format!(
                    "{name}, {} ({members}): geometric mean {value:.2} x native{verdict}, at most {most:.2} x",
                    mean.title
                ));
            }
            let over = self.rows.iter().filter_map(|row| {
                let (bar, ratio) = (row.group.bar()?, row.ratio(index)?);
                (ratio > bar).then(|| format!("{} {ratio:.1} x (bar {bar:.0})", row.name))
            });
            let over: Vec<String> = over.collect();
            if !over.is_empty() {
                lines.push(format!("{name}, members above their bar: {}", over.join(", ")));
            }
        }
        lines
    }

    /// The table of `docs/performance.md`.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!(
            "CPU time (user and system) as a multiple of the native 32-bit run's, medians of {} interleaved runs; M/s is million guest instructions a second by the engine's own counter.\n\n| member | native, s |",
            self.runs
        );
        let mut rule = "|---|---|".to_owned();
        for (_, name) in self.contenders() {
            text.push_str(&format!(" {name} |"));
            rule.push_str("---|");
            if matches!(name, "jit" | "interpreter" | "reference") {
                text.push_str(" M/s |");
                rule.push_str("---|");
            }
        }
        text.push_str(&format!("\n{rule}\n"));
        for row in &self.rows {
            let native = row.figures.first().copied().flatten();
            text.push_str(&format!("| {} | {} |", row.name, cell(native.map(|figure| figure.seconds), 3)));
            for (index, name) in self.contenders() {
                text.push_str(&format!(" {} |", cell(row.ratio(index), 2)));
                if matches!(name, "jit" | "interpreter" | "reference") {
                    text.push_str(&format!(" {} |", cell(row.speed(index), 0)));
                }
            }
            text.push('\n');
        }
        text.push('\n');
        for line in self.summary() {
            text.push_str(&format!("- {line}\n"));
        }
        text
    }

    /// Everything, for programs.
    pub(crate) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let figures = self.names.iter().enumerate().filter_map(|(index, name)| {
                let figure = row.figures.get(index).copied().flatten()?;
                let value = json!({
                    "seconds": figure.seconds,
                    "spread": figure.spread,
                    "instructions": figure.instructions,
                    "times_native": row.ratio(index),
                    "million_instructions_per_second": row.speed(index),
                });
                Some(((*name).to_owned(), value))
            });
            let figures: serde_json::Map<String, Value> = figures.collect();
            json!({ "member": row.name, "group": row.group.title(), "figures": figures })
        });
        let means = self.contenders().flat_map(|(index, name)| {
            MEANS.iter().filter_map(move |mean| {
                let Summary { members, mean: value, most } = self.summarise(mean, index)?;
                Some(json!({
                    "contender": name, "set": mean.title, "members": members,
                    "geometric_mean": value, "most": most, "bar": mean.bar,
                }))
            })
        });
        json!({
            "runs": self.runs,
            "members": rows.collect::<Vec<_>>(),
            "means": means.collect::<Vec<_>>(),
        })
    }
}

fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

const START: &str = "<!-- bench-guests: written by `cargo xtask bench-guests --bless` -->\n";
const END: &str = "<!-- end of bench-guests -->\n";

/// `text` with `table` between its marks.
pub(crate) fn replace(text: &str, table: &str) -> Result<String, Failure> {
    let parts = text
        .split_once(START)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)))
        .ok_or_else(|| format!("docs/performance.md has no lines {START:?} and {END:?}"))?;
    Ok(format!("{}{START}\n{table}\n{END}{}", parts.0, parts.1))
}
