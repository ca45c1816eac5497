//! Inverses, damping, traces and determinants, and what they are good for.

use burn::{
    module::Param,
    prelude::*,
    tensor::activation::{sigmoid, tanh},
};
use burn_curvature::{
    ConjugateGradientConfig, GaussNewton, Likelihood, LinearOperator, LinearSolver, Objective,
    ParamLayout, ParamSpace, ParamVector, Precision, Reduction, SolveOptions, StopReason,
    kfac::KroneckerFactor,
    materialize,
    operator::{BlockDiagonal, Kronecker},
};

use super::{
    super::{B, classifier, dense::product, relative_error, without_draws},
    Deep, GAUSSIAN, dense, device, random, squared,
};

#[test]
fn inverses_undo_the_damped_operator() {
    let objective = classifier(1, 8);
    let (kfac, matrix) = dense(&objective);
    let v = objective.parameters().space().normal(2);
    for damping in [1e-3, 0.1, 10.0] {
        let inverse = kfac.inverse(damping).unwrap();
        let back = inverse.apply(&kfac.apply(&v).unwrap().axpy(damping, &v).unwrap()).unwrap();
        assert!(relative_error(&back, &v) < 1e-10);
        let determinant = kfac.log_determinant(damping).unwrap();
        let eigenvalues = burn_curvature::operator::DenseMatrix::from_rows(&matrix)
            .unwrap()
            .eigenvalues()
            .unwrap();
        let expected: f64 = eigenvalues.iter().map(|value| (value + damping).ln()).sum();
        assert!((determinant - expected).abs() < 1e-8, "{determinant}, {expected}");
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
    let objective =
        squared(&model, random([5, 3], 1), Reduction::Mean, |model, x| model.forward(x));
    let kfac = without_draws().init(&objective, GAUSSIAN).unwrap();
    let layer = kfac.layers().first().unwrap();
    let matrix = |factor: &KroneckerFactor<B>| -> Vec<Vec<f64>> {
        let matrix = factor.matrix(0).unwrap().unwrap();
        let rows = matrix.values().chunks(matrix.columns());
        rows.map(<[f64]>::to_vec).collect()
    };
    let (mut a, mut g) = (matrix(layer.input()), matrix(layer.output()));
    let trace = |m: &[Vec<f64>]| (0..m.len()).map(|i| m[i][i]).sum::<f64>() / m.len() as f64;
    let (damping, pi) = (0.3_f64, (trace(&a) / trace(&g)).sqrt());
    assert!((pi - 1.0).abs() > 0.05, "this test needs unequal traces: {pi}");
    assert!((layer.balance().unwrap()[0] - pi).abs() < 1e-14);
    (0..3).for_each(|i| a[i][i] += pi * damping.sqrt());
    (0..2).for_each(|i| g[i][i] += damping.sqrt() / pi);
    let v = objective.parameters().space().normal(3);
    let w = kfac.factored_inverse(damping).unwrap().apply(&v).unwrap().to_vec().unwrap();
    let w: Vec<Vec<f64>> = w.chunks(2).map(<[f64]>::to_vec).collect();
    let back = product(&product(&a, &w), &g).concat();
    let back = v.space().vector(&back).unwrap();
    assert!(relative_error(&back, &v) < 1e-12);
}

/// Standard normal numbers.
fn normal<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    let layout = ParamLayout::from_shapes([("x", shape)]).unwrap();
    let space = ParamSpace::<B>::new(&layout, &Default::default(), Precision::F64).unwrap();
    let data = TensorData::new(space.normal(seed).to_vec().unwrap(), shape);
    Tensor::from_data(data.convert::<f32>(), &device())
}

/// Row H1: A and G/1e-3 second moments of 50 normal vectors of 20 and 10 numbers, λ = 1e-2. The factored inverse is .36
/// off the exact one by Frobenius with the balance π, and .84 without.
#[test]
fn the_balance_of_damping_helps_badly_scaled_factors() {
    let (samples, damping) = (50, 1e-2_f64);
    for seed in 0..5 {
        // z = x W V: the first layer's G is V Vᵀ / variance.
        let mut model = Deep::new(&[20, 10, samples], false);
        model.layers[1].weight = Param::from_tensor(normal([10, samples], 2 * seed));
        let x = normal([samples, 20], 2 * seed + 1);
        let objective = squared(&model, x, Reduction::Mean, |model, x| model.forward(x));
        let variance = 1e3 * samples as f64;
        let likelihood = Likelihood::Gaussian { variance };
        let kfac = without_draws().init(&objective, likelihood).unwrap();
        let layer = kfac.layers().first().unwrap();
        let [a, g] = [layer.input(), layer.output()]
            .map(|factor| factor.matrix(0).unwrap().unwrap().eigenvalues().unwrap());
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        assert!((mean(&a) - 1.0).abs() < 0.3 && (mean(&g) - 1e-3).abs() < 3e-4);

        let matrix = |map: BlockDiagonal<B, Kronecker<B>>| -> Vec<f64> {
            let own = map.part_of(layer.weight()).unwrap();
            materialize(own).unwrap().values().to_vec()
        };
        let exact = matrix(kfac.inverse(damping).unwrap());
        let factored = matrix(kfac.factored_inverse(damping).unwrap());
        let off = exact.iter().zip(&factored).map(|(e, f)| (e - f).powi(2));
        let square: f64 = exact.iter().map(|e| e * e).sum();
        let with = (off.sum::<f64>() / square).sqrt();

        // All three have the same eigenvectors.
        let root = damping.sqrt();
        let pairs = a.iter().flat_map(|a| g.iter().map(move |g| (a, g)));
        let off = pairs.map(|(a, g)| {
            let (exact, plain) = (a * g + damping, (a + root) * (g + root));
            (exact.recip() - plain.recip()).powi(2)
        });
        let without = (off.sum::<f64>() / square).sqrt();
        assert!((with - 0.36).abs() < 0.04, "seed {seed}: {with} with π");
        assert!((without - 0.84).abs() < 0.04, "seed {seed}: {without} without");
    }
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
        let kfac = without_draws().init(objective, GAUSSIAN).unwrap();
        kfac.inverse(1e-2).unwrap().apply(&objective.gradient().unwrap()).unwrap()
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
    let newton = GaussNewton::new(&objective).unwrap().damped(damping).unwrap();
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-8).init().unwrap();
    let kfac = without_draws().init(&objective, GAUSSIAN).unwrap();
    let inverse = kfac.inverse(damping).unwrap();
    for seed in 0..3 {
        let rhs = objective.parameters().space().normal(seed);
        let plain = solver.solve(&newton, &rhs).unwrap().report;
        assert_eq!(plain.stop, StopReason::Converged);
        let options = SolveOptions::new().with_preconditioner(&inverse);
        let helped = solver.solve_with(&newton, &rhs, options).unwrap().report;
        assert_eq!(helped.stop, StopReason::Converged);
        assert!(helped.iterations <= 2, "{helped}");
        assert!(plain.iterations > 4, "{plain}");
    }
}
