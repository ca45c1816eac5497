//! Densities, traces of functions and log-determinants against known eigenvalues; error bars against what they promise.

use burn_curvature::{
    LinearOperator, Precision,
    errors::{OperatorError, SpectrumError, VectorError},
    operator::{Diagonal, Identity},
    spectrum::{DensityEstimatorConfig, Estimate, SpectralDensity},
};

use super::{Astray, calibration, even, operator};
use crate::{
    TestBackend,
    dense::Rows,
    flat, flat_space,
    oracle::{logarithmic, with_spectrum},
};

fn estimate<B: TestBackend>(
    rows: &Rows,
    precision: Precision,
    config: DensityEstimatorConfig,
) -> SpectralDensity {
    let space = flat_space::<B>(rows.len(), precision);
    let a = operator(rows, &space).counted();
    let density = config.init().unwrap().estimate(&a).unwrap();
    assert_eq!(density.products, a.applications());
    assert_eq!((density.unknowns, density.rules.len()), (rows.len(), config.probes));
    density
}

fn sum(values: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    values.iter().map(|x| f(*x)).sum()
}

/// Rules are rules: positive weights that sum to one, nodes within the spectrum; powers have the right means.
fn quadrature_rules<B: TestBackend>() {
    let spectrum = even(-1.0, 3.0, 80);
    for &precision in B::PRECISIONS {
        let rounding = 100.0 * precision.epsilon();
        let rows = with_spectrum(&spectrum, 4);
        for seed in 0..3 {
            let config = DensityEstimatorConfig::new().with_steps(20).with_seed(seed);
            let density = estimate::<B>(&rows, precision, config.clone());
            assert_eq!(density.products, 200);
            for rule in &density.rules {
                assert_eq!((rule.nodes.len(), rule.weights.len()), (20, 20));
                assert!((rule.weights.iter().sum::<f64>() - 1.0).abs() < rounding);
                assert!(rule.weights.iter().all(|w| *w >= 0.0));
                assert!(rule.nodes.is_sorted());
            }
            assert!(density.smallest() >= -1.0 - rounding && density.largest() <= 3.0 + rounding);
            assert!(density.smallest() < -0.9 && density.largest() > 2.9);
            for power in 1..5 {
                let found = density.trace_of(|x| x.powi(power)).unwrap();
                let truth = sum(&spectrum, |x| x.powi(power));
                assert!(found.deviations_from(truth) < 5.0, "{power}: {truth} {found}");
            }
            // Working on several probes at once changes nothing but the rounding of products.
            let alone = estimate::<B>(&rows, precision, config.with_together(Some(1)));
            for (alone, rule) in alone.rules.iter().zip(&density.rules) {
                let pairs = alone.nodes.iter().zip(&rule.nodes);
                let pairs = pairs.chain(alone.weights.iter().zip(&rule.weights));
                for (alone, together) in pairs {
                    assert!((alone - together).abs() < 100.0 * rounding);
                }
            }
        }
    }
}
on_backends!(quadrature_rules: ndarray, flex, dispatch);

/// Enough steps find every eigenvalue; invariant spaces end early.
fn exact_densities<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let rounding = 100.0 * precision.epsilon();
        let spectrum = even(1.0, 2.0, 12);
        let rows = with_spectrum(&spectrum, 1);
        let density = estimate::<B>(&rows, precision, DensityEstimatorConfig::new());
        for rule in &density.rules {
            assert_eq!(rule.nodes.len(), 12);
            let worst = rule.nodes.iter().zip(&spectrum).map(|(a, b)| (a - b).abs());
            assert!(worst.fold(0.0, f64::max) < rounding);
        }
        let space = flat_space::<B>(30, precision);
        let config = DensityEstimatorConfig::new().with_probes(3).init().unwrap();
        let identity = config.estimate(&Identity::<B>::new(&space).unwrap()).unwrap();
        assert_eq!((identity.products, identity.rules[0].nodes.len()), (3, 1));
        let count = identity.trace_of(|x| if (x - 1.0).abs() < 1e-5 { 1.0 } else { 0.0 }).unwrap();
        assert!((count.estimate - 30.0).abs() < 30.0 * rounding && count.standard_error < rounding);
        // Two eigenvalues, whatever their multiplicities.
        let projector: Vec<f64> = (0..30).map(|i| if i < 11 { 1.0 } else { 0.0 }).collect();
        let d = Diagonal::new(space.vector(&projector).unwrap()).unwrap();
        let density = config.estimate(&d).unwrap();
        assert_eq!(density.products, 6);
        let above = density.trace_of(|x| if x > 0.5 { 1.0 } else { 0.0 }).unwrap();
        assert!((above.estimate - 11.0).abs() < 30.0 * rounding, "{above}");
        let zero = config.estimate(&Diagonal::new(space.zeros()).unwrap()).unwrap();
        assert_eq!(zero.trace_of(|x| x).unwrap().estimate, 0.0);
        let one = flat::<B>(&[5.0], precision);
        let density = config.estimate(&Diagonal::new(one.clone()).unwrap()).unwrap();
        assert!((density.log_determinant(1.0).unwrap().estimate - 6f64.ln()).abs() < rounding);
    }
}
on_backends!(exact_densities: ndarray, flex, dispatch, wgpu);

/// The curve against the smoothed exact one, its integral, and its error bar (which held at 92 % of the points).
fn density_curves<B: TestBackend>() {
    let spectrum = [even(-0.5, 1.0, 85), vec![4.0, 5.0, 5.0, 6.0, 8.0]].concat();
    let rows = with_spectrum(&spectrum, 2);
    let width = 0.15;
    let gaussian =
        |t: f64| (-0.5 * (t / width).powi(2)).exp() / (width * std::f64::consts::TAU.sqrt());
    let truth = |t: f64| sum(&spectrum, |x| gaussian(t - x)) / spectrum.len() as f64;
    let (runs, probes) = (20, 16);
    for &precision in B::PRECISIONS {
        let grid = even(-1.1, 8.6, 200);
        let (mut inside, mut looked_at, mut mean) = (0.0, 0.0, vec![0.0; grid.len()]);
        for seed in 0..runs {
            let config = DensityEstimatorConfig::new().with_probes(probes).with_seed(seed);
            let density = estimate::<B>(&rows, precision, config);
            let own = density.grid(200, 4.0 * width);
            assert!((own[0] + 1.1).abs() < 1e-3 && (own[199] - 8.6).abs() < 1e-3);
            let curve = density.on_grid(&grid, width).unwrap();
            let integral: f64 = curve.density.iter().sum::<f64>() * (grid[1] - grid[0]);
            assert!((integral - 1.0).abs() < 1e-3, "{integral}");
            for (i, (found, error)) in curve.density.iter().zip(&curve.standard_error).enumerate() {
                mean[i] += found / runs as f64;
                if truth(grid[i]) > 1e-2 {
                    looked_at += 1.0;
                    inside += f64::from((found - truth(grid[i])).abs() <= 2.0 * error);
                }
            }
        }
        // The weight of a lone eigenvalue scatters as a χ² with one degree of freedom; that of many, less.
        let scatter = 4.0 * (2.0 / (runs * probes as u64) as f64).sqrt();
        for (t, found) in grid.iter().zip(&mean) {
            assert!(
                (found - truth(*t)).abs() <= scatter * truth(*t) + 1e-3,
                "at {t}: {found}, {}",
                truth(*t)
            );
        }
        let covered = inside / looked_at;
        assert!(covered >= 0.85, "{covered}");
    }
}
on_backends!(density_curves: flex);

fn log_determinants<B: TestBackend>() {
    let spectrum = logarithmic(0.05, 20.0, 60);
    let rows = with_spectrum(&spectrum, 6);
    for &precision in B::PRECISIONS {
        for damping in [0.0, 0.1, 10.0] {
            let truth = sum(&spectrum, |x| (x + damping).ln());
            let density = estimate::<B>(&rows, precision, DensityEstimatorConfig::new());
            let found = density.log_determinant(damping).unwrap();
            assert!(found.deviations_from(truth) < 4.0, "{truth} {found}");
        }
    }
    // Few steps overestimate a logarithm, as Gauss' rule must.
    let coarse = DensityEstimatorConfig::new().with_probes(50).with_steps(3);
    let fine = coarse.clone().with_steps(60);
    let at = |config| estimate::<B>(&rows, Precision::F64, config).log_determinant(0.0).unwrap();
    assert!(at(coarse).estimate > at(fine).estimate + 0.5);
}
on_backends!(log_determinants: ndarray, flex, dispatch, wgpu);

/// No bias, and the truth within two standard errors in 95 of 100 cases.
fn log_determinant_error_bars<B: TestBackend>() {
    let spectrum = logarithmic(0.05, 20.0, 60);
    let rows = with_spectrum(&spectrum, 6);
    let truth = sum(&spectrum, |x| (x + 0.1).ln());
    let found: Vec<Estimate> = (0..100)
        .map(|seed| {
            let config = DensityEstimatorConfig::new().with_probes(12).with_steps(40);
            let density = estimate::<B>(&rows, Precision::F64, config.with_seed(seed));
            density.log_determinant(0.1).unwrap()
        })
        .collect();
    calibration(&found, truth).expect("log-determinant", 0.75..=1.33);
}
on_backends!(log_determinant_error_bars: flex);

fn densities_of_bad_input<B: TestBackend>() {
    let rows = with_spectrum(&even(-1.0, 1.0, 20), 1);
    let density = estimate::<B>(&rows, Precision::F64, DensityEstimatorConfig::new());
    let refused = density.log_determinant(0.5).unwrap_err();
    let Some(SpectrumError::NotPositive { ritz, damping }) = refused.downcast_ref() else {
        panic!("{refused}")
    };
    assert!((ritz + 1.0).abs() < 1e-9 && *damping == 0.5);
    assert!(density.log_determinant(1.1).is_ok());
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        let refused = density.log_determinant(bad).unwrap_err();
        assert!(matches!(refused.downcast_ref(), Some(OperatorError::Damping { .. })));
    }
    for bad in [0.0, -0.1, f64::NAN, f64::INFINITY, 1e-320] {
        let refused = density.on_grid(&[0.0], bad).unwrap_err();
        assert!(matches!(refused.downcast_ref(), Some(SpectrumError::Width { .. })));
    }
    let refused = density.trace_of(f64::sqrt).unwrap_err();
    assert!(
        matches!(refused.downcast_ref(), Some(SpectrumError::FunctionValue { .. })),
        "{refused}"
    );

    let config = DensityEstimatorConfig::new;
    for (field, bad) in [
        ("probes", config().with_probes(1)),
        ("steps", config().with_steps(0)),
        ("together", config().with_together(Some(0))),
    ] {
        assert_eq!(bad.init().unwrap_err().field, field);
    }
    let vector = flat::<B>(&[1.0, f64::NAN, 1.0], Precision::F32);
    let estimator = config().init().unwrap();
    let refused = estimator.estimate(&Diagonal::new(vector.clone()).unwrap()).unwrap_err();
    assert!(matches!(refused.downcast_ref(), Some(VectorError::NonFinite { .. })));
    let other = flat::<B>(&[1.0], Precision::F32);
    let astray = Astray { promised: vector.space().clone(), returned: other };
    let refused = estimator.estimate(&astray).unwrap_err();
    assert!(matches!(refused.downcast_ref(), Some(VectorError::LayoutMismatch { .. })));

    let json = serde_json::to_string(&density).unwrap();
    let back: SpectralDensity = serde_json::from_str(&json).unwrap();
    let (a, b) = (back.trace_of(|x| x * x).unwrap(), density.trace_of(|x| x * x).unwrap());
    assert!((a.estimate - b.estimate).abs() < 1e-9);
}
on_backends!(densities_of_bad_input: ndarray, flex, dispatch);

/// More steps than there are dimensions, or than can be counted, are as many as there are dimensions.
fn steps_end_with_the_space<B: TestBackend>() {
    let rows = with_spectrum(&[1.0, 2.0, 5.0], 1);
    let of = |steps| {
        let config = DensityEstimatorConfig::new().with_probes(4).with_steps(steps);
        estimate::<B>(&rows, Precision::F64, config.with_together(Some(3)))
    };
    let (three, most) = (of(3), of(usize::MAX));
    assert_eq!((three.rules, three.products), (most.rules, most.products));
}
on_backends!(steps_end_with_the_space: ndarray, flex, dispatch);
