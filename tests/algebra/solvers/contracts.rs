//! What solvers refuse, and configurations there and back.

use std::cell::Cell;

use crate::failure::failure;
use burn_curvature::{
    ConjugateGradientConfig, DirectConfig, Error, LinearOperator, LinearSolver, MinresConfig,
    NeumannConfig, ParamSpace, ParamVector, Precision, SelfAdjoint, Solution, SolveOptions,
    errors::{ConfigError, OperatorError, SolverError, VectorError},
    operator::{Diagonal, FromFn, Identity, LowRank},
    solver::{ConjugateGradient, DirectMethod, LissaConfig, NystromConfig, OnNegativeCurvature},
};

use super::x_of;
use crate::{TestBackend, assert_close, flat};

/// A failure of a user's own: no kind of this crate.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("the simulator stopped after {products} products")]
struct SimulatorStopped {
    products: usize,
}

/// An operator of a user's own, A = 2I, that fails after some products.
struct Simulator<B: TestBackend> {
    space: ParamSpace<B>,
    products: Cell<usize>,
    limit: usize,
}

impl<B: TestBackend> LinearOperator<B> for Simulator<B> {
    fn domain(&self) -> &ParamSpace<B> {
        &self.space
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let products = self.products.get();
        if products == self.limit {
            return Err(Error::new(SimulatorStopped { products }));
        }
        self.products.set(products + 1);
        Ok(vector.clone().scale(2.0))
    }
}

impl<B: TestBackend> SelfAdjoint<B> for Simulator<B> {}

/// A user's own operator fails with an error of its own, which comes back through the solver as it was.
fn own_errors<B: TestBackend>() {
    let b = flat::<B>(&[1.0, 2.0], B::PRECISIONS[0]);
    let solver = ConjugateGradientConfig::new().init().unwrap();
    let simulator = |limit| Simulator { space: b.space().clone(), products: Cell::new(0), limit };
    assert_close(&x_of(&solver.solve(&simulator(9), &b).unwrap()), &[0.5, 1.0], 1e-6);
    for limit in [0, 1] {
        let composed = simulator(limit).scaled(3.0).unwrap().damped(0.5).unwrap();
        let error = solver.solve(&composed, &b).unwrap_err();
        assert!(error.is::<SimulatorStopped>());
        assert_eq!(error.downcast_ref(), Some(&SimulatorStopped { products: limit }));
        assert!(error.downcast_ref::<SolverError>().is_none());
        assert_eq!(error.to_string(), format!("the simulator stopped after {limit} products"));
    }
}
on_backends!(own_errors: ndarray, flex, dispatch);

fn bad_input<B: TestBackend>() {
    let precision = B::PRECISIONS[0];
    let solver = ConjugateGradientConfig::new().init().unwrap();
    let b = flat::<B>(&[1.0, 2.0], precision);
    let identity = Identity::<B>::new(b.space()).unwrap();
    let longer = flat::<B>(&[1.0; 3], precision);
    let wrong = solver.solve(&identity, &longer);
    assert!(matches!(
        failure(&wrong),
        Some(VectorError::LayoutMismatch { expected: 2, found: 3, .. })
    ));
    let options = SolveOptions::new().with_initial_guess(longer);
    let wrong = solver.solve_with(&identity, &b, options);
    assert!(matches!(failure(&wrong), Some(VectorError::LayoutMismatch { .. })));

    let non_finite = |result: Result<Solution<B>, Error>, words: &str| match failure(&result) {
        Some(VectorError::NonFinite { what, .. }) => assert!(what.contains(words), "{what}"),
        _ => panic!("expected a non-finite vector, got {:?}", result.err()),
    };
    for poison in [f64::NAN, f64::INFINITY] {
        let bad = b.space().vector(&[1.0, poison]).unwrap();
        non_finite(solver.solve(&identity, &bad), "right-hand side");
        let options = SolveOptions::new().with_initial_guess(bad.clone());
        non_finite(solver.solve_with(&identity, &b, options), "initial guess");
        non_finite(solver.solve(&Diagonal::new(bad.clone()).unwrap(), &b), "product A p");
        let inverse = Diagonal::new(bad.clone()).unwrap();
        let options = SolveOptions::new().with_preconditioner(&inverse);
        non_finite(solver.solve_with(&Diagonal::new(b.clone()).unwrap(), &b, options), "p");
        let direct = DirectConfig::new().init().unwrap();
        non_finite(direct.solve(&identity, &bad), "right-hand side");
        let refused = direct.solve(&Diagonal::new(bad).unwrap(), &b).unwrap_err();
        assert!(matches!(refused.downcast_ref(), Some(OperatorError::NonFiniteEntry { .. })));
    }
    let tiny = flat::<B>(&[1e-25, 0.0], Precision::F32);
    let solution = solver.solve(&Identity::<B>::new(tiny.space()).unwrap(), &tiny).unwrap();
    assert_eq!(x_of(&solution), tiny.to_vec().unwrap()); // although its square is out of range
    let vector = tiny.space().ones();
    let sum = LowRank::mean_of(&[vector]).and_then(|mean| mean.with_damping(1.0)).unwrap();
    let lissa = LissaConfig::new().with_scale(Some(4.0)).init().unwrap();
    let refused = lissa.solve(&sum, &tiny).unwrap_err();
    assert!(
        matches!(refused.downcast_ref(), Some(SolverError::RightHandSideRange { .. })),
        "{refused}"
    );
    let negative = Diagonal::new(b.space().full(-1.0)).unwrap();
    let options = SolveOptions::new().with_preconditioner(&negative);
    let refused = solver.solve_with(&identity, &b, options).unwrap_err();
    assert!(
        matches!(refused.downcast_ref(), Some(SolverError::Preconditioner { found }) if *found < 0.0)
    );
    let failing = FromFn::new(b.space(), |v: &ParamVector<B>| {
        v.clone().add(&flat::<B>(&[1.0], v.precision())).map_err(Error::from)
    })
    .unwrap();
    let refused = solver.solve(&failing.assume_self_adjoint().unwrap(), &b);
    assert!(matches!(failure(&refused), Some(VectorError::LayoutMismatch { .. })));
}
on_backends!(bad_input: ndarray, flex, dispatch, wgpu);

fn configurations<B: TestBackend>() {
    let field = |result: Result<ConjugateGradient, ConfigError>| result.unwrap_err().field;
    let config = ConjugateGradientConfig::new;
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(field(config().with_relative_tolerance(bad).init()), "relative_tolerance");
    }
    assert_eq!(field(config().with_absolute_tolerance(-1e-9).init()), "absolute_tolerance");
    assert_eq!(field(config().with_max_iterations(Some(0)).init()), "max_iterations");
    assert_eq!(field(config().with_residual_replacement(Some(0)).init()), "residual_replacement");
    assert_eq!(field(config().with_stagnation_window(Some(0)).init()), "stagnation_window");
    for bad in [0.0, 1.0, f64::NAN] {
        assert_eq!(field(config().with_relative_progress(Some(bad)).init()), "relative_progress");
    }
    let direct = |config: DirectConfig| config.init().unwrap_err().to_string();
    assert!(direct(DirectConfig::new().with_max_size(0)).contains("max_size"));
    assert!(direct(DirectConfig::new().with_singular_below(Some(-1.0))).contains("singular_below"));
    assert!(
        direct(DirectConfig::new().with_symmetry_tolerance(f64::NAN))
            .contains("symmetry_tolerance")
    );

    let changed = config()
        .with_relative_tolerance(1e-7)
        .with_max_iterations(Some(17))
        .with_residual_replacement(None)
        .with_on_negative_curvature(OnNegativeCurvature::Continue)
        .with_relative_progress(Some(5e-4));
    let json = serde_json::to_string(&changed).unwrap();
    assert_eq!(serde_json::from_str::<ConjugateGradientConfig>(&json).unwrap(), changed);
    assert_eq!(*changed.init().unwrap().config(), changed);
    let changed =
        DirectConfig::new().with_method(DirectMethod::BunchKaufman).with_singular_below(Some(1e-9));
    let json = serde_json::to_string(&changed).unwrap();
    assert_eq!(serde_json::from_str::<DirectConfig>(&json).unwrap(), changed);
}
on_backends!(configurations: ndarray, flex, dispatch);

/// Solvers behind the trait, operators behind `dyn`.
fn as_trait_objects<B: TestBackend>() {
    let precision = B::PRECISIONS[0];
    let b = flat::<B>(&[2.0, 4.0], precision);
    let solvers: Vec<Box<dyn LinearSolver<B>>> = vec![
        Box::new(ConjugateGradientConfig::new().init().unwrap()),
        Box::new(DirectConfig::new().init().unwrap()),
        Box::new(MinresConfig::new().init().unwrap()),
        Box::new(NeumannConfig::new().init().unwrap()),
        Box::new(NystromConfig::new(2, 1.0).init().unwrap()),
    ];
    let boxed: Box<dyn SelfAdjoint<B>> =
        Box::new(Identity::<B>::new(b.space()).unwrap().scaled(2.0).unwrap());
    for solver in &solvers {
        let solution = solver.solve(&boxed, &b).unwrap();
        assert!(solution.report.stop.is_success());
        assert_close(&x_of(&solution), &[1.0, 2.0], 1e-6);
        let both = [b.clone(), b.clone().scale(3.0)];
        let solutions = solver.solve_many(&boxed, &both).unwrap();
        assert_eq!(solutions.len(), 2);
        assert_close(&x_of(&solutions[0]), &[1.0, 2.0], 1e-6);
        assert_close(&x_of(&solutions[1]), &[3.0, 6.0], 1e-6);
    }
}
on_backends!(as_trait_objects: ndarray, flex, dispatch);
