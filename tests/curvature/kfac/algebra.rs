//! Inverses, damping, traces and determinants, and what they are good for.

use burn::{
    prelude::*,
    tensor::activation::{sigmoid, tanh},
};
use burn_curvature::{
    ConjugateGradientConfig, GaussNewton, Kfac, KfacConfig, KroneckerFactor, Likelihood,
    LinearOperator, Objective, ParamVector, Reduction, SolveOptions, StopReason,
};

use super::{
    super::{B, classifier, product, relative_error},
    Deep, GAUSSIAN, dense, device, random, squared,
};

#[test]
fn inverses_undo_the_damped_operator() {
    let objective = classifier(1, 8);
    let (kfac, matrix) = dense(&objective);
    let v = objective.parameters().normal_like(2).unwrap();
    for damping in [1e-3, 0.1, 10.0] {
        let inverse = kfac.inverse(damping).unwrap();
        let back = inverse
            .apply(&kfac.apply(&v).unwrap().axpy(damping, &v).unwrap())
            .unwrap();
        assert!(relative_error(&back, &v) < 1e-10);
        let determinant = kfac.log_determinant(damping).unwrap();
        let eigenvalues = burn_curvature::DenseMatrix::from_rows(&matrix)
            .unwrap()
            .eigenvalues()
            .unwrap();
        let expected: f64 = eigenvalues.iter().map(|value| (value + damping).ln()).sum();
        assert!(
            (determinant - expected).abs() < 1e-8,
            "{determinant}, {expected}"
        );
    }
    let root = kfac.square_root().unwrap();
    let twice = root.apply(&root.apply(&v).unwrap()).unwrap();
    assert!(relative_error(&twice, &kfac.apply(&v).unwrap()) < 1e-10);
    let trace: f64 = (0..matrix.len()).map(|i| matrix[i][i]).sum();
    assert!((kfac.trace().unwrap() - trace).abs() < 1e-12);
    let square: f64 = matrix.iter().flatten().map(|x| x * x).sum();
    assert!((kfac.frobenius_norm().unwrap() - square.sqrt()).abs() < 1e-12);
}

/// (A + π√λ I) V (G + √λ/π I) undoes the factored inverse, by A and G from the saved state.
#[test]
fn factored_damping_is_the_paper_s() {
    let model = Deep::new(&[3, 2], false);
    let objective = squared(&model, random([5, 3], 1), Reduction::Mean, |model, x| {
        model.forward(x)
    });
    let kfac = Kfac::new(&objective, GAUSSIAN, Reduction::Mean, &KfacConfig::new()).unwrap();
    let layer = kfac.layers().unwrap().next().unwrap();
    let matrix = |factor: KroneckerFactor<'_>| -> Vec<Vec<f64>> {
        let matrix = factor.matrix(0).unwrap();
        let rows = matrix.values().chunks(matrix.columns());
        rows.map(<[f64]>::to_vec).collect()
    };
    let (mut a, mut g) = (matrix(layer.input()), matrix(layer.output()));
    let trace = |m: &[Vec<f64>]| (0..m.len()).map(|i| m[i][i]).sum::<f64>() / m.len() as f64;
    let (damping, pi) = (0.3_f64, (trace(&a) / trace(&g)).sqrt());
    assert!(
        (pi - 1.0).abs() > 0.05,
        "this test needs unequal traces: {pi}"
    );
    assert!((layer.balance()[0] - pi).abs() < 1e-14);
    (0..3).for_each(|i| a[i][i] += pi * damping.sqrt());
    (0..2).for_each(|i| g[i][i] += damping.sqrt() / pi);
    let v = objective.parameters().normal_like(3).unwrap();
    let w = kfac
        .factored_inverse(damping)
        .unwrap()
        .apply(&v)
        .unwrap()
        .to_vec()
        .unwrap();
    let w: Vec<Vec<f64>> = w.chunks(2).map(<[f64]>::to_vec).collect();
    let back = product(&product(&a, &w), &g).concat();
    let back = v.from_vec_like(&back).unwrap();
    assert!(relative_error(&back, &v) < 1e-12);
}

#[test]
fn the_balance_of_damping_helps_badly_scaled_factors() {
    let model = Deep::new(&[4, 3], false);
    // G a thousandth of A: the likelihood's variance.
    let likelihood = Likelihood::Gaussian { variance: 1e3 };
    let objective = squared(&model, random([6, 4], 1), Reduction::Mean, |model, x| {
        model.forward(x)
    });
    let kfac = Kfac::new(&objective, likelihood, Reduction::Mean, &KfacConfig::new()).unwrap();
    let v = objective.parameters().normal_like(3).unwrap();
    let damping = 1e-4;
    let exact = kfac.inverse(damping).unwrap().apply(&v).unwrap();
    let factored = kfac.factored_inverse(damping).unwrap().apply(&v).unwrap();
    // Without the balance: (A + √λ I)⁻¹ ⊗ (G + √λ I)⁻¹, where G = 1e-3 I.
    let layer = kfac.layers().unwrap().next().unwrap();
    let a = layer.input();
    let a: Vec<&[f64]> = a.values().chunks(4).collect();
    let root = f64::sqrt(damping);
    let numbers = v.to_vec().unwrap();
    let damped: Vec<Vec<f64>> = (0..4)
        .map(|i| {
            (0..4)
                .map(|j| a[i][j] + if i == j { root } else { 0.0 })
                .collect()
        })
        .collect();
    let columns = (0..3).map(|column| {
        let rhs: Vec<f64> = (0..4).map(|row| numbers[3 * row + column]).collect();
        solve(&damped, &rhs)
    });
    let columns: Vec<Vec<f64>> = columns.collect();
    let plain: Vec<f64> = (0..12)
        .map(|at| columns[at % 3][at / 3] / (1e-3 + root))
        .collect();
    let plain = v.from_vec_like(&plain).unwrap();
    let (with, without) = (
        relative_error(&factored, &exact),
        relative_error(&plain, &exact),
    );
    assert!(with < 0.7 * without, "{with} with, {without} without");
}

/// A x = b by Gaussian elimination, for a positive definite A.
fn solve(a: &[Vec<f64>], b: &[f64]) -> Vec<f64> {
    let n = b.len();
    let mut rows: Vec<Vec<f64>> = a
        .iter()
        .zip(b)
        .map(|(row, b)| row.iter().copied().chain([*b]).collect())
        .collect();
    for k in 0..n {
        for i in 0..n {
            if i != k {
                let factor = rows[i][k] / rows[k][k];
                let pivot = rows[k].clone();
                rows[i]
                    .iter_mut()
                    .zip(pivot)
                    .for_each(|(x, p)| *x -= factor * p);
            }
        }
    }
    (0..n).map(|i| rows[i][n] / rows[i][i]).collect()
}

#[test]
fn a_sigmoid_may_be_written_as_a_hyperbolic_tangent() {
    let model = Deep::new(&[3, 4, 2], true);
    let x = random([5, 3], 1);
    let one = squared(&model, x.clone(), Reduction::Mean, |model: &Deep, x| {
        model.layers[1].forward(sigmoid(model.layers[0].forward(x)))
    });
    let other = squared(&model, x, Reduction::Mean, |model: &Deep, x| {
        let half = tanh(model.layers[0].forward(x) * 0.5);
        model.layers[1].forward((half + 1.0) * 0.5)
    });
    let step = |objective: &Objective<B>| -> ParamVector<B> {
        let kfac = Kfac::new(objective, GAUSSIAN, Reduction::Mean, &KfacConfig::new()).unwrap();
        kfac.inverse(1e-2)
            .unwrap()
            .apply(&objective.gradient().unwrap())
            .unwrap()
    };
    assert!(relative_error(&step(&one), &step(&other)) < 1e-9);
}

/// Least squares with features of very different sizes: the factors are exact and nothing is between layers, so that the
/// preconditioned matrix is the identity.
#[test]
fn it_preconditions_conjugate_gradients() {
    let model = Deep::new(&[6, 4], true);
    let scales = Tensor::<1>::from_floats([0.3, 1.0, 3.0, 10.0, 30.0, 100.0], &device());
    let x = random([30, 6], 4) * scales.unsqueeze::<2>();
    let objective = squared(&model, x, Reduction::Mean, |model, x| model.forward(x));
    let damping = 1e-3;
    let newton = GaussNewton::new(&objective)
        .unwrap()
        .damped(damping)
        .unwrap();
    let solver = ConjugateGradientConfig::new()
        .with_relative_tolerance(1e-8)
        .init()
        .unwrap();
    let kfac = Kfac::new(&objective, GAUSSIAN, Reduction::Mean, &KfacConfig::new()).unwrap();
    let inverse = kfac.inverse(damping).unwrap();
    for seed in 0..3 {
        let rhs = objective.parameters().normal_like(seed).unwrap();
        let plain = solver.solve(&newton, &rhs).unwrap().report;
        assert_eq!(plain.stop, StopReason::Converged);
        let options = SolveOptions::new().with_preconditioner(&inverse);
        let helped = solver.solve_with(&newton, &rhs, options).unwrap().report;
        assert_eq!(helped.stop, StopReason::Converged);
        assert!(helped.iterations <= 2, "{helped}");
        assert!(plain.iterations > 4, "{plain}");
    }
}
