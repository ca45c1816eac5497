//! Line charts as SVG. Independent of what is drawn.
#![allow(dead_code, reason = "each program uses its own part")]

use std::{
    fmt::{Display, Write as _},
    fs, io,
    path::{Path, PathBuf},
};

/// The page in pixels.
const PAGE: (f64, f64) = (800.0, 450.0);
/// The corners of the plot on the page.
const LEFT_TOP: (f64, f64) = (72.0, 44.0);
const RIGHT_BOTTOM: (f64, f64) = (780.0, 396.0);
const INK: &str = "#2d2d2d";
const FAINT: &str = "#e4e4e4";
/// Points of a line closer together than this, in pixels, are drawn as one.
const RESOLUTION: f64 = 1.2;

/// How values are placed along an axis.
#[derive(Clone, Copy)]
pub enum Scale {
    Linear,
    Logarithmic,
}

/// One axis: its label, its scale and the values at its ends.
#[derive(Clone, Copy)]
pub struct Axis {
    pub label: &'static str,
    pub scale: Scale,
    pub ends: (f64, f64),
}

impl Axis {
    /// Where a value lies between the ends, from 0 to 1.
    fn position(&self, value: f64) -> f64 {
        let place = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic => value.max(f64::MIN_POSITIVE).log10(),
        };
        let (first, last) = (place(self.ends.0), place(self.ends.1));
        ((place(value) - first) / (last - first)).clamp(0.0, 1.0)
    }

    /// The values that are marked: powers of ten, or multiples of 1, 2 or 5 times one.
    fn ticks(&self) -> Vec<f64> {
        let (first, last) = self.ends;
        match self.scale {
            Scale::Logarithmic => {
                let powers = first.log10().ceil() as i32..=last.log10().floor() as i32;
                powers.map(|power| 10_f64.powi(power)).collect()
            }
            Scale::Linear => {
                let rough = (last - first) / 8.0;
                let power = 10_f64.powf(rough.log10().floor());
                let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= rough);
                let step = factor.unwrap_or(10.0) * power;
                let count = (first / step).ceil() as i64..=(last / step).floor() as i64;
                count.map(|index| index as f64 * step).collect()
            }
        }
    }

    fn label_of(&self, tick: f64) -> String {
        match self.scale {
            Scale::Logarithmic if !(0.01..=1e4).contains(&tick) => format!("{tick:.0e}"),
            Scale::Linear | Scale::Logarithmic => format!("{}", (tick * 1e6).round() / 1e6),
        }
    }
}

/// A chart on one page. Later lines are drawn over earlier ones.
pub struct Chart {
    axes: [Axis; 2],
    body: String,
    /// Color and text of each entry of the legend.
    legend: Vec<(&'static str, String)>,
}

impl Chart {
    pub fn new(title: &str, x: Axis, y: Axis) -> Self {
        let mut chart = Self { axes: [x, y], body: String::new(), legend: Vec::new() };
        let middle = (LEFT_TOP.0 + RIGHT_BOTTOM.0) / 2.0;
        chart.text((middle, 27.0), "text-anchor='middle' font-size='18'", title);
        chart.grid();
        chart
    }

    /// A line through points.
    pub fn line(&mut self, points: impl IntoIterator<Item = (f64, f64)>, color: &str) {
        let path = self.path(points);
        self.element(format_args!(
            "<path d='{path}' fill='none' stroke='{color}' stroke-width='1.6'/>"
        ));
    }

    /// A dashed line at one height.
    pub fn level(&mut self, y: f64, color: &str) {
        let path = self.path([(self.axes[0].ends.0, y), (self.axes[0].ends.1, y)]);
        self.element(format_args!("<path d='{path}' stroke='{color}' stroke-dasharray='6 4'/>"));
    }

    /// A filled area with the given outline.
    pub fn area(&mut self, outline: impl IntoIterator<Item = (f64, f64)>, color: &str) {
        let path = self.path(outline);
        self.element(format_args!("<path d='{path}Z' fill='{color}'/>"));
    }

    /// Triangles on the lower edge.
    pub fn marks(&mut self, values: impl IntoIterator<Item = f64>, color: &str) {
        for value in values {
            let (x, y) = self.place((value, self.axes[1].ends.0));
            let path = format!("M{:.1},{y:.1}l5,-10l5,10Z", x - 5.0);
            self.element(format_args!("<path d='{path}' fill='{color}'/>"));
        }
    }

    /// An entry of the legend, which stands in the upper right corner.
    pub fn name(&mut self, color: &'static str, text: impl Into<String>) {
        self.legend.push((color, text.into()));
    }

    /// Writes the chart to `target/<name>.svg`.
    pub fn save(mut self, name: &str) -> io::Result<PathBuf> {
        for (index, (color, text)) in std::mem::take(&mut self.legend).into_iter().enumerate() {
            let (x, y) = (RIGHT_BOTTOM.0 - 276.0, LEFT_TOP.1 + 22.0 + 20.0 * index as f64);
            let swatch = format!("M{x},{:.1}h24", y - 4.5);
            self.element(format_args!("<path d='{swatch}' stroke='{color}' stroke-width='5'/>"));
            self.text((x + 32.0, y), "", &text);
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
        fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{name}.svg"));
        let (width, height) = PAGE;
        let page = format!(
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' \
             font-family='sans-serif' font-size='13' fill='{INK}'>\n\
             <path d='M0,0h{width}v{height}h-{width}Z' fill='white'/>\n{}</svg>\n",
            self.body
        );
        fs::write(&file, page)?;
        Ok(file)
    }

    /// The frame, a faint line at every tick, and what stands beside the axes.
    fn grid(&mut self) {
        let [x, y] = self.axes;
        let ((left, top), (right, bottom)) = (LEFT_TOP, RIGHT_BOTTOM);
        for tick in x.ticks() {
            let (at, _) = self.place((tick, y.ends.0));
            self.element(format_args!("<path d='M{at:.1},{top}V{bottom}' stroke='{FAINT}'/>"));
            self.text((at, bottom + 18.0), "text-anchor='middle'", x.label_of(tick));
        }
        for tick in y.ticks() {
            let (_, at) = self.place((x.ends.0, tick));
            self.element(format_args!("<path d='M{left},{at:.1}H{right}' stroke='{FAINT}'/>"));
            self.text((left - 8.0, at + 4.5), "text-anchor='end'", y.label_of(tick));
        }
        let frame = format!("M{left},{top}V{bottom}H{right}");
        self.element(format_args!("<path d='{frame}' fill='none' stroke='{INK}'/>"));
        let (middle, height) = ((left + right) / 2.0, (top + bottom) / 2.0);
        self.text((middle, bottom + 40.0), "text-anchor='middle' font-size='15'", x.label);
        let turned =
            format!("text-anchor='middle' font-size='15' transform='rotate(-90 18 {height})'");
        self.text((18.0, height), &turned, y.label);
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let [along, up] = [self.axes[0].position(x), self.axes[1].position(y)];
        let width = RIGHT_BOTTOM.0 - LEFT_TOP.0;
        let height = RIGHT_BOTTOM.1 - LEFT_TOP.1;
        (LEFT_TOP.0 + along * width, RIGHT_BOTTOM.1 - up * height)
    }

    fn path(&self, points: impl IntoIterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        let mut drawn: Option<(f64, f64)> = None;
        let mut points = points.into_iter().map(|point| self.place(point)).peekable();
        while let Some((x, y)) = points.next() {
            let near = drawn.is_some_and(|(a, b)| (x - a).hypot(y - b) < RESOLUTION);
            if near && points.peek().is_some() {
                continue;
            }
            let command = if drawn.is_none() { 'M' } else { 'L' };
            drawn = Some((x, y));
            // Writing to a string cannot fail.
            let _ = write!(path, "{command}{x:.1},{y:.1}");
        }
        path
    }

    fn text(&mut self, (x, y): (f64, f64), attributes: &str, text: impl Display) {
        self.element(format_args!("<text x='{x:.1}' y='{y:.1}' {attributes}>{text}</text>"));
    }

    fn element(&mut self, element: impl Display) {
        let _ = writeln!(self.body, "{element}");
    }
}
