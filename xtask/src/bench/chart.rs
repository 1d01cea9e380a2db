//! A bar chart of times relative to native, as SVG that can be read on light and on dark pages.

use std::fmt::Write as _;

use super::members::{Group, MEANS};
use super::report::Results;

/// Bars of the contenders in their order; they stand out from both backgrounds.
const COLOURS: &[&str] = &["#8a8f98", "#d97a34", "#3f83d1", "#3aa76d"];
const BAR: f64 = 13.0;
const GAP: f64 = 7.0;
const HEADING: f64 = 26.0;
const LEFT: f64 = 150.0;
const WIDTH: f64 = 600.0;
const TOP: f64 = 62.0;
/// The ratio at the right edge.
const MOST: f64 = 200.0;

const STYLE: &str = "\
text { fill: #1f2328; font: 12px system-ui, sans-serif }\n\
.page { fill: #ffffff }\n\
.heading { font-weight: 600 }\n\
.faint { fill: #59636e; font-size: 11px }\n\
.grid { stroke: #d1d9e0 }\n\
.limit { stroke: #c0392b; stroke-dasharray: 4 3; stroke-width: 1.5 }\n\
.limit-name { fill: #c0392b; font-size: 11px }\n\
@media (prefers-color-scheme: dark) {\n\
text { fill: #e6edf3 }\n\
.page { fill: #0d1117 }\n\
.faint { fill: #9198a1 }\n\
.grid { stroke: #30363d }\n\
.limit { stroke: #ff7b72 }\n\
.limit-name { fill: #ff7b72 }\n\
}\n";

/// A line of bars: a member or a mean.
struct Line {
    name: String,
    ratios: Vec<Option<f64>>,
}

/// Lines under one heading, with the bar that they are to stay below.
struct Section {
    title: String,
    limit: Option<f64>,
    lines: Vec<Line>,
}

/// Draws a section for each group of members, and one for each mean that has a bar.
pub(crate) fn draw(results: &Results) -> String {
    let sections = sections(results);
    let count = results.names.len() - 1;
    let line_height = BAR * count as f64 + GAP;
    let heights = sections.iter().map(|section| HEADING + line_height * section.lines.len() as f64);
    let bottom = TOP + heights.sum::<f64>();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\">\n\
         <title>CPU time as a multiple of the native run's, logarithmic; shorter is better</title>\n\
         <style>\n{STYLE}</style>\n<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"heading\" x=\"12\" y=\"20\">CPU time as a multiple of the native run's (logarithmic; shorter is better)</text>\n",
        LEFT + WIDTH + 60.0,
        bottom + 34.0
    );
    legend(&mut svg, results);
    axis(&mut svg, bottom);
    let mut y = TOP;
    for section in &sections {
        draw_section(&mut svg, section, y, line_height);
        y += HEADING + line_height * section.lines.len() as f64;
    }
    svg.push_str("</svg>\n");
    svg
}

fn sections(results: &Results) -> Vec<Section> {
    let groups = Group::ALL.iter().map(|group| Section {
        title: group.title().to_owned(),
        limit: group.bar(),
        lines: results
            .group(*group)
            .map(|row| Line {
                name: row.name.to_owned(),
                ratios: results.contenders().map(|(index, _)| row.ratio(index)).collect(),
            })
            .collect(),
    });
    let means = MEANS.iter().filter(|mean| mean.bar.is_some()).map(|mean| Section {
        title: format!("Geometric mean, {}", mean.title),
        limit: mean.bar,
        lines: vec![Line {
            name: "mean".to_owned(),
            ratios: results
                .contenders()
                .map(|(index, _)| results.summarise(mean, index).map(|summary| summary.mean))
                .collect(),
        }],
    });
    let has_bars =
        |section: &Section| section.lines.iter().any(|line| line.ratios.iter().any(Option::is_some));
    groups.chain(means).filter(has_bars).collect()
}

fn legend(svg: &mut String, results: &Results) {
    for (index, name) in results.contenders() {
        let x = LEFT + 130.0 * (index - 1) as f64;
        let colour = colour(index);
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"32\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{colour}\"/><text x=\"{}\" y=\"42\">{name}</text>",
            x + 18.0
        );
    }
}

fn axis(svg: &mut String, bottom: f64) {
    for tick in [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0] {
        let x = LEFT + position(tick);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\"/>\
             <text class=\"faint\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{tick}×</text>",
            TOP - 6.0,
            bottom + 18.0
        );
    }
}

fn draw_section(svg: &mut String, section: &Section, top: f64, line_height: f64) {
    let first = top + HEADING;
    let end = first + line_height * section.lines.len() as f64;
    let _ =
        writeln!(svg, "<text class=\"heading\" x=\"12\" y=\"{:.1}\">{}</text>", top + 16.0, section.title);
    for (number, line) in section.lines.iter().enumerate() {
        let y = first + line_height * number as f64;
        let middle = y + (line_height - GAP) / 2.0 + 4.0;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            line.name
        );
        for (place, ratio) in line.ratios.iter().enumerate() {
            let Some(ratio) = ratio else { continue };
            let (length, y) = (position(*ratio).max(1.0), y + BAR * place as f64);
            let colour = colour(place + 1);
            let _ = writeln!(
                svg,
                "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{}\" rx=\"2\" fill=\"{colour}\"/>\
                 <text class=\"faint\" x=\"{:.1}\" y=\"{:.1}\">{ratio:.1}×</text>",
                BAR - 2.0,
                LEFT + length + 5.0,
                y + BAR - 3.0
            );
        }
    }
    if let Some(limit) = section.limit {
        let x = LEFT + position(limit);
        let _ = writeln!(
            svg,
            "<line class=\"limit\" x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\"/>\
             <text class=\"limit-name\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">bar {limit}×</text>",
            first - 4.0,
            end - 3.0,
            first - 7.0
        );
    }
}

fn colour(contender: usize) -> &'static str {
    COLOURS[contender % COLOURS.len()]
}

/// Where a ratio lies from the left edge.
fn position(ratio: f64) -> f64 {
    ratio.clamp(1.0, MOST).log10() / MOST.log10() * WIDTH
}
