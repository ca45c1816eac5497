//! Curvature over mini-batches: against the whole set in one batch, a stream, the Fisher matrix, other memory budgets; and
//! K-FAC as a preconditioner.

use burn_curvature::{
    ConjugateGradientConfig, Error, Fisher, GaussNewton, KfacConfig, Likelihood, LinearOperator,
    LinearSolver, Objective, ParamVector, Reduction, Solution, SolveOptions, StopReason,
    kfac::KfacFisher,
};

use crate::{
    Outcome,
    figures::Figures,
    trained::{Training, loss},
};

const BATCH: usize = 100;
const DAMPING: f64 = 1e-2;
const LITTLE_DAMPING: f64 = 1e-4;

#[test]
#[ignore = "takes a while, see main.rs"]
fn data_set() -> Outcome {
    let training = Training { hidden: 24, steps: 120, learning_rate: 0.02, weight_decay: None };
    let trained = training.run()?;
    let batches = trained.batches(BATCH);
    let objective = Objective::capture(&trained.model, batches[0].clone(), loss)?;
    let risk = objective.over(batches.clone(), Reduction::Mean)?;
    let mut figures = Figures::default();

    let whole = objective.on(trained.batch)?;
    let (x, y) = (solve(&risk)?, solve(&whole)?);
    println!("\n[(G + {DAMPING}·I)⁻¹g over batches]\n{}", x.report);
    figures.expect("batches_and_whole.difference", difference(&x.x, &y.x)?, 0.0..=1e-3);

    let stream = objective
        .over_stream(Reduction::Mean, move |visit| batches.iter().cloned().try_for_each(visit))?;
    let streamed = GaussNewton::new(&stream)?.apply(&x.x)?;
    let held = GaussNewton::new(&risk)?.apply(&x.x)?;
    figures.expect("stream_and_held.difference", difference(&streamed, &held)?, 0.0..=1e-6);
    let fisher = Fisher::exact(&risk, Likelihood::Categorical)?;
    let fisher = difference(&fisher.apply(&x.x)?, &held)?;
    figures.expect("fisher_and_gauss_newton.difference", fisher, 0.0..=1e-4);

    compare_budgets(&risk, &x.x, &mut figures)?;
    precondition(&risk, &mut figures)?;
    assert!(figures.print());
    Ok(())
}

fn solve(risk: &Objective) -> Result<Solution, Error> {
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-5).init()?;
    solver.solve(&GaussNewton::new(risk)?.damped(DAMPING)?, &risk.gradient()?)
}

/// ‖a − b‖ / ‖b‖
fn difference(a: &ParamVector, b: &ParamVector) -> Result<f64, Error> {
    Ok(a.clone().sub(b)?.norm()? / b.norm()?)
}

/// The same product with none, half and all of what does not depend on the vector cached.
fn compare_budgets(risk: &Objective, v: &ParamVector, figures: &mut Figures) -> Outcome {
    let whole = GaussNewton::new(&risk.with_memory_budget(usize::MAX))?;
    whole.prepare()?;
    let (all, expected) = (whole.kept_bytes(), whole.apply(v)?);
    for budget in [0, all / 2, all] {
        let newton = GaussNewton::new(&risk.with_memory_budget(budget))?;
        newton.prepare()?;
        newton.apply(v)?;
        let error = difference(&newton.apply(v)?, &expected)?;
        figures.expect("budget.difference", error, 0.0..=0.0);
    }
    Ok(())
}

/// A solve with little damping, without and with K-FAC as preconditioner.
fn precondition(risk: &Objective, figures: &mut Figures) -> Outcome {
    let config = KfacConfig::new().with_fisher(KfacFisher::Exact);
    let kfac = config.init(risk, Likelihood::Categorical)?;
    println!("\n{}", kfac.coverage());
    let inverse = kfac.inverse(LITTLE_DAMPING)?;
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-4).init()?;
    let newton = GaussNewton::new(risk)?.damped(LITTLE_DAMPING)?;
    let gradient = risk.gradient()?;
    let preconditioned = SolveOptions::new().with_preconditioner(&inverse);
    for (name, options) in [("plain", SolveOptions::new()), ("kfac", preconditioned)] {
        let report = solver.solve_with(&newton, &gradient, options)?.report;
        println!("\n[(G + {LITTLE_DAMPING}·I)⁻¹g, {name}]\n{report}");
        let converged = f64::from(u8::from(report.stop == StopReason::Converged));
        figures.expect(&format!("{name}.converged"), converged, 1.0..=1.0);
        figures.note(&format!("{name}.iterations"), report.iterations as f64);
    }
    Ok(())
}
