//! A damped Gauss-Newton system of a convolutional network, solved by conjugate gradients, plain and with preconditioners.
//!
//! K-FAC's steps train this network in fewer epochs than Adam. As a preconditioner it does not pay here: blocks of
//! single layers say little about the few large eigenvalues of the whole matrix, which a Nyström approximation finds.

use std::{error::Error, time::Instant};

use burn::tensor::Device;
use burn_curvature::{
    ConjugateGradientConfig, Ekfac, GaussNewton, KfacConfig, Likelihood, LinearOperator,
    LinearSolver, Objective, ParamVector, Reduction, SelfAdjoint, Solution, SolveOptions,
    StopReason, kfac::KfacFisher, solver::NystromConfig,
};

use crate::{
    digits::Digits,
    figures::Figures,
    kfac_classifier::{
        network::{Network, loss},
        training::batches,
    },
};

const DAMPING: f64 = 1e-2;
/// Rank of the Nyström approximation, and so the products it costs.
const RANK: usize = 60;

/// (G + λI)⁻¹∇ℒ over all batches: steps of conjugate gradients without and with a preconditioner.
pub fn check(model: &Network, train: &Digits, figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let device = Device::default().autodiff();
    let parts = batches(train, 1, &device);
    let objective = Objective::capture(model, parts[0].clone(), loss)?;
    let risk = objective.over(parts, Reduction::Mean)?;
    let damped = GaussNewton::new(&risk)?.damped(DAMPING)?;
    let gradient = risk.gradient()?;
    let (likelihood, config) =
        (Likelihood::Categorical, KfacConfig::new().with_fisher(KfacFisher::Exact));
    let kfac = config.init(&risk, likelihood)?;
    let ekfac = Ekfac::from_kfac(&kfac, &risk, likelihood, &config)?;
    println!("\n{}", kfac.coverage());

    let nystrom =
        NystromConfig::new(RANK, DAMPING).init()?.approximate(&damped)?.preconditioner()?;
    let plain = solved("plain", &damped, &gradient, None)?;
    figures.note("cg.plain.steps", plain.report.iterations as f64);
    let (kfac, ekfac) = (kfac.factored_inverse(DAMPING)?, ekfac.inverse(DAMPING)?);
    let preconditioners: [(&str, &dyn SelfAdjoint); 3] =
        [("kfac", &kfac), ("ekfac", &ekfac), ("nystrom", &nystrom)];
    for (name, inverse) in preconditioners {
        let solution = solved(name, &damped, &gradient, Some(inverse))?;
        let (steps, of_plain) = (solution.report.iterations, plain.report.iterations);
        figures.note(&format!("cg.{name}.steps"), steps as f64);
        let difference = solution.x.sub(&plain.x)?.norm()? / plain.x.norm()?;
        figures.expect(&format!("cg.{name}.difference"), difference, 0.0..=1e-2);
        if name == "nystrom" {
            let ratio = of_plain as f64 / steps as f64;
            figures.expect("cg.nystrom.ratio", ratio, 2.0..=f64::INFINITY);
        }
    }
    Ok(())
}

fn solved(
    name: &str,
    operator: &dyn SelfAdjoint,
    b: &ParamVector,
    inverse: Option<&dyn SelfAdjoint>,
) -> Result<Solution, Box<dyn Error>> {
    let solver = ConjugateGradientConfig::new()
        .with_relative_tolerance(1e-4)
        .with_max_iterations(Some(2000))
        .init()?;
    let options = match inverse {
        Some(inverse) => SolveOptions::new().with_preconditioner(inverse),
        None => SolveOptions::new(),
    };
    let clock = Instant::now();
    let solution = solver.solve_with(operator, b, options)?;
    let report = &solution.report;
    println!(
        "{name:14} {:4} steps, {:.3} s, relative residual {:.2e}",
        report.iterations,
        clock.elapsed().as_secs_f64(),
        report.relative_residual
    );
    match report.stop {
        StopReason::Converged => Ok(solution),
        other => Err(format!("{name} stopped with {other:?}").into()),
    }
}
