//! Diagonals against the dense ones; error bars of the entries against what they promise.

use burn_curvature::{
    LinearOperator, ParamLayout, Precision, SelfAdjoint,
    errors::VectorError,
    operator::{Diagonal, Identity},
    spectrum::{DiagonalEstimate, DiagonalEstimatorConfig, DiagonalMethod},
};

use super::{Astray, even, operator};
use crate::{
    TestBackend,
    dense::Rows,
    flat, flat_space,
    oracle::{logarithmic, with_spectrum},
    relative_error, space_of,
};

const METHODS: [DiagonalMethod; 2] = [DiagonalMethod::Bekas, DiagonalMethod::XDiag];

fn estimate<B: TestBackend>(
    a: &dyn SelfAdjoint<B>,
    method: DiagonalMethod,
    products: usize,
    seed: u64,
) -> DiagonalEstimate<B> {
    let config =
        DiagonalEstimatorConfig::new().with_method(method).with_products(products).with_seed(seed);
    config.init().unwrap().estimate(a).unwrap()
}

fn diagonal(rows: &Rows) -> Vec<f64> {
    rows.iter().enumerate().map(|(i, row)| row[i]).collect()
}

/// Number of entries within some standard errors of the truth.
fn within<B: TestBackend>(found: &DiagonalEstimate<B>, truth: &[f64], deviations: f64) -> usize {
    let estimate = found.estimate.to_vec().unwrap();
    let errors = found.standard_error.to_vec().unwrap();
    let entries = estimate.iter().zip(&errors).zip(truth);
    entries.filter(|((x, error), truth)| (*x - *truth).abs() <= deviations * **error).count()
}

/// Most entries within two standard errors, all within a few; products counted.
fn diagonals_are_near<B: TestBackend>() {
    let layout = ParamLayout::from_shapes([("w", vec![8, 10]), ("b", vec![10])]).unwrap();
    let n = layout.len();
    for &precision in B::PRECISIONS {
        let space = space_of::<B>(&layout, precision);
        for spectrum in [logarithmic(1e-2, 10.0, n), even(-1.0, 2.0, n)] {
            let rows = with_spectrum(&spectrum, 3);
            let a = operator(&rows, &space).counted();
            for method in METHODS {
                let before = a.applications();
                let found = estimate(&a, method, 40, 5);
                assert_eq!((found.products, a.applications() - before), (40, 40));
                let truth = diagonal(&rows);
                assert_eq!(within(&found, &truth, 6.0), n, "{method:?}");
                assert!(within(&found, &truth, 2.0) >= n * 8 / 10, "{method:?}");
                let again = estimate(&a, method, 40, 5);
                assert_eq!(found.estimate.to_vec().unwrap(), again.estimate.to_vec().unwrap());
            }
        }
    }
}
on_backends!(diagonals_are_near: ndarray, flex, dispatch);

/// All entries of 100 estimates together: 94 % (Bekas) and 95 % to 98 % (XDiag) were within two standard errors.
fn diagonal_error_bars<B: TestBackend>() {
    let n = 50;
    let space = flat_space::<B>(n, Precision::F64);
    for spectrum in [logarithmic(1e-3, 10.0, n), even(-1.0, 2.0, n)] {
        let rows = with_spectrum(&spectrum, 7);
        let a = operator(&rows, &space);
        let truth = diagonal(&rows);
        for method in METHODS {
            let mut covered = 0;
            let mut mean = vec![0.0; n];
            for seed in 0..100 {
                let found = estimate(&a, method, 30, seed);
                covered += within(&found, &truth, 2.0);
                let values = found.estimate.to_vec().unwrap();
                mean.iter_mut().zip(values).for_each(|(m, v)| *m += v / 100.0);
            }
            let covered = covered as f64 / (100 * n) as f64;
            let bias = relative_error(&mean, &truth);
            assert!(covered >= 0.85, "{method:?}: {covered}");
            assert!(bias < 0.05, "{method:?}: {bias}");
        }
    }
}
on_backends!(diagonal_error_bars: flex);

/// Random signs see a diagonal exactly, a basis sees low rank exactly, unit vectors see everything exactly.
fn exact_diagonals<B: TestBackend>() {
    let n = 60;
    let low: Vec<f64> = (0..n).map(|i| if i < 5 { (i + 1) as f64 } else { 0.0 }).collect();
    for &precision in B::PRECISIONS {
        let space = flat_space::<B>(n, precision);
        let numbers: Vec<f64> = (0..n).map(|i| i as f64 - 20.0).collect();
        let d = Diagonal::new(space.vector(&numbers).unwrap()).unwrap();
        let found = estimate(&d, DiagonalMethod::Bekas, 7, 3);
        assert_eq!(found.estimate.to_vec().unwrap(), numbers);
        assert_eq!(found.standard_error.to_vec().unwrap(), vec![0.0; n]);
        assert_eq!((found.samples, found.is_exact()), (7, false));
        for seed in 0..5 {
            let rows = with_spectrum(&low, seed);
            let found = estimate(&operator(&rows, &space), DiagonalMethod::XDiag, 24, seed);
            let error = relative_error(&found.estimate.to_vec().unwrap(), &diagonal(&rows));
            assert!(error < 200.0 * precision.epsilon(), "{error:e}");
            assert!(found.standard_error.largest().unwrap() < 1000.0 * precision.epsilon());
        }
        for method in METHODS {
            let one = flat::<B>(&[-7.0], precision);
            let found = estimate(&Diagonal::new(one.clone()).unwrap(), method, 4, 0);
            assert_eq!(found.estimate.to_vec().unwrap(), [-7.0]);
            assert_eq!((found.standard_error.to_vec().unwrap(), found.products), (vec![0.0], 1));
            let zero = estimate(&Diagonal::new(space.zeros()).unwrap(), method, 10, 0);
            assert_eq!(zero.estimate.to_vec().unwrap(), vec![0.0; n]);
            let rows = with_spectrum(&even(-1.0, 3.0, 20), 2);
            let small = flat_space::<B>(20, precision);
            let found = estimate(&operator(&rows, &small), method, 20, 0);
            assert!(found.is_exact());
            let error = relative_error(&found.estimate.to_vec().unwrap(), &diagonal(&rows));
            assert!(error < 10.0 * precision.epsilon(), "{error:e}");
        }
    }
}
on_backends!(exact_diagonals: ndarray, flex, dispatch);

fn diagonals_of_bad_input<B: TestBackend>() {
    let n = 30;
    let space = flat_space::<B>(n, Precision::F32);
    for (method, least) in METHODS.into_iter().zip([2, 4]) {
        let config = DiagonalEstimatorConfig::new().with_method(method);
        assert_eq!(config.clone().with_products(least - 1).init().unwrap_err().field, "products");
        let fewest = config.clone().with_products(least).init().unwrap();
        let found = fewest.estimate(&Identity::<B>::new(&space).unwrap()).unwrap();
        assert!(found.standard_error.norm().unwrap().is_finite());
        let mut values = vec![1.0; n];
        values[7] = f64::INFINITY;
        let estimator = config.with_products(12).init().unwrap();
        let poisoned = Diagonal::new(space.vector(&values).unwrap()).unwrap();
        let refused = estimator.estimate(&poisoned).unwrap_err();
        assert!(
            matches!(refused.downcast_ref(), Some(VectorError::NonFinite { .. })),
            "{method:?} {refused}"
        );
        let other = flat::<B>(&[1.0], Precision::F32);
        let astray = Astray { promised: space.clone(), returned: other };
        let refused = estimator.estimate(&astray).unwrap_err();
        assert!(matches!(refused.downcast_ref(), Some(VectorError::LayoutMismatch { .. })));
    }
    let changed = DiagonalEstimatorConfig::new().with_method(DiagonalMethod::Bekas).with_seed(9);
    let json = serde_json::to_string(&changed).unwrap();
    assert_eq!(serde_json::from_str::<DiagonalEstimatorConfig>(&json).unwrap(), changed);
}
on_backends!(diagonals_of_bad_input: ndarray, flex, dispatch);
