//! Inverses as operators.

use burn_curvature::{
    ConjugateGradientConfig, DirectConfig, LinearOperator, LinearSolver, Precision, SolveOptions,
    StopReason,
    errors::SolverError,
    materialize,
    operator::check_self_adjoint,
    solver::{Inverse, Method, OnFailedSolve},
};

use super::{conjugate_gradient, diagonal_rows, operator, tight};
use crate::{
    TestBackend, assert_close, flat,
    oracle::{logarithmic, solve, with_spectrum},
    random::SplitMix64,
};

/// A⁻¹ as an operator: the inverse matrix, with the last report at hand; a failing solve is refused or accepted.
fn inverses<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let rows = with_spectrum(&logarithmic(0.5, 8.0, 9), 4);
        let b = SplitMix64::new(6).normals(9);
        let rhs = flat::<B>(&b, precision);
        let a = operator(&rows, rhs.space());
        let solvers: Vec<Box<dyn LinearSolver<B>>> = vec![
            Box::new(DirectConfig::new().init().unwrap()),
            Box::new(conjugate_gradient(tight(precision)).init().unwrap()),
        ];
        for solver in &solvers {
            let inverse = Inverse::new(&a, solver).unwrap();
            assert_eq!(inverse.last_report(), None);
            let x = inverse.apply(&rhs).unwrap().to_vec().unwrap();
            assert_close(&x, &solve(&rows, &b), 100.0 * tight(precision));
            let report = inverse.last_report().unwrap();
            assert!(report.stop.is_success());
            assert_eq!(inverse.applications(), report.applications);
            check_self_adjoint(&inverse, 2).unwrap();
            let identity = (&a).times(&inverse).unwrap();
            let found = materialize(&identity).unwrap();
            let one = diagonal_rows(&[1.0; 9]).concat();
            assert_close(found.values(), &one, 100.0 * tight(precision));
            assert!(inverse.applications() > report.applications);
            let many = inverse.apply_many(&[rhs.clone(), rhs.clone().scale(2.0)]).unwrap();
            assert_close(&many[0].to_vec().unwrap(), &x, 10.0 * tight(precision));
        }
        let short = || {
            let config = ConjugateGradientConfig::new().with_max_iterations(Some(2));
            Inverse::new(&a, config.init().unwrap()).unwrap()
        };
        let refusing = short();
        let refused = refusing.apply(&rhs).unwrap_err();
        let Some(SolverError::Unsolved { method, stop, relative_residual }) =
            refused.downcast_ref()
        else {
            panic!("{refused}")
        };
        assert_eq!((*method, *stop), (Method::ConjugateGradient, StopReason::IterationLimit));
        assert!(*relative_residual > 1e-5);
        assert_eq!(refusing.last_report().unwrap().stop, StopReason::IterationLimit);
        let accepting = short().accepting(OnFailedSolve::Accept);
        assert!(accepting.apply(&rhs).is_ok());
        assert_eq!(accepting.last_report().unwrap().iterations, 2);
        // As a preconditioner: the inverse of something simpler.
        let simple = Inverse::new(&a, DirectConfig::new().init().unwrap()).unwrap();
        let options = SolveOptions::new().with_preconditioner(&simple);
        let solver = conjugate_gradient(tight(precision)).init().unwrap();
        let report = solver.solve_with(&a, &rhs, options).unwrap().report;
        assert_eq!(report.stop, StopReason::Converged);
        assert!(report.iterations <= 2);
        assert!(inverse_of_wrong_layout(&simple, precision));
    }
}
on_backends!(inverses: ndarray, flex, dispatch);

fn inverse_of_wrong_layout<B: TestBackend>(
    inverse: &dyn LinearOperator<B>,
    precision: Precision,
) -> bool {
    inverse.apply(&flat::<B>(&[1.0; 3], precision)).is_err()
}
