//! Gradients, products and steps of conjugate gradients of one model on one device.

use burn::{module::Module, tensor::Device};
use burn_backend::{AutodiffBackend, TensorMetadata};
use burn_curvature::{
    Batch, CaptureConfig, Error, GaussNewton, Hessian, LinearOperator, LinearSolver, Objective,
    Reduction, backend::ProgramBackend,
};

#[cfg(feature = "flex")]
use crate::launches;
use crate::{
    Backend, DAMPING, GRADIENT, factors,
    figures::Figures,
    finish,
    floor::Floor,
    harness::{Plan, device::reserved_bytes},
    models::Case,
    steps::{STEPS, of_cg},
    timed::{Found, Timed, seconds, timed},
};

const BYTES_PER_MEGABYTE: f64 = 1e6;

/// Measures all figures of one model on one device and prints them.
pub fn measure<B, M, X>((name, device): &Backend, plan: Plan, case: Case<M, X>) -> Result<(), Error>
where
    B: AutodiffBackend,
    B::InnerBackend: ProgramBackend,
    M: Module + 'static,
    X: Batch + Send + 'static,
{
    let figures = Figures::new(case.name, name);
    let gradient = || finish(device, case.forward().backward());
    let first = seconds(gradient);
    let config = CaptureConfig::new();
    let (capture, captured) = timed(|| {
        let batch = case.batch.clone();
        let captured = Objective::<B>::capture_with(&config, &case.model, batch, case.loss);
        finish(device, ());
        captured
    });
    figures.value("capture_ms", capture * 1e3);
    let objective = captured?.reduced_by(Reduction::Mean)?;
    figures.value("parameters", objective.layout().len() as f64);
    let found = products(device, plan, (&objective, &gradient, first))?;
    print(&figures, &found);
    let samples = &found.samples;
    figures.quartiles("cg_overhead_ggn", samples.overhead("cg20_ggn", "ggn", STEPS));
    figures.rate("gradient_gflops", case.gradient_flops, samples.seconds(GRADIENT));
    let program = objective.hessian_programs()?.1;
    figures.rate("hv_gflops", 2.0 * program.multiply_adds() as f64, samples.seconds("hv"));
    #[cfg(feature = "flex")] // the counting backend computes on Flex
    launches::print(&figures, &program, objective.layout(), DAMPING);
    for (figure, bytes) in [
        ("device_gradient_peak_mb", reserved_bytes(device, gradient)),
        ("device_peak_mb", reserved_bytes(device, || fresh(&objective, device))),
    ] {
        if let Some(bytes) = bytes {
            figures.value(figure, bytes as f64 / BYTES_PER_MEGABYTE);
        }
    }
    factors::measure(&figures, device, plan, (&objective, &gradient))
}

/// Times gradients and products in rounds. The gradient has been called before.
fn products<B: AutodiffBackend>(
    device: &Device,
    plan: Plan,
    (objective, gradient, first): (&Objective<B>, &dyn Fn(), f64),
) -> Result<Found, Error>
where
    B::InnerBackend: ProgramBackend,
{
    let vector = objective.parameters().space().normal(1);
    let (hessian, newton) = (Hessian::new(objective)?, GaussNewton::new(objective)?);
    let (cg, damped) = (of_cg(), newton.clone().damped(DAMPING)?);
    let typed = vector.blocks()[0].device();
    let hessian_floor = Floor::<B::InnerBackend>::of(&objective.hessian_programs()?.1, &typed);
    let newton_floor = Floor::<B::InnerBackend>::of(&objective.gauss_newton_programs()?.1, &typed);
    let mut timed = Timed::default();
    timed.add_called(GRADIENT, first, gradient);
    timed.add("gradient_program", || finish(device, objective.gradient().expect("a gradient")));
    timed.add("hv_fresh", || fresh(objective, device));
    objective.prepare()?;
    timed.add("hv", || finish(device, hessian.apply(&vector).expect("a product")));
    timed.add("ggn", || finish(device, newton.apply(&vector).expect("a product")));
    timed.add("cg20_ggn", || finish(device, cg.solve(&damped, &vector).expect("twenty steps")));
    timed.add("hv_floor", || {
        hessian_floor.run();
        finish(device, ());
    });
    timed.add("ggn_floor", || {
        newton_floor.run();
        finish(device, ());
    });
    Ok(timed.measure(plan))
}

/// A Hessian product with all that is prepared for it.
fn fresh<B: AutodiffBackend>(objective: &Objective<B>, device: &Device)
where
    B::InnerBackend: ProgramBackend,
{
    let at = objective.at_keeping_buffers(objective.parameters()).expect("one layout");
    let vector = at.parameters();
    let product = Hessian::new(&at).and_then(|hessian| hessian.apply(vector));
    finish(device, product.expect("a product"));
}

/// The first call of each in ms, later ones in ms and in gradients.
pub fn print(figures: &Figures, found: &Found) {
    for (name, first) in found.names.iter().zip(&found.first) {
        figures.value(&format!("{name}_first_ms"), first * 1e3);
        figures.milliseconds(&format!("{name}_ms"), found.samples.seconds(name));
        if *name != GRADIENT {
            figures.quartiles(name, found.samples.ratio(name, GRADIENT));
        }
    }
}
