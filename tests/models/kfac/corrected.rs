//! EKFAC: the diagonal in K-FAC's eigenbases.

use burn::prelude::*;
use burn_curvature::{
    Ekfac, Fisher, Kfac, KfacConfig, Likelihood, LinearOperator, Objective, Reduction, SelfAdjoint,
    errors::KfacError,
    kfac::{BlockComparison, KfacApproximation, KfacFisher},
};

use super::{
    super::{B, classifier, relative_error, rows, samples, without_draws},
    Deep, GAUSSIAN, device, random, squared,
};

const LOSS: Likelihood = Likelihood::Categorical;

/// Block by block: relative error and ratio of traces.
fn compare(kfac: &Kfac<B>, other: &dyn SelfAdjoint<B>, exact: &Fisher<B>) -> Vec<(f64, f64, f64)> {
    let plain = kfac.compare_with(exact).unwrap();
    let (found, truth) = (rows(&other), rows(exact));
    let names: Vec<String> = plain.iter().map(|block| block.layer.clone()).collect();
    let blocks = kfac.domain().layout().blocks();
    let each = plain.iter().zip(names).map(|(block, name): (&BlockComparison, _)| {
        let stem = name.trim_end_matches("weight").to_string();
        let own: Vec<usize> = blocks
            .iter()
            .filter(|block| block.name().starts_with(&stem))
            .flat_map(|block| block.range())
            .collect();
        let (mut difference, mut whole, mut trace, mut true_trace) = (0.0, 0.0, 0.0, 0.0);
        for &i in &own {
            for &j in &own {
                difference += (found[i][j] - truth[i][j]).powi(2);
                whole += truth[i][j].powi(2);
            }
            trace += found[i][i];
            true_trace += truth[i][i];
        }
        (block.relative_error, f64::sqrt(difference / whole), trace / true_trace)
    });
    each.collect()
}

#[test]
fn its_error_is_below_that_of_kfac_in_every_layer_and_its_trace_exact() {
    for seed in 0..4 {
        let objective = classifier(seed, 20);
        let config = without_draws();
        let kfac = config.init(&objective, LOSS).unwrap();
        let ekfac = Ekfac::from_kfac(&kfac, &objective, LOSS, &config).unwrap();
        let exact = Fisher::exact(&objective, LOSS).unwrap();
        let blocks = compare(&kfac, &ekfac, &exact);
        assert_eq!(blocks.len(), 2);
        for (plain, corrected, trace) in blocks {
            assert!(corrected < plain, "{corrected} and {plain}");
            assert!((trace - 1.0).abs() < 1e-10, "{trace}");
        }
    }
}

#[test]
fn places_are_summed_before_squares_are_taken() {
    let model = Deep::new(&[3, 4, 2], true);
    let objective = squared(&model, random([5, 6, 3], 8), Reduction::Sum, |model, x: Tensor<3>| {
        let z: Tensor<2> = model.forward(x.tanh()).mean_dim(1).squeeze_dim(1);
        z
    });
    let config = without_draws();
    let kfac = config.init(&objective, GAUSSIAN).unwrap();
    let exact = Fisher::exact(&objective, GAUSSIAN).unwrap();
    for approximation in [KfacApproximation::Expand, KfacApproximation::Reduce] {
        let config = config.with_approximation(approximation);
        let ekfac = config.init_ekfac(&objective, GAUSSIAN).unwrap();
        for (_, _, trace) in compare(&kfac, &ekfac, &exact) {
            // Of a deep linear network with pooled outputs both see the sums over places.
            assert!((trace - 1.0).abs() < 1e-10, "{approximation:?}: {trace}");
        }
    }
}

#[test]
fn its_functions_are_those_of_the_dense_matrix() {
    let objective = classifier(1, 8);
    let ekfac = without_draws().init_ekfac(&objective, LOSS).unwrap();
    let matrix = rows(&ekfac);
    let v = objective.parameters().space().normal(2);
    let damping = 0.1;
    let damped = ekfac.apply(&v).unwrap().axpy(damping, &v).unwrap();
    let back = ekfac.inverse(damping).unwrap().apply(&damped).unwrap();
    assert!(relative_error(&back, &v) < 1e-10);
    let root = ekfac.square_root().unwrap();
    let twice = root.apply(&root.apply(&v).unwrap()).unwrap();
    assert!(relative_error(&twice, &ekfac.apply(&v).unwrap()) < 1e-10);
    let trace: f64 = (0..matrix.len()).map(|i| matrix[i][i]).sum();
    assert!((ekfac.trace().unwrap() - trace).abs() < 1e-12);
    let square: f64 = matrix.iter().flatten().map(|x| x * x).sum();
    assert!((ekfac.frobenius_norm().unwrap() - square.sqrt()).abs() < 1e-12);
    let matrix = burn_curvature::operator::DenseMatrix::from_rows(&matrix).unwrap();
    let eigenvalues = matrix.eigenvalues().unwrap();
    let expected: f64 = eigenvalues.iter().map(|value| (value + damping).ln()).sum();
    assert!((ekfac.log_determinant(damping).unwrap() - expected).abs() < 1e-8);
}

#[test]
fn the_diagonal_is_averaged_in_the_bases_that_are_kept() {
    let objective: Objective<B> = classifier(1, 8);
    let other = objective.on(samples(9, 77, &device())).unwrap();
    let config = without_draws();
    let ekfac = config.init_ekfac(&objective, LOSS).unwrap();
    let kept = ekfac.updated(&objective, LOSS, &config, 0.3).unwrap();
    let v = objective.parameters().space().normal(2);
    let product = |ekfac: &Ekfac<B>| ekfac.apply(&v).unwrap();
    assert!(relative_error(&product(&kept), &product(&ekfac)) < 1e-12);
    let exact = Fisher::exact(&other, LOSS).unwrap();
    let fresh = ekfac.updated(&other, LOSS, &config, 0.0).unwrap();
    let exact = rows(&exact);
    let trace: f64 = (0..exact.len()).map(|i| exact[i][i]).sum();
    assert!((fresh.trace().unwrap() - trace).abs() < 1e-10 * trace);
    let mixed = ekfac.updated(&other, LOSS, &config, 0.25).unwrap();
    let expected = 0.25 * ekfac.trace().unwrap() + 0.75 * fresh.trace().unwrap();
    assert!((mixed.trace().unwrap() - expected).abs() < 1e-10 * expected);
    assert!(ekfac.updated(&other, LOSS, &config, 2.0).is_err());
}

#[test]
fn without_gradients_there_is_no_diagonal() {
    let config = KfacConfig::new().with_fisher(KfacFisher::ForwardOnly);
    let error = config.init_ekfac(&classifier(1, 8), LOSS).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&KfacError::NoDiagonal));
}

/// The bases may be those of a K-FAC without gradients, G = I: s is measured all the same.
#[test]
fn the_diagonal_is_measured_in_the_bases_of_another_configuration() {
    let objective = classifier(3, 20);
    let forward = KfacConfig::new().with_fisher(KfacFisher::ForwardOnly);
    let kfac = forward.init(&objective, LOSS).unwrap();
    let ekfac = Ekfac::from_kfac(&kfac, &objective, LOSS, &without_draws()).unwrap();
    let exact = rows(&Fisher::exact(&objective, LOSS).unwrap());
    for layer in ekfac.layers() {
        let own = objective.layout().block(layer.weight()).unwrap().range();
        let u = layer.input_basis(0).unwrap();
        let (inputs, outputs) = (u.rows() - 1, layer.diagonal().unwrap().len() / u.rows());
        assert_eq!(own.len(), inputs * outputs);
        // (u ⊗ e)ᵀ F (u ⊗ e) for a column u and an output; the biases are stored behind the weights.
        let place = |i: usize, output: usize| own.start + i * outputs + output;
        for (at, found) in layer.diagonal().unwrap().iter().enumerate() {
            let (column, output) = (at / outputs, at % outputs);
            let mut expected = 0.0;
            for i in 0..u.rows() {
                for j in 0..u.rows() {
                    let fisher = exact[place(i, output)][place(j, output)];
                    expected += u.entry(i, column).unwrap() * fisher * u.entry(j, column).unwrap();
                }
            }
            assert!((found - expected).abs() < 1e-12, "{}: {found}, {expected}", layer.weight());
        }
    }
}
