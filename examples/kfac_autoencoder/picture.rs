//! The picture: squared error by step, of K-FAC and of the best first-order runs.

use plotters::{coord::Shift, prelude::*};

use super::{
    page::{Drawn, FAINT, INK, Picture, legend, text},
    training::{GOAL, Run},
};

const KFAC: RGBColor = RGBColor(204, 68, 34);
const NESTEROV: RGBColor = RGBColor(26, 99, 168);
const ADAM: RGBColor = RGBColor(70, 140, 70);

/// All runs of all seeds.
pub struct Curves<'a> {
    pub kfac: Vec<&'a Run>,
    pub nesterov: Vec<&'a Run>,
    pub adam: Vec<&'a Run>,
}

impl Picture for Curves<'_> {
    fn paint<B: DrawingBackend<ErrorType: 'static>>(&self, page: &DrawingArea<B, Shift>) -> Drawn {
        let all = [&self.kfac, &self.nesterov, &self.adam];
        let runs = || all.into_iter().flatten();
        let steps = runs().map(|run| run.errors.len()).max().unwrap_or(1);
        let errors = runs().flat_map(|run| &run.errors).copied();
        let highest = errors.fold(GOAL, f64::max);
        let mut chart = ChartBuilder::on(page)
            .margin(20)
            .caption("An autoencoder of handwritten digits", text(26))
            .x_label_area_size(50)
            .y_label_area_size(70)
            .build_cartesian_2d(
                (1.0..steps as f64).log_scale(),
                (0.5..1.2 * highest).log_scale(),
            )?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(FAINT)
            .label_style(text(16))
            .axis_desc_style(text(18))
            .x_desc("steps")
            .y_desc("squared error of an image")
            .draw()?;
        let goal = [(1.0, GOAL), (steps as f64, GOAL)];
        chart.draw_series(DashedLineSeries::new(goal, 6, 4, INK.into()))?;
        let named = [
            ("K-FAC", KFAC),
            ("Nesterov, best of four rates", NESTEROV),
            ("Adam, best of two rates", ADAM),
        ];
        for (runs, (name, color)) in all.into_iter().zip(named) {
            for (seed, run) in runs.iter().enumerate() {
                let points = run.errors.iter().enumerate();
                let points = points.map(|(step, error)| ((step + 1) as f64, *error));
                let drawn = chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
                if seed == 0 {
                    drawn.label(name).legend(move |(x, y)| {
                        PathElement::new([(x, y), (x + 24, y)], color.stroke_width(2))
                    });
                }
            }
        }
        legend(&mut chart)
    }
}
