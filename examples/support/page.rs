//! Line charts as SVG. Independent of what is drawn.
#![allow(dead_code, reason = "each program uses its own part")]

use std::{
    error::Error,
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use plotters::{
    coord::{
        Shift,
        ranged1d::{AsRangedCoord, ValueFormatter},
    },
    prelude::*,
};

/// The page in pixels.
const PAGE: (u32, u32) = (800, 450);
/// Points of a line closer together than this part of the plot are drawn as one, so that files stay small.
const RESOLUTION: f64 = 2e-3;
const INK: RGBColor = RGBColor(45, 45, 45);
const FAINT: RGBColor = RGBColor(228, 228, 228);

/// How values are placed along an axis.
#[derive(Clone, Copy, PartialEq)]
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
    fn range(&self) -> Range<f64> {
        self.ends.0..self.ends.1
    }

    /// Where a value lies between the ends, from 0 to 1.
    fn position(&self, value: f64) -> f64 {
        let place = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic => value.max(f64::MIN_POSITIVE).log10(),
        };
        let (first, last) = (place(self.ends.0), place(self.ends.1));
        (place(value) - first) / (last - first)
    }
}

/// What is on a chart, in the order of drawing.
enum Item {
    Line(Vec<(f64, f64)>, RGBColor),
    Level(f64, RGBColor),
    Area(Vec<(f64, f64)>, RGBColor),
    Marks(Vec<f64>, RGBColor),
    Name(String, RGBColor),
}

/// A value beside its axis, in at most six characters.
fn label(value: f64) -> String {
    if value != 0.0 && !(1e-3..1e5).contains(&value.abs()) {
        return format!("{value:.0e}");
    }
    let decimals = format!("{value:.3}");
    decimals.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// Where the legend is.
#[derive(Clone, Copy, PartialEq)]
pub enum Corner {
    UpperRight,
    LowerRight,
    LowerLeft,
}

/// A chart on one page. Later lines are drawn over earlier ones.
pub struct Chart {
    title: String,
    axes: [Axis; 2],
    items: Vec<Item>,
    legend: Corner,
}

impl Chart {
    pub fn new(title: &str, x: Axis, y: Axis) -> Self {
        let (title, items) = (title.into(), Vec::new());
        Self { title, axes: [x, y], items, legend: Corner::UpperRight }
    }

    /// A line through points.
    pub fn line(&mut self, points: impl IntoIterator<Item = (f64, f64)>, color: RGBColor) {
        let points = self.thinned(points);
        self.items.push(Item::Line(points, color));
    }

    /// A dashed line at one height.
    pub fn level(&mut self, y: f64, color: RGBColor) {
        self.items.push(Item::Level(y, color));
    }

    /// A filled area with the given outline.
    pub fn area(&mut self, outline: impl IntoIterator<Item = (f64, f64)>, color: RGBColor) {
        let outline = self.thinned(outline);
        self.items.push(Item::Area(outline, color));
    }

    /// Triangles on the lower edge.
    pub fn marks(&mut self, values: impl IntoIterator<Item = f64>, color: RGBColor) {
        self.items.push(Item::Marks(values.into_iter().collect(), color));
    }

    /// Where the legend is; the upper right corner unless said otherwise.
    pub fn legend(&mut self, corner: Corner) {
        self.legend = corner;
    }

    /// An entry of the legend.
    pub fn name(&mut self, color: RGBColor, text: impl Into<String>) {
        self.items.push(Item::Name(text.into(), color));
    }

    /// Writes the chart to `target/<name>.svg`.
    pub fn save(self, name: &str) -> Result<PathBuf, Box<dyn Error>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
        fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{name}.svg"));
        let page = SVGBackend::new(&file, PAGE).into_drawing_area();
        page.fill(&WHITE)?;
        let [x, y] = self.axes;
        let (across, up) = (x.range(), y.range());
        match (x.scale, y.scale) {
            (Scale::Linear, Scale::Linear) => self.paint(&page, across, up)?,
            (Scale::Linear, Scale::Logarithmic) => self.paint(&page, across, up.log_scale())?,
            (Scale::Logarithmic, Scale::Linear) => self.paint(&page, across.log_scale(), up)?,
            (Scale::Logarithmic, Scale::Logarithmic) => {
                self.paint(&page, across.log_scale(), up.log_scale())?;
            }
        }
        page.present()?;
        drop(page);
        Ok(file)
    }

    fn paint<'a, X, Y>(
        &self,
        page: &DrawingArea<SVGBackend<'a>, Shift>,
        x: X,
        y: Y,
    ) -> Result<(), Box<dyn Error>>
    where
        X: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
        Y: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
    {
        let mut chart = ChartBuilder::on(page)
            .margin(14)
            .caption(&self.title, text(20))
            .x_label_area_size(42)
            .y_label_area_size(58)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(FAINT)
            .label_style(text(13))
            .axis_desc_style(text(15))
            .x_label_formatter(&|x| label(*x))
            .y_label_formatter(&|y| label(*y))
            .x_desc(self.axes[0].label)
            .y_desc(self.axes[1].label)
            .draw()?;
        let ((left, right), bottom) = (self.axes[0].ends, self.axes[1].ends.0);
        for item in &self.items {
            match item {
                Item::Line(points, color) => {
                    let line = LineSeries::new(points.iter().copied(), color.stroke_width(2));
                    chart.draw_series(line)?;
                }
                Item::Level(height, color) => {
                    let ends = [(left, *height), (right, *height)];
                    chart.draw_series(DashedLineSeries::new(ends, 6, 4, color.into()))?;
                }
                Item::Area(outline, color) => {
                    chart.draw_series([Polygon::new(outline.clone(), color.filled())])?;
                }
                Item::Marks(values, color) => {
                    let marks = values.iter();
                    chart.draw_series(
                        marks.map(|x| TriangleMarker::new((*x, bottom), 6, color.filled())),
                    )?;
                }
                Item::Name(text, color) => {
                    let color = *color;
                    let nothing = std::iter::empty::<PathElement<(f64, f64)>>();
                    chart.draw_series(nothing)?.label(text).legend(move |(x, y)| {
                        PathElement::new([(x, y), (x + 22, y)], color.stroke_width(4))
                    });
                }
            }
        }
        let legend = &mut chart.configure_series_labels();
        let legend = legend.label_font(text(13)).background_style(WHITE);
        let corner = match self.legend {
            Corner::UpperRight => SeriesLabelPosition::UpperRight,
            Corner::LowerRight => SeriesLabelPosition::LowerRight,
            Corner::LowerLeft => SeriesLabelPosition::LowerLeft,
        };
        legend.position(corner).margin(10).draw()?;
        Ok(())
    }

    /// The points without those that fall on one before.
    fn thinned(&self, points: impl IntoIterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
        let place = |(x, y)| (self.axes[0].position(x), self.axes[1].position(y));
        let mut drawn: Option<(f64, f64)> = None;
        let mut points = points.into_iter().peekable();
        let mut kept = Vec::new();
        while let Some(point) = points.next() {
            let (x, y) = place(point);
            let near = drawn.is_some_and(|(a, b)| (x - a).hypot(y - b) < RESOLUTION);
            if !near || points.peek().is_none() {
                kept.push(point);
                drawn = Some((x, y));
            }
        }
        kept
    }
}

/// Text of a size.
fn text(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}
