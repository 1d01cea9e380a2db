//! Flame graphs: stacks as a picture.

use std::collections::BTreeMap;
use std::fmt::Write as _;

const WIDTH: f64 = 1200.0;
const ROW: f64 = 17.0;
const MARGIN: f64 = 10.0;
const HEAD: f64 = 34.0;
/// A letter of the font, about.
const LETTER: f64 = 6.7;
/// What is narrower is not drawn.
const NARROWEST: f64 = 0.3;

/// A function upon its caller.
#[derive(Default)]
struct Node<'a> {
    samples: u64,
    callees: BTreeMap<&'a str, Node<'a>>,
}

impl<'a> Node<'a> {
    fn add(&mut self, stack: &'a [String], samples: u64) {
        let mut node = self;
        node.samples += samples;
        for name in stack {
            node = node.callees.entry(name).or_default();
            node.samples += samples;
        }
    }

    /// How many functions lie upon each other at most.
    fn height(&self) -> usize {
        // Stacks are cut at a number of frames, so this ends soon.
        self.callees.values().map(|callee| 1 + callee.height()).max().unwrap_or(0)
    }
}

/// The picture of stacks with their samples.
pub(crate) fn draw(title: &str, stacks: &BTreeMap<Vec<String>, u64>) -> String {
    let mut root = Node::default();
    for (stack, samples) in stacks {
        root.add(stack, *samples);
    }
    let height = HEAD + ROW * root.height() as f64 + MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"monospace\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fdfcf8\"/>\n\
         <text x=\"{}\" y=\"22\" text-anchor=\"middle\" font-size=\"15\">{}</text>\n",
        WIDTH / 2.0,
        escape(title)
    );
    let scale = (WIDTH - 2.0 * MARGIN) / root.samples.max(1) as f64;
    let picture = Picture { scale, total: root.samples.max(1) };
    picture.callees(&root, MARGIN, height - MARGIN, &mut svg);
    svg.push_str("</svg>\n");
    svg
}

struct Picture {
    /// Points for a sample.
    scale: f64,
    total: u64,
}

impl Picture {
    /// Draws what is upon a function whose box begins at `left` and whose top is at `base`.
    fn callees(&self, node: &Node<'_>, left: f64, base: f64, svg: &mut String) {
        let mut left = left;
        for (name, callee) in &node.callees {
            let width = callee.samples as f64 * self.scale;
            if width >= NARROWEST {
                self.function(name, callee, (left, base - ROW, width), svg);
                self.callees(callee, left, base - ROW, svg);
            }
            left += width;
        }
    }

    fn function(&self, name: &str, node: &Node<'_>, (x, y, width): (f64, f64, f64), svg: &mut String) {
        let share = node.samples as f64 * 100.0 / self.total as f64;
        let (name_text, samples) = (escape(name), node.samples);
        // Writing to a string does not fail.
        let _ = write!(
            svg,
            "<g><title>{name_text}: {samples} samples, {share:.2} %</title>\
             <rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{}\" rx=\"1\"/>",
            ROW - 1.0,
            colour(name)
        );
        let letters = ((width - 6.0) / LETTER) as usize;
        if letters >= 3 {
            let shown = if name.chars().count() <= letters {
                name_text
            } else {
                escape(&name.chars().take(letters - 2).chain("..".chars()).collect::<String>())
            };
            let _ = write!(svg, "<text x=\"{:.1}\" y=\"{:.1}\">{shown}</text>", x + 3.0, y + 12.0);
        }
        svg.push_str("</g>\n");
    }
}

/// A warm colour, the same for the same name.
fn colour(name: &str) -> String {
    let hash =
        name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [a, b, c, _] = hash.to_le_bytes();
    format!("rgb({},{},{})", 205 + a % 50, 90 + b % 130, 40 + c % 55)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
