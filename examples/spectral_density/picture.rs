//! The picture: the density on a logarithmic axis with its error bar, the exact one beside it, the outliers marked.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use burn_curvature::DensityCurve;
use plotters_backend::{BackendColor, DrawingBackend, text_anchor::HPos};
use plotters_bitmap::BitMapBackend;
use plotters_svg::SVGBackend;

use super::{
    chart::{Chart, Drawn, INK, PAGE, Sample, colour},
    png,
    text::Typeface,
};

/// Densities below this are not drawn.
const FLOOR: f64 = 1e-3;

const ESTIMATE: BackendColor = colour(26, 99, 168);
const ERROR: BackendColor = colour(184, 209, 233);
const OUTLIER: BackendColor = colour(204, 68, 34);

/// What is drawn.
pub struct Picture<'a> {
    pub curve: &'a DensityCurve,
    /// The exact density at the curve's points.
    pub exact: &'a [f64],
    /// The outliers.
    pub outliers: &'a [f64],
}

impl Picture<'_> {
    /// Draws the picture into `target`, as SVG and as PNG.
    pub fn draw(&self) -> Result<[PathBuf; 2], Box<dyn Error>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
        fs::create_dir_all(&folder)?;
        let [svg, png] = ["svg", "png"].map(|kind| folder.join(format!("spectral_density.{kind}")));
        self.paint(SVGBackend::new(&svg, PAGE), 1)?;
        let twice = (2 * PAGE.0, 2 * PAGE.1);
        let mut pixels = vec![0; (3 * twice.0 * twice.1) as usize];
        self.paint(BitMapBackend::with_buffer(&mut pixels, twice), 2)?;
        png::write_halved(&png, &pixels, PAGE)?;
        Ok([svg, png])
    }

    fn paint<B: DrawingBackend<ErrorType: 'static>>(&self, backend: B, scale: i32) -> Drawn {
        let typeface = Typeface::new()?;
        let points = &self.curve.points;
        let (Some(left), Some(right)) = (points.first(), points.last()) else {
            return Err("there is nothing to draw".into());
        };
        let peak = self.curve.density.iter().copied().fold(FLOOR, f64::max);
        let mut chart = Chart::new(backend, &typeface, scale, *left..*right, FLOOR..3.0 * peak)?;
        let title = "Eigenvalues of the Hessian of a digits classifier";
        chart.text(title, (580.0, 36.0), 24.0, HPos::Center)?;
        chart.axes(step(right - left), ["eigenvalue", "density"])?;
        chart.area(&self.band(), ERROR)?;
        chart.line(&self.pairs(&self.curve.density), ESTIMATE, 2)?;
        chart.line(&self.pairs(self.exact), INK, 1)?;
        for outlier in self.outliers {
            chart.mark(*outlier, OUTLIER)?;
        }
        chart.explain(
            0,
            Sample::Line(ESTIMATE, 2),
            "stochastic Lanczos quadrature",
        )?;
        chart.explain(
            1,
            Sample::Area(ERROR),
            "± 2 standard errors over the probes",
        )?;
        chart.explain(
            2,
            Sample::Line(INK, 1),
            "all eigenvalues of the dense matrix",
        )?;
        let outliers = format!("the {} largest eigenvalues", self.outliers.len());
        chart.explain(3, Sample::Mark(OUTLIER), &outliers)?;
        chart.finish()
    }

    fn pairs(&self, heights: &[f64]) -> Vec<(f64, f64)> {
        let pairs = self.curve.points.iter().zip(heights);
        pairs.map(|(x, y)| (*x, y.max(FLOOR))).collect()
    }

    /// The outline of the density with two standard errors added and taken off.
    fn band(&self) -> Vec<(f64, f64)> {
        let shifted = |factor: f64| -> Vec<f64> {
            let pairs = self.curve.density.iter().zip(&self.curve.standard_error);
            pairs.map(|(y, error)| y + factor * error).collect()
        };
        let below = self.pairs(&shifted(-2.0)).into_iter().rev();
        self.pairs(&shifted(2.0)).into_iter().chain(below).collect()
    }
}

/// A round distance of which about ten fit a range.
fn step(range: f64) -> f64 {
    let power = 10f64.powf((range / 10.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power);
    steps
        .into_iter()
        .find(|step| range / step <= 12.0)
        .unwrap_or(range)
}
