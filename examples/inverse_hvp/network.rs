//! Real data: a trained classifier of handwritten digits, then H⁻¹g and (H + λI)⁻¹g against the dense
//! exact solve, and the same solve in f64 on the f32 model.

use std::error::Error;

use burn_curvature::{
    ConjugateGradientConfig, DirectConfig, Hessian, LinearOperator, LinearSolver, MinresConfig,
    Objective, ParamVector, SelfAdjoint, Solution, SolveOptions, StopReason, solver::Iteration,
};

use super::{
    comparison::Comparison,
    figures::Figures,
    solve_line::SolveLine,
    trained::{TRAIN_ROWS, Trained, Training, loss},
};

const DAMPING: f64 = 1e-2;

/// Trains, then solves in several ways and compares.
pub fn run(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let training = Training { hidden: 16, steps: 200, learning_rate: 0.02, weight_decay: None };
    let Trained { model, batch, accuracy } = training.run()?;
    let objective = Objective::capture(&model, batch, loss)?;
    println!(
        "\nDigits: {} parameters trained on {TRAIN_ROWS} images, {:.1} % of the others classified \
         correctly, loss {:.4}",
        objective.layout().len(),
        100.0 * accuracy,
        objective.value()?
    );
    figures.expect("digits.test_accuracy", accuracy, 0.9..=1.0);
    undamped(&objective, figures)?;
    damped(&objective, figures)
}

/// H⁻¹g: the Hessian of a network is indefinite, and singular where pixels are always blank. The reports show it.
fn undamped(objective: &Objective, figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let gradient = objective.gradient()?;
    let solution =
        ConjugateGradientConfig::new().init()?.solve(&Hessian::new(objective)?, &gradient)?;
    println!("\n[H⁻¹g by CG, f32]\n{}", solution.report);
    let stopped = solution.report.stop;
    let refused = !matches!(stopped, StopReason::Converged);
    figures.expect("digits.cg_undamped.not_converged", f64::from(u8::from(refused)), 1.0..=1.0);

    let exact = objective.in_f64()?;
    let (hessian, gradient) = (Hessian::new(&exact)?, exact.gradient()?);
    let truth = DirectConfig::new().init()?.solve(&hessian, &gradient)?;
    println!("\n[H⁻¹g by the dense matrix, f64]\n{}", truth.report);

    let solver = MinresConfig::new().with_relative_tolerance(1e-8).init()?;
    let solution = followed(&solver, &hessian, &gradient, 1e-8)?;
    println!("\n[H⁻¹g by MINRES, f64]\n{}", solution.report);
    let comparison = Comparison::of(&solution.x.to_vec()?, &truth.x.to_vec()?);
    println!("relative error {:.2e}, cosine {:.6}", comparison.relative_error, comparison.cosine);
    // Without damping the condition number is too large for any number of steps, and the report shows it.
    let refused = solution.report.stop != StopReason::Converged;
    figures.expect(
        "digits.minres_undamped_f64.not_converged",
        f64::from(u8::from(refused)),
        1.0..=1.0,
    );
    figures.expect(
        "digits.minres_undamped_f64.residual",
        solution.report.relative_residual,
        0.0..=0.1,
    );
    figures.note("digits.minres_undamped_f64.error", comparison.relative_error);
    figures.note("digits.minres_undamped_f64.products", solution.report.applications as f64);
    Ok(())
}

/// (H + λI)⁻¹g in f32 and, from the same recording, in f64.
fn damped(objective: &Objective, figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let exact = objective.in_f64()?;
    let direct = DirectConfig::new().init()?;
    let truth = direct.solve(&Hessian::new(&exact)?.damped(DAMPING)?, &exact.gradient()?)?;
    println!("\n[(H + {DAMPING}·I)⁻¹g by the dense matrix, f64]\n{}", truth.report);
    let truth = truth.x.to_vec()?;
    for (name, objective, tolerance, allowed) in
        [("f32", objective, 1e-5, 1e-2), ("f64", &exact, 1e-10, 1e-7)]
    {
        let conjugate = ConjugateGradientConfig::new().with_relative_tolerance(tolerance);
        let minimum = MinresConfig::new().with_relative_tolerance(tolerance);
        let solvers: [(&str, Box<dyn LinearSolver>); 2] =
            [("cg", Box::new(conjugate.init()?)), ("minres", Box::new(minimum.init()?))];
        let operator = Hessian::new(objective)?.damped(DAMPING)?;
        for (method, solver) in solvers {
            let solution = followed(&*solver, &operator, &objective.gradient()?, tolerance)?;
            judge(&format!("digits.{method}_damped_{name}"), &solution, &truth, allowed, figures)?;
        }
    }
    Ok(())
}

/// A solve with a line on the terminal that follows it.
fn followed(
    solver: &dyn LinearSolver,
    operator: &dyn SelfAdjoint,
    rhs: &ParamVector,
    tolerance: f64,
) -> Result<Solution, Box<dyn Error>> {
    let mut line = SolveLine::new(tolerance)?;
    let mut observer = |iteration: &Iteration<'_>| line.see(iteration);
    Ok(solver.solve_with(operator, rhs, SolveOptions::new().with_observer(&mut observer))?)
}

/// Prints a solution of the damped system and notes its figures.
fn judge(
    name: &str,
    solution: &Solution,
    truth: &[f64],
    allowed: f64,
    figures: &mut Figures,
) -> Result<(), Box<dyn Error>> {
    let report = &solution.report;
    let comparison = Comparison::of(&solution.x.to_vec()?, truth);
    println!("\n[(H + {DAMPING}·I)⁻¹g]\n{report}");
    println!("relative error {:.2e}, cosine {:.6}", comparison.relative_error, comparison.cosine);
    let converged = f64::from(u8::from(report.stop == StopReason::Converged));
    figures.expect(&format!("{name}.converged"), converged, 1.0..=1.0);
    figures.expect(&format!("{name}.error"), comparison.relative_error, 0.0..=allowed);
    figures.expect(&format!("{name}.cosine"), comparison.cosine, 0.999..=1.0 + 1e-9);
    let condition = report.spectrum.and_then(|spectrum| spectrum.condition);
    figures.note(&format!("{name}.condition"), condition.unwrap_or(f64::NAN));
    figures.note(&format!("{name}.products"), report.applications as f64);
    Ok(())
}
