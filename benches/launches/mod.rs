//! Operations handed to a device, counted on a backend that does nothing but count and pass on.

use std::sync::Arc;

use burn_curvature::{ConjugateGradientConfig, ParamLayout, program::Graph};

use crate::{counted_steps::of_a_step, counting::Counts, figures::Figures};

/// Operations that only look at a tensor in another way. CubeCL needs no kernel for them, unless a slice starts at a place
/// that the device cannot bind, or a kernel asks for contiguous memory.
const VIEWS: [&str; 5] = ["Reshape", "SwapDims", "Permute", "Expand", "Slice("];

/// Prints, for a prepared product and a step of conjugate gradients on the damped matrix: `launches_…`, the operations
/// handed to a device, `views_…` those of them that only look at a tensor in another way, and `waits_cg_step`, how often the
/// host waits for a value.
pub fn print(figures: &Figures, product: &Graph, layout: &Arc<ParamLayout>, damping: f64) {
    let views = views(product);
    let step = of_a_cg_step(layout, damping);
    figures.value("launches_hv", product.len() as f64);
    figures.value("views_hv", views as f64);
    let launches = product.len() + step.operations + step.views;
    figures.value("launches_cg_step", launches as f64);
    figures.value("views_cg_step", (views + step.views) as f64);
    figures.value("waits_cg_step", step.waits as f64);
}

fn views(program: &Graph) -> usize {
    let listing = program.to_string();
    let views = listing.lines().filter(|line| {
        let operation = line.split_once(" = ").map_or("", |(_, operation)| operation);
        VIEWS.iter().any(|view| operation.starts_with(view))
    });
    views.count()
}

/// Besides the product itself.
fn of_a_cg_step(layout: &Arc<ParamLayout>, damping: f64) -> Counts {
    of_a_step(layout, (damping, false), &|steps| {
        let config = ConjugateGradientConfig::new()
            .with_max_iterations(Some(steps))
            .with_residual_replacement(None)
            .with_relative_tolerance(1e-30);
        Box::new(config.init().expect("a valid configuration"))
    })
}
