//! Lanczos' process: eigenpairs of matrices with known eigenvalues, multiple ones among them.

use burn_curvature::{
    LanczosConfig, LinearOperator, ParamLayout, Precision,
    operator::{Diagonal, Identity},
    spectrum::{Eigenpairs, EigenpairsReport, EigenpairsStop, SpectrumEnd},
};

use super::{even, operator, sorted};
use crate::{
    TestBackend,
    dense::{Rows, dot, multiply},
    flat, flat_space, on,
    oracle::{logarithmic, matrix, with_spectrum},
    solvers::same,
};

fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-5,
        Precision::F64 => 1e-10,
    }
}

/// ‖A y − θ y‖ in f64 for the numbers as they are, orthonormality, and the report's own words.
pub(super) fn check<B: TestBackend>(found: &Eigenpairs<B>, rows: &Rows) {
    let report = &found.report;
    let scale = report.eigenvalues.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let rounding = 200.0 * report.precision.epsilon();
    let vectors: Vec<Vec<f64>> = found.vectors.iter().map(|v| v.to_vec().unwrap()).collect();
    assert_eq!(vectors.len(), report.eigenvalues.len());
    assert_eq!(report.eigenvalues, sorted(&report.eigenvalues));
    for (i, y) in vectors.iter().enumerate() {
        let product = multiply(rows, y);
        let rest: Vec<f64> =
            product.iter().zip(y).map(|(p, y)| p - report.eigenvalues[i] * y).collect();
        let residual = dot(&rest, &rest).sqrt();
        assert!(
            (residual - report.residuals[i]).abs() <= rounding * scale,
            "{residual:e} {report}"
        );
        for (j, other) in vectors.iter().enumerate() {
            let expected = if i == j { 1.0 } else { 0.0 };
            assert!((dot(y, other) - expected).abs() <= rounding, "{i} {j}: {:e}", dot(y, other));
        }
    }
    let text = report.to_string();
    assert_eq!(text.lines().last().unwrap(), report.stop.to_string());
    let json = serde_json::to_value(report).unwrap();
    let back: EigenpairsReport = serde_json::from_value(json.clone()).unwrap();
    assert!(same(&serde_json::to_value(back).unwrap(), &json));
}

#[track_caller]
pub(super) fn expect_values(report: &EigenpairsReport, expected: &[f64], allowed: f64) {
    assert_eq!(report.stop, EigenpairsStop::Converged, "{report}");
    assert_eq!(report.eigenvalues.len(), expected.len(), "{report}");
    for (found, expected) in report.eigenvalues.iter().zip(expected) {
        assert!((found - expected).abs() <= allowed, "expected {expected}\n{report}");
    }
}

/// Both ends, one pair and several, of definite and indefinite matrices.
fn ends_of_the_spectrum<B: TestBackend>() {
    let n = 60;
    let spectra = [logarithmic(1.0, 100.0, n), even(-3.0, 5.0, n)];
    for &precision in B::PRECISIONS {
        for (spectrum, seed) in spectra.iter().zip(0..) {
            let rows = with_spectrum(spectrum, seed);
            let vector = on::<B>(
                &ParamLayout::from_shapes([("w", vec![10, 5]), ("b", vec![10])]).unwrap(),
                &vec![0.0; n],
                precision,
            );
            let a = operator(&rows, vector.space()).counted();
            let truth = sorted(spectrum);
            for pairs in [1, 4] {
                let bottom = &truth[n - pairs..];
                let cases = [
                    (SpectrumEnd::Largest, truth[..pairs].to_vec()),
                    (SpectrumEnd::Smallest, bottom.to_vec()),
                    (SpectrumEnd::Both, [&truth[..pairs], bottom].concat()),
                ];
                for (end, expected) in cases {
                    let before = a.applications();
                    let lanczos = LanczosConfig::new()
                        .with_end(end)
                        .with_pairs(pairs)
                        .with_relative_tolerance(tolerance(precision))
                        .with_seed(seed)
                        .init()
                        .unwrap();
                    let found = lanczos.eigenpairs(&a).unwrap();
                    let allowed = 2.0 * tolerance(precision) * truth[0];
                    expect_values(&found.report, &expected, allowed);
                    assert_eq!(found.report.products, a.applications() - before);
                    assert!(found.report.worst_residual() <= found.report.threshold);
                    check(&found, &rows);
                }
            }
        }
    }
}
on_backends!(ends_of_the_spectrum: ndarray, flex, dispatch, wgpu);

fn largest_magnitude<B: TestBackend>() {
    let spectrum = [even(-7.0, -6.0, 3), even(-1.0, 6.6, 40)].concat();
    for &precision in B::PRECISIONS {
        let rows = with_spectrum(&spectrum, 5);
        let space = flat_space::<B>(43, precision);
        let lanczos = LanczosConfig::new()
            .with_end(SpectrumEnd::LargestMagnitude)
            .with_pairs(3)
            .init()
            .unwrap();
        let found = lanczos.eigenpairs(&operator(&rows, &space)).unwrap();
        expect_values(&found.report, &[6.6, -6.5, -7.0], 1e-4);
        check(&found, &rows);
    }
}
on_backends!(largest_magnitude: ndarray, flex, dispatch, wgpu);

/// Copies that one random start cannot see.
fn multiple_eigenvalues<B: TestBackend>() {
    let spectrum = [vec![5.0; 3], vec![2.0; 2], even(-1.0, 1.0, 45)].concat();
    for &precision in B::PRECISIONS {
        let space = flat_space::<B>(50, precision);
        for seed in 0..5 {
            let rows = with_spectrum(&spectrum, seed);
            let a = operator(&rows, &space);
            for pairs in [2, 3, 5] {
                let config = LanczosConfig::new().with_pairs(pairs).with_seed(seed);
                let found = config.init().unwrap().eigenpairs(&a).unwrap();
                expect_values(&found.report, &spectrum[..pairs], 1e-4);
                check(&found, &rows);
            }
        }
        let few = LanczosConfig::new().with_pairs(3).init().unwrap();
        let identity = Identity::<B>::new(&space).unwrap();
        let found = few.eigenpairs(&identity).unwrap();
        expect_values(&found.report, &[1.0; 3], 1e-6);
        let zero = Diagonal::new(space.zeros()).unwrap();
        let found = few.eigenpairs(&zero).unwrap();
        expect_values(&found.report, &[0.0; 3], 0.0);
        // Two eigenvalues only: every space is soon invariant.
        let projector: Vec<f64> = (0..50).map(|i| if i < 7 { 1.0 } else { 0.0 }).collect();
        let rows = with_spectrum(&projector, 3);
        let many = LanczosConfig::new().with_pairs(8).init().unwrap();
        let found = many.eigenpairs(&operator(&rows, &space)).unwrap();
        expect_values(&found.report, &sorted(&projector)[..8], 1e-4);
        check(&found, &rows);
    }
    // Without the second look the copies are missed, and the first value is right all the same.
    let space = flat_space::<B>(50, Precision::F64);
    let rows = with_spectrum(&spectrum, 1);
    let config = LanczosConfig::new().with_pairs(2).with_confirm_copies(false);
    let found = config.init().unwrap().eigenpairs(&operator(&rows, &space));
    expect_values(&found.unwrap().report, &[5.0, 2.0], 1e-4);
}
on_backends!(multiple_eigenvalues: ndarray, flex, dispatch);

/// As many pairs as there are unknowns.
fn whole_spectrum<B: TestBackend>() {
    let spectrum = even(-2.0, 3.0, 12);
    for &precision in B::PRECISIONS {
        for end in [SpectrumEnd::Largest, SpectrumEnd::Both] {
            let rows = with_spectrum(&spectrum, 9);
            let space = flat_space::<B>(12, precision);
            let lanczos = LanczosConfig::new().with_end(end).with_pairs(12).init().unwrap();
            let found = lanczos.eigenpairs(&operator(&rows, &space)).unwrap();
            expect_values(&found.report, &sorted(&spectrum), 100.0 * precision.epsilon());
            assert_eq!(found.report.products, 24);
            check(&found, &rows);
        }
    }
}
on_backends!(whole_spectrum: ndarray, flex, dispatch);

/// One unknown, and two.
fn smallest_problems<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for end in [
            SpectrumEnd::Largest,
            SpectrumEnd::Smallest,
            SpectrumEnd::Both,
            SpectrumEnd::LargestMagnitude,
        ] {
            let vector = flat::<B>(&[-3.0], precision);
            let lanczos = LanczosConfig::new().with_end(end).init().unwrap();
            let found = lanczos.eigenpairs(&Diagonal::new(vector.clone()).unwrap()).unwrap();
            expect_values(&found.report, &[-3.0], 4.0 * precision.epsilon());
            assert!((found.vectors[0].norm().unwrap() - 1.0).abs() < 1e-6);
        }
        let vector = flat::<B>(&[-3.0, 4.0], precision);
        let lanczos = LanczosConfig::new().with_end(SpectrumEnd::Both).init().unwrap();
        let found = lanczos.eigenpairs(&Diagonal::new(vector.clone()).unwrap()).unwrap();
        expect_values(&found.report, &[4.0, -3.0], 1e-5);
    }
}
on_backends!(smallest_problems: ndarray, flex, dispatch);

/// Thick restarts: many more products than vectors are kept.
fn small_subspace<B: TestBackend>() {
    let spectrum = logarithmic(1e-3, 10.0, 150);
    for &precision in B::PRECISIONS {
        for seed in 0..3 {
            let rows = with_spectrum(&spectrum, seed);
            let space = flat_space::<B>(150, precision);
            let config = LanczosConfig::new()
                .with_pairs(5)
                .with_subspace(Some(12))
                .with_relative_tolerance(tolerance(precision))
                .with_seed(seed);
            let found = config.init().unwrap().eigenpairs(&operator(&rows, &space)).unwrap();
            expect_values(&found.report, &sorted(&spectrum)[..5], 20.0 * tolerance(precision));
            assert!(found.report.restarts > 1, "{}", found.report);
            check(&found, &rows);
        }
    }
}
on_backends!(small_subspace: ndarray, flex, dispatch);

/// All ones is an exact eigenvector of diag(p) − ppᵀ, with eigenvalue zero: a start from it would see nothing else.
fn start_is_random<B: TestBackend>() {
    let n = 20;
    let p: Vec<f64> = sorted(&logarithmic(1.0, 30.0, n));
    let total: f64 = p.iter().sum();
    let p: Vec<f64> = p.iter().map(|p| p / total).collect();
    let rows: Rows = (0..n)
        .map(|i| (0..n).map(|j| if i == j { p[i] } else { 0.0 } - p[i] * p[j]).collect())
        .collect();
    let space = flat_space::<B>(n, Precision::F64);
    let a = operator(&rows, &space);
    assert!(a.apply(&space.ones()).unwrap().norm().unwrap() < 1e-15);
    let dense = matrix(&rows).eigenvalues().unwrap();
    let mut starts = Vec::new();
    for seed in 0..10 {
        let lanczos = LanczosConfig::new().with_seed(seed).init().unwrap();
        let found = lanczos.eigenpairs(&a).unwrap();
        expect_values(&found.report, &dense[n - 1..], 1e-8);
        assert_eq!(found.report, lanczos.eigenpairs(&a).unwrap().report, "repeatable");
        starts.push(found.report.residuals[0]);
    }
    starts.dedup();
    assert!(starts.len() > 5, "seeds matter: {starts:?}");
}
on_backends!(start_is_random: ndarray, flex, dispatch);
