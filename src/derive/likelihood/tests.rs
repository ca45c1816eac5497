//! The functions of each likelihood against one another.

use burn::backend::Flex;
use burn_backend::{DType, TensorData, ops::FloatTensorOps, read_sync, tensor::FloatTensor};

use super::Likelihood;
use crate::graph::ValueType;

const WIDTH: usize = 3;
const Z: [f64; WIDTH] = [0.7, -1.1, 0.2];

fn tensor(values: &[f64], shape: &[usize]) -> FloatTensor<Flex> {
    Flex::float_from_data(TensorData::new(values.to_vec(), shape.to_vec()), &Default::default())
}

fn read(tensor: FloatTensor<Flex>) -> Vec<f64> {
    read_sync(Flex::float_into_data(tensor)).expect("values").iter::<f64>().collect()
}

/// Σ over vectors of vector·vectorᵀ.
fn outer(vectors: &[Vec<f64>]) -> Vec<f64> {
    let places = (0..WIDTH).flat_map(|i| (0..WIDTH).map(move |j| (i, j)));
    places.map(|(i, j)| vectors.iter().map(|v| v[i] * v[j]).sum()).collect()
}

/// ‖A − B‖ / ‖B‖ in the Frobenius norm.
fn error(a: &[f64], b: &[f64]) -> f64 {
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    (difference / b.iter().map(|b| b * b).sum::<f64>()).sqrt()
}

/// Outputs of one dimension are one number for each sample: a single column has the root of each.
#[test]
fn one_number_for_each_sample_is_one_column() {
    let likelihoods =
        [Likelihood::Bernoulli, Likelihood::Gaussian { variance: 0.3 }, Likelihood::Poisson];
    for family in likelihoods.map(Likelihood::family) {
        let [flat, one] = [vec![WIDTH], vec![WIDTH, 1]].map(|shape| {
            assert_eq!(family.number_of_columns(&shape), 1);
            read(family.columns::<Flex>(&tensor(&Z, &shape)))
        });
        assert_eq!(flat.len(), WIDTH);
        assert_eq!(flat, one);
    }
}

#[test]
fn curvature_root_columns_and_draws_make_one_matrix() {
    const DRAWS: usize = 20_000;
    let likelihoods = [
        Likelihood::Categorical,
        Likelihood::Bernoulli,
        Likelihood::Gaussian { variance: 0.3 },
        Likelihood::Poisson,
    ];
    let z = || tensor(&Z, &[1, WIDTH]);
    let units = (0..WIDTH).map(|j| {
        let unit: Vec<f64> = (0..WIDTH).map(|i| if i == j { 1.0 } else { 0.0 }).collect();
        tensor(&unit, &[1, WIDTH])
    });
    let units: Vec<_> = units.collect();
    let ty = ValueType { shape: vec![1, WIDTH].into(), dtype: DType::F64 };
    for likelihood in likelihoods {
        let family = likelihood.family();
        let each = |f: &dyn Fn(FloatTensor<Flex>) -> FloatTensor<Flex>| -> Vec<Vec<f64>> {
            units.iter().map(|unit| read(f(unit.clone()))).collect()
        };
        // M is symmetric, so that its rows are its columns.
        let metric = each(&|unit| family.curvature::<Flex>(z(), unit)).concat();
        let roots = each(&|unit| family.root::<Flex>(z(), unit));
        assert!(error(&outer(&roots), &metric) < 1e-12, "{likelihood:?}");
        let columns = read(family.columns::<Flex>(&z()));
        let columns: Vec<_> = columns.chunks(WIDTH).map(<[f64]>::to_vec).collect();
        assert_eq!(columns.len(), family.number_of_columns(&[1, WIDTH]), "{likelihood:?}");
        assert!(error(&outer(&columns), &metric) < 1e-12, "{likelihood:?}");
        // Two equal rows.
        let twice = family.total::<Flex>(tensor(&[Z, Z].concat(), &[2, 1, WIDTH]));
        let doubled: Vec<f64> = metric.iter().map(|m| m * 2.0).collect();
        assert!(error(&read(twice), &doubled) < 1e-12, "{likelihood:?}");
        let scaled: Vec<f64> = metric.iter().map(|m| m * likelihood.scale()).collect();
        for seed in 0..3 {
            let noise = likelihood.noise(&ty, DRAWS, seed, 0).expect("noise");
            let noise = Flex::float_from_data(noise, &Default::default());
            let directions = read(family.directions::<Flex>(DRAWS, z(), noise));
            let directions: Vec<_> = directions.chunks(WIDTH).map(<[f64]>::to_vec).collect();
            assert_eq!(directions.len(), DRAWS);
            let found = error(&outer(&directions), &scaled);
            assert!(found < 0.06, "{likelihood:?}, seed {seed}: {found}");
        }
    }
}

/// In f32, too, a curvature is as precise where the model is sure: σ(1 − σ) = e/(1 + e)² with e = exp(−|z|).
#[test]
fn the_curvature_of_a_sure_bernoulli_has_all_digits() {
    let family = Likelihood::Bernoulli.family();
    for z in [-60.0_f64, -20.0, -12.0, -0.3, 0.0, 0.3, 12.0, 20.0, 60.0] {
        let single = |value: f64| {
            let data = TensorData::new(vec![value], [1, 1]).convert::<f32>();
            Flex::float_from_data(data, &Default::default())
        };
        let e = (-z.abs()).exp();
        let variance = e / (1.0 + e) / (1.0 + e);
        let found = [
            read(family.curvature::<Flex>(single(z), single(1.0)))[0],
            read(family.root::<Flex>(single(z), single(1.0)))[0].powi(2),
            read(family.columns::<Flex>(&single(z)))[0].powi(2),
            read(family.total::<Flex>(single(z)))[0],
        ];
        for found in found {
            assert!((found / variance - 1.0).abs() < 1e-5, "at {z}: {found} for {variance}");
        }
        // With noise of one the target is zero, unless σ is one; the direction is σ then.
        let sigma = if z > 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) };
        let drawn = read(family.directions::<Flex>(1, single(z), single(1.0)))[0];
        let expected = if sigma as f32 == 1.0 { 0.0 } else { sigma };
        assert!((drawn - expected).abs() <= 1e-5 * expected, "at {z}: {drawn} for {expected}");
    }
}

/// A loss that is that of another likelihood is named without a factor.
#[test]
fn the_likelihood_that_fits_is_named() {
    let gaussian = Likelihood::Gaussian { variance: 1.0 };
    let message = |ratio| {
        let others = [(Likelihood::Categorical, ratio)];
        super::LikelihoodError::loss_is_not(gaussian, None, &others).to_string()
    };
    assert!(message(1.0 + 1e-7).contains("it has the curvature of Categorical; "));
    assert!(message(0.5).contains("it has the curvature of Categorical times 0.500000; "));
}
