//! Bad input drawn at random for the public calls: a typed error each time, no panic, and the same hypergradient afterwards.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::prelude::*;
use burn_curvature::{
    ConjugateGradientConfig, Error, ParamSpace, ParamVector, Precision, SolveOptions,
    errors::{
        BatchError, CaptureError, ConfigError, ExecuteError, ImplicitError, ObjectiveError,
        VectorError,
    },
    implicit::{
        HyperObjective, ImamlConfig, ImplicitConfig, ImplicitFunction, InnerSolver, truncated,
    },
    operator::Diagonal,
};

use super::{
    imaml,
    world::{World, entries},
};
use crate::random::SplitMix64;

/// Whether an error is of a kind that says what is wrong with the input.
fn is_typed(error: &Error) -> bool {
    error.downcast_ref::<VectorError>().is_some()
        || error.downcast_ref::<ImplicitError>().is_some()
        || error.downcast_ref::<ObjectiveError>().is_some()
        || error.downcast_ref::<CaptureError>().is_some()
        || error.downcast_ref::<BatchError>().is_some()
        || error.downcast_ref::<ConfigError>().is_some()
        // The backend names the operation and the index, such as a class that is not there.
        || error.downcast_ref::<ExecuteError>().is_some()
}

fn expect_refused(story: &str, run: impl FnOnce() -> Result<(), Error>) {
    match catch_unwind(AssertUnwindSafe(run)) {
        Err(_) => panic!("{story}: a panic"),
        Ok(Ok(())) => panic!("{story}: accepted"),
        Ok(Err(error)) => assert!(is_typed(&error), "{story}: {error:?}"),
    }
}

/// A vector that does not fit into a space, and what is wrong with it.
fn spoiled(
    space: &ParamSpace,
    other: &ParamVector,
    numbers: &mut SplitMix64,
) -> (&'static str, ParamVector) {
    let spoiled = |value: f64, numbers: &mut SplitMix64| {
        let mut values = numbers.normals(space.len());
        values[numbers.below(space.len())] = value;
        space.vector(&values).unwrap()
    };
    let flat =
        |count: usize| ParamSpace::flat(count).map(|space: ParamSpace| space.ones()).unwrap();
    match numbers.below(6) {
        0 => ("of the other module", other.clone()),
        1 => ("too long", flat(space.len() + 1)),
        2 => ("of the same length and no module", flat(space.len())),
        3 => ("in f32", space.ones().cast(Precision::F32).unwrap()),
        4 => ("NaN", spoiled(f64::NAN, numbers)),
        _ => ("infinite", spoiled(f64::INFINITY, numbers)),
    }
}

/// One of the calls that take a vector of θ or of η; the others of a list are good.
fn call(
    function: &ImplicitFunction,
    outer: &HyperObjective,
    (of_theta, bad): (bool, ParamVector),
    which: usize,
) -> Result<(), Error> {
    let solver = ConjugateGradientConfig::new().init()?;
    let inner = function.inner();
    let good = if of_theta { inner.parameters() } else { inner.hyperparameters() };
    match (which, of_theta) {
        (0, true) => function.adjoint(&bad, &solver).map(drop),
        (1, true) => function.adjoints(&[good, bad], &solver).map(drop),
        (2, true) => {
            let options = SolveOptions::new().with_initial_guess(bad);
            function.hypergradient_with(outer, &solver, options).map(drop)
        }
        (3, true) => {
            let diagonal = Diagonal::new(bad.clone())?;
            let options = SolveOptions::new().with_preconditioner(&diagonal);
            function.hypergradient_with(outer, &solver, options).map(drop)
        }
        (4, true) => {
            let function = function.with_matrix(Diagonal::new(bad)?)?;
            function.adjoint(&good, &solver).map(drop)
        }
        (_, true) => inner.at(&bad, &inner.hyperparameters())?.gradient().map(drop),
        (0 | 1, false) => function.tangent(&bad, &solver).map(drop),
        (2 | 3, false) => function.tangents(&[bad, good], &solver).map(drop),
        (_, false) => inner.at(&inner.parameters(), &bad)?.gradient().map(drop),
    }
}

#[test]
fn bad_vectors_are_typed_errors_and_change_nothing() {
    for seed in 0..4 {
        let world = World::new(60 + seed, (8, 3));
        let (inner, outer) = world.captured(&world.minimizer(&world.eta)).unwrap();
        let function = ImplicitConfig::new().init(&inner).unwrap();
        let solver = ConjugateGradientConfig::new().init().unwrap();
        let before = function.hypergradient(&outer, &solver).unwrap();
        let mut numbers = SplitMix64::new(seed);
        let (theta, eta) = (inner.parameters(), inner.hyperparameters());
        for _ in 0..40 {
            let (of_theta, which) = (numbers.below(2) == 0, numbers.below(6));
            let (own, other) = if of_theta { (&theta, &eta) } else { (&eta, &theta) };
            let (what, bad) = spoiled(own.space(), other, &mut numbers);
            if (of_theta, what) == (false, "infinite") && which >= 4 {
                continue; // a weight σ(∞) = 1 is a good one
            }
            let story = format!("call {which} with a vector {what}, of θ: {of_theta}");
            expect_refused(&story, || call(&function, &outer, (of_theta, bad), which));
        }
        let after = function.hypergradient(&outer, &solver).unwrap();
        assert_eq!(entries(&after.gradient), entries(&before.gradient));
        assert_eq!(after.report, before.report);
        // No vectors are no work.
        assert!(function.adjoints(&[], &solver).unwrap().is_empty());
        assert!(function.tangents(&[], &solver).unwrap().is_empty());
    }
}

#[test]
fn bad_batches_and_inner_solvers_are_typed_errors() {
    let world = World::new(65, (8, 3));
    let (inner, outer) = world.captured(&world.minimizer(&world.eta)).unwrap();
    let device = Device::flex().autodiff();
    let (x, y) = world.training(&device);
    let batches = [
        (x.clone().narrow(1, 0, 2), y.clone()),
        (x.clone().slice(0..0), y.clone().slice(0..0)),
        (x.clone().narrow(0, 0, 5), y.clone()),
        // As many samples as there are weights is what this inner loss needs.
        (x.clone().narrow(0, 0, 5), y.clone().narrow(0, 0, 5)),
    ];
    for (index, batch) in batches.into_iter().enumerate() {
        expect_refused(&format!("batch {index}"), || inner.on(batch)?.gradient().map(drop));
    }
    let none: Vec<(Tensor<2>, Tensor<2>)> = Vec::new();
    expect_refused("no batches", || {
        inner.over(none, burn_curvature::Reduction::Mean)?.gradient().map(drop)
    });
    let descent = |steps, rate| InnerSolver::GradientDescent { steps, rate };
    let newton = |steps, gradient_norm| InnerSolver::NewtonCg { steps, gradient_norm };
    for solver in [
        descent(0, 0.1),
        descent(3, 0.0),
        descent(3, -1.0),
        descent(3, f64::NAN),
        descent(3, f64::INFINITY),
        descent(40, 1e30), // diverges
        newton(0, 1e-3),
        newton(5, -1.0),
        newton(5, f64::NAN),
    ] {
        expect_refused(&format!("{solver:?}"), || solver.minimize(&inner).map(drop));
    }
    for (steps, rate) in [(0, 0.1), (1, 0.0), (1, -0.1), (1, f64::NAN), (1, f64::INFINITY)] {
        assert!(truncated(steps, rate).is_err(), "{steps} {rate}");
    }
    for damping in [-1e-300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let config = ImplicitConfig::new().with_damping(damping);
        expect_refused(&format!("damping {damping}"), || config.init(&inner).map(drop));
    }
    // With a damping beside which nothing counts the minimizer does not move, and the direct part is all.
    let stiff = ImplicitConfig::new().with_damping(1e100).init(&inner).unwrap();
    let solver = ConjugateGradientConfig::new().init().unwrap();
    let found = stiff.hypergradient(&outer, &solver).unwrap();
    let indirect = found.gradient.sub(&found.direct).unwrap().norm().unwrap();
    assert!((1e-103..1e-97).contains(&indirect), "{indirect:e}");
}

#[test]
fn bad_tasks_are_typed_errors() {
    let objective = imaml::objective(66);
    let solver = ConjugateGradientConfig::new().init().unwrap();
    let meta = ImamlConfig::new(0.5).init(&objective).unwrap();
    let good = imaml::samples(1, 6);
    let before = meta.meta_gradient([(good.clone(), good.clone())], &solver).unwrap();
    let (x, y) = good.clone();
    let hole = Tensor::full([1, 1], f32::NAN, &x.device());
    let batches = [
        (x.clone().narrow(1, 0, 3), y.clone()),
        (x.clone().slice(0..0), y.clone().slice(0..0)),
        (x.clone(), y.clone().narrow(0, 0, 2)),
        (x.clone().slice_assign([1..2, 2..3], hole), y.clone()),
        (x, y + 7), // classes that are not there
    ];
    for (index, bad) in batches.into_iter().enumerate() {
        for tasks in [
            vec![(bad.clone(), good.clone())],
            vec![(good.clone(), bad.clone())],
            vec![(good.clone(), good.clone()), (bad.clone(), bad.clone())],
        ] {
            expect_refused(&format!("batch {index}"), || {
                meta.meta_gradient(tasks, &solver).map(drop)
            });
        }
    }
    let after = meta.meta_gradient([(good.clone(), good)], &solver).unwrap();
    assert_eq!(entries(&after.gradient), entries(&before.gradient));
}
