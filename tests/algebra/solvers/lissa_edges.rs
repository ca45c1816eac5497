//! LiSSA at its edges: zero, observers, several right-hand sides, and bad input.

use crate::failure::failure;
use burn_curvature::{
    Solution, SolveOptions, StopReason,
    errors::{SolverError, VectorError},
    operator::Mean,
    solver::{Iteration, LissaConfig, MethodDetail},
};

use super::lissa::{N, Problem, lissa};
use super::x_of;
use crate::{TestBackend, flat};

fn lissa_edges<B: TestBackend>() {
    let precision = B::PRECISIONS[0];
    let problem = Problem::new(3);
    let (operator, rhs) = problem.operator::<B>(precision);
    let solver = lissa(8.0, 200, 3, 1);
    let zero = solver.solve(&operator, &rhs.space().zeros()).unwrap();
    assert_eq!((zero.report.stop, x_of(&zero)), (StopReason::Converged, vec![0.0; N]));
    let mut seen = Vec::new();
    let mut observer =
        |at: &Iteration<'_, B>| seen.push((at.index, at.residual, at.x.to_vec().unwrap()));
    let options = SolveOptions::new().with_observer(&mut observer);
    let solution = solver.solve_with(&operator, &rhs, options).unwrap();
    assert_eq!(solution.report.applications, 4);
    assert_eq!(seen.iter().map(|seen| seen.0).collect::<Vec<_>>(), [1, 2, 3]);
    for (_, residual, x) in &seen {
        assert!((super::residual(&problem.rows, x, &problem.b) - residual).abs() < 1e-4);
    }
    assert_eq!(seen[2].2, x_of(&solution));

    let chosen = LissaConfig::new().with_depth(60).init().unwrap();
    let many = chosen.solve_many(&operator, &[rhs.clone(), rhs.clone()]).unwrap();
    assert_eq!(x_of(&many[0]), x_of(&many[1]));
    assert_eq!(x_of(&many[0]), x_of(&chosen.solve(&operator, &rhs).unwrap()));
    let products = |solution: &Solution<B>| match solution.report.detail {
        Some(MethodDetail::Lissa { term_products, .. }) => term_products,
        _ => 0,
    };
    assert!(products(&many[0]) > products(&many[1]) && products(&many[1]) == 240);

    let mut values = problem.b.clone();
    values[2] = f64::NAN;
    let bad = rhs.space().vector(&values).unwrap();
    let poisoned =
        Mean::new::<B>(vec![burn_curvature::operator::Diagonal::new(bad.clone()).unwrap()])
            .unwrap();
    let options = SolveOptions::new().with_initial_guess(bad.clone());
    for refused in [
        solver.solve(&operator, &bad),
        solver.solve_with(&operator, &rhs, options),
        solver.solve(&poisoned, &rhs),
        LissaConfig::new().init().unwrap().solve(&poisoned, &rhs),
    ] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused.downcast_ref(), Some(VectorError::NonFinite { .. })), "{refused}");
    }
    let options = SolveOptions::new().with_preconditioner(&operator);
    assert!(matches!(
        failure(&solver.solve_with(&operator, &rhs, options)),
        Some(SolverError::OptionRefused { .. })
    ));
    let longer = flat::<B>(&[1.0; 9], precision);
    assert!(matches!(
        failure(&solver.solve(&operator, &longer)),
        Some(VectorError::LayoutMismatch { .. })
    ));
    let nothing =
        Mean::new::<B>(vec![burn_curvature::operator::Diagonal::new(rhs.space().zeros()).unwrap()])
            .unwrap();
    let refused = LissaConfig::new().init().unwrap().solve(&nothing, &rhs);
    assert!(matches!(failure(&refused), Some(SolverError::NoScale { .. })), "{refused:?}");

    let field = |config: LissaConfig| config.init().unwrap_err().field;
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(field(LissaConfig::new().with_scale(Some(bad))), "scale");
        assert_eq!(field(LissaConfig::new().with_smallest(Some(bad))), "smallest");
    }
    assert_eq!(field(LissaConfig::new().with_depth(0)), "depth");
    assert_eq!(field(LissaConfig::new().with_repeats(0)), "repeats");
    let json = serde_json::to_string(solver.config()).unwrap();
    assert_eq!(serde_json::from_str::<LissaConfig>(&json).unwrap(), *solver.config());
}
on_backends!(lissa_edges: ndarray, flex, dispatch);
