//! Several right-hand sides in lock-step.

use std::cell::Cell;

use burn_curvature::{
    ConjugateGradientConfig, Error, LinearOperator, LinearSolver, ParamSpace, ParamVector,
    SelfAdjoint, StopReason,
    errors::{OperatorError, VectorError},
    operator::{Diagonal, SymmetricDense},
};

use super::{check_report, conjugate_gradient, operator, x_of};
use crate::{
    TestBackend, assert_close, flat,
    oracle::{logarithmic, solve, with_spectrum},
    random::SplitMix64,
};

/// Counts batches and the vectors in them; `lost` products are dropped.
struct Batched<B: TestBackend> {
    inner: SymmetricDense<B>,
    batches: Cell<usize>,
    vectors: Cell<usize>,
    lost: usize,
}

impl<B: TestBackend> LinearOperator<B> for Batched<B> {
    fn domain(&self) -> &ParamSpace<B> {
        self.inner.domain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.inner.apply(vector)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        self.batches.set(self.batches.get() + 1);
        self.vectors.set(self.vectors.get() + vectors.len());
        let kept = &vectors[self.lost..];
        kept.iter().map(|vector| self.inner.apply(vector)).collect()
    }
}

impl<B: TestBackend> SelfAdjoint<B> for Batched<B> {}

fn batched<B: TestBackend>(inner: SymmetricDense<B>, lost: usize) -> Batched<B> {
    Batched { inner, batches: Cell::new(0), vectors: Cell::new(0), lost }
}

/// The same values as one by one, with as many batches as the slowest system has iterations.
fn lock_step<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for preconditioned in [false, true] {
            for reorthogonalization in [false, true] {
                let n = 30;
                let rows = with_spectrum(&logarithmic(1.0, 100.0, n), 5);
                let mut all: Vec<Vec<f64>> =
                    (0..4).map(|seed| SplitMix64::new(seed).normals(n)).collect();
                all.push(vec![0.0; n]);
                all.push(rows.iter().map(|row| row[3]).collect());
                let rhs: Vec<_> = all.iter().map(|b| flat::<B>(b, precision)).collect();
                let inverse: Vec<f64> = (0..n).map(|i| 1.0 / rows[i][i]).collect();
                let inverse = Diagonal::new(rhs[0].space().vector(&inverse).unwrap()).unwrap();
                let inverse = preconditioned.then_some(&inverse as &dyn SelfAdjoint<B>);
                let solver = conjugate_gradient(1e-4)
                    .with_residual_replacement(Some(7))
                    .with_reorthogonalization(reorthogonalization)
                    .init()
                    .unwrap();
                let a = batched(operator(&rows, rhs[0].space()), 0);
                let together = solver.solve_many_with(&a, &rhs, inverse).unwrap();
                assert_eq!(together.len(), all.len());
                let mut slowest = 0;
                let mut steps = 0;
                for ((solution, b), rhs) in together.iter().zip(&all).zip(&rhs) {
                    let options = match inverse {
                        Some(inverse) => {
                            burn_curvature::SolveOptions::new().with_preconditioner(inverse)
                        }
                        None => burn_curvature::SolveOptions::new(),
                    };
                    let alone = solver.solve_with(&a, rhs, options).unwrap();
                    assert_eq!(solution.report.stop, StopReason::Converged);
                    assert_eq!(solution.report, alone.report);
                    assert_eq!(x_of(solution), x_of(&alone));
                    if b.iter().any(|b| *b != 0.0) {
                        assert_close(&x_of(solution), &solve(&rows, b), 1e-2);
                    }
                    check_report(&solution.report, &rows, &x_of(solution), b);
                    slowest = slowest.max(solution.report.iterations);
                    steps += solution.report.iterations;
                }
                assert!(slowest > 8);
                assert_eq!((a.batches.get(), a.vectors.get()), (slowest, steps));
            }
        }
    }
}
on_backends!(lock_step: ndarray, flex, dispatch);

/// Other stop reasons side by side, no systems at all, and broken contracts.
fn lock_step_contracts<B: TestBackend>() {
    let precision = B::PRECISIONS[0];
    let solver = ConjugateGradientConfig::new().init().unwrap();
    let b = flat::<B>(&[1.0, 0.0, 0.0], precision);
    let a = Diagonal::new(b.space().vector(&[2.0, -1.0, 0.0]).unwrap()).unwrap();
    let rhs = [
        b.clone(),
        b.space().vector(&[0.0, 1.0, 0.0]).unwrap(),
        b.space().vector(&[0.0, 0.0, 1.0]).unwrap(),
    ];
    let solutions = solver.solve_many(&a, &rhs).unwrap();
    let stops: Vec<_> = solutions.iter().map(|s| s.report.stop).collect();
    let expected = [StopReason::Converged, StopReason::NegativeCurvature, StopReason::Breakdown];
    assert_eq!(stops, expected);
    assert!(solutions[1].negative_curvature.is_some());
    assert!(solver.solve_many(&a, &[] as &[ParamVector<B>]).unwrap().is_empty());

    let longer = [b.clone(), flat::<B>(&[1.0; 4], precision)];
    let refused = solver.solve_many(&a, &longer).unwrap_err();
    assert!(matches!(refused.downcast_ref(), Some(VectorError::LayoutMismatch { .. })));
    let bad = [b.clone(), b.space().full(f64::NAN)];
    let refused = solver.solve_many(&a, &bad).unwrap_err();
    assert!(matches!(refused.downcast_ref(), Some(VectorError::NonFinite { .. })));
    let rows = with_spectrum(&[1.0, 2.0, 3.0], 1);
    let losing = batched(operator(&rows, b.space()), 1);
    let both = [b.clone(), b.space().ones()];
    let refused = LinearSolver::solve_many(&solver, &losing, &both).unwrap_err();
    assert_eq!(
        refused.downcast_ref(),
        Some(&OperatorError::ProductCount { expected: 2, found: 1 })
    );
}
on_backends!(lock_step_contracts: ndarray, flex, dispatch);
