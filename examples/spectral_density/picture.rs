//! The picture: the density on a logarithmic axis with its error bar, the exact one beside it, the outliers marked.

use burn_curvature::DensityCurve;
use plotters::{coord::Shift, prelude::*};

use super::page::{Drawn, FAINT, INK, Picture, legend, text};

/// Densities below this are not drawn.
const FLOOR: f64 = 1e-3;

const ESTIMATE: RGBColor = RGBColor(26, 99, 168);
const ERROR: RGBColor = RGBColor(184, 209, 233);
const OUTLIER: RGBColor = RGBColor(204, 68, 34);

/// What is drawn.
pub struct Density<'a> {
    pub curve: &'a DensityCurve,
    /// The exact density at the curve's points.
    pub exact: &'a [f64],
    /// The outliers.
    pub outliers: &'a [f64],
}

impl Picture for Density<'_> {
    fn paint<B: DrawingBackend<ErrorType: 'static>>(&self, page: &DrawingArea<B, Shift>) -> Drawn {
        let points = &self.curve.points;
        let (Some(&left), Some(&right)) = (points.first(), points.last()) else {
            return Err("there is nothing to draw".into());
        };
        let peak = self.curve.density.iter().copied().fold(FLOOR, f64::max);
        let title = "Eigenvalues of the Hessian of a digits classifier";
        let mut chart = ChartBuilder::on(page)
            .margin(20)
            .caption(title, text(26))
            .x_label_area_size(50)
            .y_label_area_size(70)
            .build_cartesian_2d(left..right, (FLOOR..3.0 * peak).log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(FAINT)
            .label_style(text(16))
            .axis_desc_style(text(18))
            .x_desc("eigenvalue")
            .y_desc("density")
            .y_label_formatter(&|y| format!("{y:.0e}"))
            .draw()?;
        chart
            .draw_series([Polygon::new(self.band(), ERROR.filled())])?
            .label("± 2 standard errors over the probes")
            .legend(|(x, y)| Rectangle::new([(x, y - 6), (x + 24, y + 6)], ERROR.filled()));
        chart
            .draw_series(LineSeries::new(
                self.pairs(&self.curve.density),
                ESTIMATE.stroke_width(2),
            ))?
            .label("stochastic Lanczos quadrature")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 24, y)], ESTIMATE.stroke_width(2)));
        chart
            .draw_series(LineSeries::new(self.pairs(self.exact), INK))?
            .label("all eigenvalues of the dense matrix")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 24, y)], INK));
        let marks = self.outliers.iter();
        chart
            .draw_series(marks.map(|&x| TriangleMarker::new((x, FLOOR), 9, OUTLIER.filled())))?
            .label(format!("the {} largest eigenvalues", self.outliers.len()))
            .legend(|(x, y)| TriangleMarker::new((x + 12, y), 9, OUTLIER.filled()));
        legend(&mut chart)
    }
}

impl Density<'_> {
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
