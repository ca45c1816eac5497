//! A chart with a linear and a logarithmic axis on any backend of `plotters`. Knows shapes and text, not what they mean.

use std::{error::Error, ops::Range};

use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, DrawingBackend, text_anchor::HPos,
};

use super::text::{Style, Typeface};

pub type Drawn = Result<(), Box<dyn Error>>;

pub const INK: BackendColor = colour(45, 45, 45);
const PAPER: BackendColor = colour(255, 255, 255);
const FAINT: BackendColor = colour(228, 228, 228);

pub const fn colour(red: u8, green: u8, blue: u8) -> BackendColor {
    BackendColor {
        alpha: 1.0,
        rgb: (red, green, blue),
    }
}

/// The plot's place on the page, in points.
const PLOT: [Range<i32>; 2] = [90..1070, 70..560];
/// The page in points.
pub const PAGE: (u32, u32) = (1100, 640);

/// A page with axes. One point is `scale` pixels of the backend.
pub struct Chart<'a, B> {
    backend: B,
    typeface: &'a Typeface,
    scale: i32,
    x: Range<f64>,
    y: Range<f64>,
}

struct Pen {
    colour: BackendColor,
    width: u32,
}

impl BackendStyle for Pen {
    fn color(&self) -> BackendColor {
        self.colour
    }

    fn stroke_width(&self) -> u32 {
        self.width
    }
}

impl<'a, B: DrawingBackend<ErrorType: 'static>> Chart<'a, B> {
    /// An empty page for these ranges.
    pub fn new(
        backend: B,
        typeface: &'a Typeface,
        scale: i32,
        x: Range<f64>,
        y: Range<f64>,
    ) -> Result<Self, Box<dyn Error>> {
        let mut chart = Self {
            backend,
            typeface,
            scale,
            x,
            y,
        };
        chart.backend.ensure_prepared()?;
        let corner = (PAGE.0 as i32 * scale, PAGE.1 as i32 * scale);
        chart.backend.draw_rect((0, 0), corner, &PAPER, true)?;
        Ok(chart)
    }

    /// Where a point of the plot is on the page, in points.
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let [across, down] = PLOT;
        let part =
            |value: f64, range: &Range<f64>| (value - range.start) / (range.end - range.start);
        let along = |part: f64, range: Range<i32>| {
            f64::from(range.start) + part * f64::from(range.end - range.start)
        };
        let logarithms = self.y.start.ln()..self.y.end.ln();
        let height = part(y.max(self.y.start).ln(), &logarithms);
        (along(part(x, &self.x), across), along(1.0 - height, down))
    }

    fn pixel(&self, (x, y): (f64, f64)) -> BackendCoord {
        let scale = f64::from(self.scale);
        ((scale * x).round() as i32, (scale * y).round() as i32)
    }

    fn pen(&self, colour: BackendColor, width: u32) -> Pen {
        let width = width * self.scale as u32;
        Pen { colour, width }
    }

    /// A line through points of the plot.
    pub fn line(&mut self, points: &[(f64, f64)], colour: BackendColor, width: u32) -> Drawn {
        let path: Vec<_> = points
            .iter()
            .map(|point| self.pixel(self.place(*point)))
            .collect();
        let pen = self.pen(colour, width);
        Ok(self.backend.draw_path(path, &pen)?)
    }

    /// A filled outline through points of the plot.
    pub fn area(&mut self, points: &[(f64, f64)], colour: BackendColor) -> Drawn {
        let path: Vec<_> = points
            .iter()
            .map(|point| self.pixel(self.place(*point)))
            .collect();
        Ok(self.backend.fill_polygon(path, &colour)?)
    }

    /// A triangle that stands on the horizontal axis.
    pub fn mark(&mut self, x: f64, colour: BackendColor) -> Drawn {
        let (x, y) = self.place((x, self.y.start));
        self.triangle((x, y - 13.0), colour)
    }

    fn triangle(&mut self, (x, y): (f64, f64), colour: BackendColor) -> Drawn {
        let corners = [(x - 6.0, y), (x + 6.0, y), (x, y + 12.0)].map(|corner| self.pixel(corner));
        Ok(self.backend.fill_polygon(corners, &colour)?)
    }

    /// Text at a place of the page.
    pub fn text(&mut self, text: &str, place: (f64, f64), size: f64, anchor: HPos) -> Drawn {
        let style = self.typeface.style(size * f64::from(self.scale), anchor);
        self.write(text, place, &style)
    }

    fn write(&mut self, text: &str, place: (f64, f64), style: &Style<'_>) -> Drawn {
        let place = self.pixel(place);
        Ok(self.backend.draw_text(text, style, place)?)
    }

    /// The lines of both axes, their numbers and their names; every `step` on the horizontal one.
    pub fn axes(&mut self, step: f64, names: [&str; 2]) -> Drawn {
        let [across, down] = PLOT.map(|range| (f64::from(range.start), f64::from(range.end)));
        let first = (self.x.start / step).ceil() as i32;
        let last = (self.x.end / step).floor() as i32;
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        for index in first..=last {
            let value = f64::from(index) * step;
            let (x, _) = self.place((value, self.y.start));
            self.rule([(x, down.0), (x, down.1)], FAINT)?;
            let number = format!("{value:.decimals$}");
            self.text(&number, (x, down.1 + 20.0), 15.0, HPos::Center)?;
        }
        let powers = self.y.start.log10().ceil() as i32..=self.y.end.log10().floor() as i32;
        for power in powers {
            let (_, y) = self.place((self.x.start, 10f64.powi(power)));
            self.rule([(across.0, y), (across.1, y)], FAINT)?;
            self.text("10", (across.0 - 24.0, y), 15.0, HPos::Right)?;
            let exponent = power.to_string().replace('-', "−");
            self.text(&exponent, (across.0 - 22.0, y - 7.0), 11.0, HPos::Left)?;
        }
        self.rule([(across.0, down.1), (across.1, down.1)], INK)?;
        self.rule([(across.0, down.0), (across.0, down.1)], INK)?;
        let middle = (0.5 * (across.0 + across.1), down.1 + 54.0);
        self.text(names[0], middle, 18.0, HPos::Center)?;
        let style = self
            .typeface
            .style(18.0 * f64::from(self.scale), HPos::Center);
        self.write(names[1], (28.0, 0.5 * (down.0 + down.1)), &style.upwards())
    }

    fn rule(&mut self, ends: [(f64, f64); 2], colour: BackendColor) -> Drawn {
        let [from, to] = ends.map(|end| self.pixel(end));
        let pen = self.pen(colour, 1);
        Ok(self.backend.draw_path([from, to], &pen)?)
    }

    /// One line of the legend, from the top right corner down.
    pub fn explain(&mut self, row: u8, sample: Sample, text: &str) -> Drawn {
        let (x, y) = (720.0, 92.0 + 26.0 * f64::from(row));
        match sample {
            Sample::Line(colour, width) => {
                let [from, to] = [(x, y), (x + 30.0, y)].map(|end| self.pixel(end));
                let pen = self.pen(colour, width);
                self.backend.draw_path([from, to], &pen)?;
            }
            Sample::Area(colour) => {
                let corners = [(x, y - 8.0), (x + 30.0, y + 8.0)].map(|corner| self.pixel(corner));
                self.backend
                    .draw_rect(corners[0], corners[1], &colour, true)?;
            }
            Sample::Mark(colour) => self.triangle((x + 15.0, y - 6.0), colour)?,
        }
        self.text(text, (x + 42.0, y), 16.0, HPos::Left)
    }

    /// Completes the page.
    pub fn finish(mut self) -> Drawn {
        Ok(self.backend.present()?)
    }
}

/// What a line of the legend explains.
pub enum Sample {
    Line(BackendColor, u32),
    Area(BackendColor),
    Mark(BackendColor),
}
