//! A horizontal bar chart of times relative to native, as SVG.

use std::fmt::Write as _;

use crate::bench::Row;

const COLOURS: &[&str] = &["#8a8f98", "#c8743c", "#2b6cb0", "#2f855a", "#805ad5"];
const BAR: f64 = 12.0;
const LEFT: f64 = 130.0;
const WIDTH: f64 = 560.0;

/// Draws a group of bars a row; lengths are logarithms of the ratio to native, from 1 to 100.
pub(crate) fn draw(names: &[String], rows: &[Row]) -> String {
    let group = BAR * (names.len() - 1) as f64 + 10.0;
    let height = 60.0 + group * rows.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <title>Time relative to native, logarithmic; shorter is better</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        LEFT + WIDTH + 70.0
    );
    for (index, name) in names.iter().enumerate().skip(1) {
        let x = LEFT + 150.0 * (index - 1) as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"8\" width=\"12\" height=\"12\" fill=\"{}\"/><text x=\"{}\" y=\"18\">{name}</text>",
            COLOURS[index % COLOURS.len()],
            x + 18.0
        );
    }
    for tick in [1, 2, 5, 10, 20, 50, 100] {
        let x = LEFT + position(f64::from(tick));
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"30\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{tick} x</text>",
            height - 24.0,
            height - 10.0
        );
    }
    for (number, row) in rows.iter().enumerate() {
        let top = 34.0 + group * number as f64;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            top + group / 2.0,
            row.name
        );
        for index in 1..names.len() {
            let (Some(native), Some(seconds)) = (row.seconds[0], row.seconds[index]) else { continue };
            let ratio = seconds / native;
            let y = top + BAR * (index - 1) as f64;
            let _ = writeln!(
                svg,
                "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{}\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{ratio:.1}</text>",
                position(ratio).max(1.0),
                BAR - 2.0,
                COLOURS[index % COLOURS.len()],
                LEFT + position(ratio).max(1.0) + 4.0,
                y + BAR - 3.0
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn position(ratio: f64) -> f64 {
    ratio.max(1.0).log10() / 2.0 * WIDTH
}
