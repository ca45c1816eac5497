//! Several systems with one A in lock-step: one batched product and one transfer per iteration for all of them.

use std::ops::ControlFlow;

use burn_backend::AutodiffBackend;

use super::{
    super::{ConjugateGradientConfig, seen::Seen},
    Next, Run,
    step::{Descent, Step},
};
use crate::{
    error::Error,
    krylov::expect_one_each,
    operator::SelfAdjoint,
    solver::{Solution, SolveOptions, start::begin, system::System},
    space::{DeviceScalar, ParamVector},
};

/// A system that is not solved yet, with its place among the right-hand sides.
type Active<'a, 'o, B> = (usize, Box<Run<'a, 'o, B>>, Box<Descent<B>>);

/// Solves A x = b for every b.
pub(in super::super) fn solve_many<B: AutodiffBackend>(
    config: &ConjugateGradientConfig,
    operator: &dyn SelfAdjoint<B>,
    rhs: &[ParamVector<B>],
    preconditioner: Option<&dyn SelfAdjoint<B>>,
) -> Result<Vec<Solution<B>>, Error> {
    let systems = rhs.iter().map(|b| System::new(operator, b));
    let systems: Vec<_> = systems.collect::<Result<_, _>>()?;
    let mut solved: Vec<Option<Solution<B>>> = vec![None; rhs.len()];
    let mut opened = Vec::with_capacity(rhs.len());
    for (place, system) in systems.iter().enumerate() {
        let (x, r, start) = begin(system, &mut SolveOptions::new())?;
        let run = Run::new(config, system, &start, preconditioner, None);
        opened.push((place, run.open(x, r)?));
    }
    let mut active = sort(opened, &mut solved);
    while !active.is_empty() {
        let advanced = advance(operator, active)?;
        active = sort(advanced, &mut solved);
    }
    Ok(solved.into_iter().flatten().collect())
}

/// Puts away what is solved, and keeps the rest.
fn sort<'a, 'o, B: AutodiffBackend>(
    systems: Vec<(usize, Next<'a, 'o, B>)>,
    solved: &mut [Option<Solution<B>>],
) -> Vec<Active<'a, 'o, B>> {
    let mut active = Vec::with_capacity(systems.len());
    for (place, next) in systems {
        match next {
            Next::Again(run, descent) => active.push((place, run, descent)),
            Next::Done(solution) => {
                if let Some(slot) = solved.get_mut(place) {
                    *slot = Some(*solution);
                }
            }
        }
    }
    active
}

/// One iteration of every system.
fn advance<'a, 'o, B: AutodiffBackend>(
    operator: &dyn SelfAdjoint<B>,
    active: Vec<Active<'a, 'o, B>>,
) -> Result<Vec<(usize, Next<'a, 'o, B>)>, Error> {
    let directions: Vec<_> = active.iter().map(|(_, _, d)| d.p.clone()).collect();
    let products = operator.apply_many(&directions)?;
    expect_one_each(&directions, &products)?;
    drop(directions); // so that they can be worked on in place
    let mut stepped = Vec::with_capacity(active.len());
    for ((place, run, descent), product) in active.into_iter().zip(products) {
        run.system.count(1);
        descent.p.expect_like(&product)?;
        let curvature = descent.p.dot_device(&product)?;
        let step = run.measure(*descent, (product, curvature))?;
        stepped.push((place, run, step));
    }
    let seen = read(stepped.iter().map(|(_, _, step)| step))?;
    let mut advanced = Vec::with_capacity(stepped.len());
    for ((place, mut run, step), seen) in stepped.into_iter().zip(seen) {
        let next = match run.take(step, &seen)? {
            ControlFlow::Continue(descent) => Next::Again(run, Box::new(descent)),
            ControlFlow::Break((x, end)) => run.conclude(x, end)?,
        };
        advanced.push((place, next));
    }
    Ok(advanced)
}

/// The numbers of all steps in one transfer.
fn read<'s, B: AutodiffBackend>(
    steps: impl Iterator<Item = &'s Step<B>>,
) -> Result<Vec<Seen>, Error> {
    let scalars: Vec<&DeviceScalar<B>> = steps.flat_map(Step::scalars).collect();
    let read = DeviceScalar::read_many(&scalars)?;
    Ok(read.chunks(Seen::COUNT).map(Seen::from_slice).collect())
}
