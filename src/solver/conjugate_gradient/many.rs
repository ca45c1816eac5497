//! Several systems with one A in lock-step: one batched product and one transfer per iteration for all of them.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    operator::{SelfAdjoint, expect_one_each},
    solver::{Solution, SolveOptions, system::System},
    space::{DeviceScalar, ParamVector},
};

use super::{
    ConjugateGradientConfig,
    run::{Next, Run},
    trial::Iterate,
};

/// A system that is not solved yet, with its place among the right-hand sides.
type Active<'a, 'o, B> = (usize, Run<'a, 'o, B>, Iterate<B>);

/// Solves A x = b for every b.
pub(super) fn solve_many<B: AutodiffBackend>(
    config: &ConjugateGradientConfig,
    operator: &dyn SelfAdjoint<B>,
    rhs: &[ParamVector<B>],
    preconditioner: Option<&dyn SelfAdjoint<B>>,
) -> Result<Vec<Solution<B>>, Error> {
    let systems = rhs.iter().map(|b| System::with_units(operator, b));
    let systems: Vec<_> = systems.collect::<Result<_, _>>()?;
    let mut solutions: Vec<Option<Solution<B>>> = vec![None; rhs.len()];
    let mut runs = Vec::with_capacity(rhs.len());
    for (place, system) in systems.iter().enumerate() {
        let options = SolveOptions::preconditioned(preconditioner);
        let (run, next) = Run::start(config, system, options)?;
        runs.push((place, run, next));
    }
    loop {
        let mut active = Vec::with_capacity(runs.len());
        for (place, run, next) in runs {
            match next {
                Next::Descend(iterate) => active.push((place, run, iterate)),
                Next::Stop(x, reason) => {
                    let solution = run.finish(x, reason)?;
                    if let Some(slot) = solutions.get_mut(place) {
                        *slot = Some(solution);
                    }
                }
            }
        }
        if active.is_empty() {
            return Ok(solutions.into_iter().flatten().collect());
        }
        runs = step(operator, active)?;
    }
}

/// One iteration of every system.
#[allow(clippy::type_complexity)]
fn step<'a, 'o, B: AutodiffBackend>(
    operator: &dyn SelfAdjoint<B>,
    active: Vec<Active<'a, 'o, B>>,
) -> Result<Vec<(usize, Run<'a, 'o, B>, Next<B>)>, Error> {
    let directions: Vec<_> = active.iter().map(|(_, _, iterate)| iterate.p.clone()).collect();
    let products = operator.apply_many(&directions)?;
    expect_one_each(&directions, &products)?;
    drop(directions); // so that they can be worked on in place
    let mut trials = Vec::with_capacity(active.len());
    for ((place, run, iterate), product) in active.into_iter().zip(products) {
        run.system.count(1);
        let product = run.system.take(product)?;
        let curvature = iterate.p.dot_device(&product)?;
        let trial = run.descend(iterate, (product, curvature))?;
        trials.push((place, run, trial));
    }
    let unread: Vec<_> = trials.iter().flat_map(|(_, _, trial)| trial.unread()).collect();
    let mut values = DeviceScalar::read_many(&unread)?.into_iter(); // the one read-back
    drop(unread);
    let stepped = trials.into_iter().map(|(place, mut run, trial)| {
        let scalars = trial.scalars(&mut values);
        let next = run.step(trial, &scalars)?;
        Ok((place, run, next))
    });
    stepped.collect()
}
