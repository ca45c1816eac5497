//! Traces and Frobenius norms against dense sums; error bars against what they promise.

use crate::failure::failure;
use burn_curvature::{
    LinearOperator, ParamLayout, ParamVector, Precision, TraceEstimatorConfig,
    errors::{KrylovError, OperatorError, VectorError},
    operator::{Dense, Diagonal, FromFn, Identity},
    spectrum::{Estimate, FrobeniusNormConfig, TraceMethod},
};

use super::{Astray, calibration, even, operator};
use crate::{
    TestBackend,
    dense::Rows,
    flat, flat_space,
    oracle::{logarithmic, matrix, with_spectrum},
    random::SplitMix64,
    space_of,
};

const METHODS: [TraceMethod; 3] =
    [TraceMethod::Hutchinson, TraceMethod::HutchPlusPlus, TraceMethod::XTrace];

fn estimate<B: TestBackend>(
    a: &dyn LinearOperator<B>,
    method: TraceMethod,
    products: usize,
    seed: u64,
) -> Estimate {
    let config =
        TraceEstimatorConfig::new().with_method(method).with_products(products).with_seed(seed);
    config.init().unwrap().estimate(a).unwrap()
}

fn trace(rows: &Rows) -> f64 {
    rows.iter().enumerate().map(|(i, row)| row[i]).sum()
}

/// Within four standard errors and rounding, for symmetric and other matrices; products counted.
fn traces_are_near<B: TestBackend>() {
    let layout = ParamLayout::from_shapes([("w", vec![9, 10]), ("b", vec![10])]).unwrap();
    let n = layout.len();
    let general: Rows = (0..n).map(|i| SplitMix64::new(i as u64).normals(n)).collect();
    let matrices = [
        with_spectrum(&logarithmic(1e-4, 10.0, n), 1),
        with_spectrum(&even(-1.0, 2.0, n), 2),
        general,
    ];
    for &precision in B::PRECISIONS {
        let space = space_of::<B>(&layout, precision);
        for (rows, method, budget) in
            matrices.iter().flat_map(|rows| METHODS.map(|method| (rows, method, 32)))
        {
            let a = Dense::new(&matrix(rows), &space).unwrap().counted();
            let truth = trace(rows);
            let size: f64 = rows.iter().flatten().map(|a| a * a).sum::<f64>().sqrt();
            for seed in 0..4 {
                let before = a.applications();
                let found = estimate(&a, method, budget, seed);
                let error = (found.estimate - truth).abs();
                let allowed = 4.5 * found.standard_error + 100.0 * precision.epsilon() * size;
                assert!(error <= allowed, "{method:?}: {truth} {found}");
                assert_eq!(found.products, a.applications() - before);
                assert!(found.products <= budget && found.products > budget - 3, "{found}");
                assert!(!found.is_exact() && found.standard_error > 0.0);
                assert_eq!(found, estimate(&a, method, budget, seed), "repeatable");
            }
        }
    }
}
on_backends!(traces_are_near: ndarray, flex, dispatch, wgpu);

/// No bias, and the truth within two standard errors in most of 100 cases: 92 % and 98 % (Hutchinson), 91 % and 93 %
/// (Hutch++), 90 % and 95 % (XTrace) on the two spectra.
fn trace_error_bars<B: TestBackend>() {
    let n = 60;
    let space = flat_space::<B>(n, Precision::F64);
    let spectra = [logarithmic(1e-3, 10.0, n), even(-1.0, 2.0, n)];
    for (spectrum, method) in spectra.iter().flat_map(|s| METHODS.map(|method| (s, method))) {
        let rows = with_spectrum(spectrum, 7);
        let a = operator(&rows, &space);
        let found: Vec<Estimate> = (0..100).map(|seed| estimate(&a, method, 36, seed)).collect();
        let (least, most) = match method {
            TraceMethod::XTrace => (0.75, 1.7), // errs on the large side
            _ => (0.75, 1.33),
        };
        calibration(&found, trace(&rows)).expect(&format!("{method:?}"), least..=most);
    }
}
on_backends!(trace_error_bars: flex);

/// Where most of the trace is in few eigenvalues, a basis pays.
fn trace_methods_compared<B: TestBackend>() {
    let n = 100;
    let space = flat_space::<B>(n, Precision::F64);
    let rows = with_spectrum(&logarithmic(1e-6, 10.0, n), 3);
    let a = operator(&rows, &space);
    let errors = METHODS.map(|method| {
        let squares = (0..20).map(|seed| {
            let found = estimate(&a, method, 48, seed);
            (found.estimate - trace(&rows)).powi(2)
        });
        (squares.sum::<f64>() / 20.0).sqrt()
    });
    let [hutchinson, hutch_plus_plus, xtrace] = errors;
    assert!(2.0 * hutch_plus_plus < hutchinson && 2.0 * xtrace < hutch_plus_plus, "{errors:?}");
}
on_backends!(trace_methods_compared: flex);

/// Matrices of low rank are seen in full by the basis; a diagonal by random signs; small ones by the unit vectors.
fn exact_traces<B: TestBackend>() {
    let n = 80;
    let low: Vec<f64> = (0..n).map(|i| if i < 6 { (i + 1) as f64 } else { 0.0 }).collect();
    for &precision in B::PRECISIONS {
        let space = flat_space::<B>(n, precision);
        let rounding = 200.0 * precision.epsilon();
        for seed in 0..5 {
            let a = operator(&with_spectrum(&low, seed), &space);
            for (method, budget) in [
                (TraceMethod::HutchPlusPlus, 30),
                (TraceMethod::XTrace, 14),
                (TraceMethod::XTrace, 40),
            ] {
                let found = estimate(&a, method, budget, seed);
                assert!((found.estimate - 21.0).abs() <= 21.0 * rounding, "{method:?} {found}");
                assert!(found.standard_error <= 21.0 * rounding, "{method:?} {found}");
            }
        }
        let entries = space.vector(&(0..n).map(|i| i as f64).collect::<Vec<_>>()).unwrap();
        let found = estimate(&Diagonal::new(entries).unwrap(), TraceMethod::Hutchinson, 5, 1);
        assert_eq!((found.estimate, found.standard_error), (3160.0, 0.0));
        for method in METHODS {
            let zero = estimate(&Diagonal::new(space.zeros()).unwrap(), method, 20, 1);
            assert_eq!((zero.estimate, zero.standard_error), (0.0, 0.0), "{method:?}");
            let identity = estimate(&Identity::new(&space).unwrap(), method, 20, 1);
            assert!(
                (identity.estimate - n as f64).abs() <= n as f64 * rounding,
                "{method:?} {identity}"
            );
            let one = flat::<B>(&[-7.0], precision);
            let found = estimate(&Diagonal::new(one.clone()).unwrap(), method, 6, 0);
            assert_eq!((found.estimate, found.standard_error, found.products), (-7.0, 0.0, 1));
            assert!(found.is_exact() && found.to_string().contains("exactly"));
            let rows = with_spectrum(&even(-1.0, 3.0, 20), 2);
            let small = flat_space::<B>(20, precision);
            let found = estimate(&operator(&rows, &small), method, 20, 0);
            assert!((found.estimate - 20.0).abs() <= 20.0 * rounding && found.is_exact());
        }
    }
}
on_backends!(exact_traces: ndarray, flex, dispatch, wgpu);

fn traces_of_bad_input<B: TestBackend>() {
    let n = 30;
    let space = flat_space::<B>(n, Precision::F32);
    for method in METHODS {
        let least = match method {
            TraceMethod::Hutchinson => 2,
            TraceMethod::XTrace => 4,
            TraceMethod::HutchPlusPlus => 6,
        };
        let config = TraceEstimatorConfig::new().with_method(method);
        let refused = config.clone().with_products(least - 1).init().unwrap_err();
        assert_eq!((refused.field, refused.found), ("products", (least - 1) as f64));
        let fewest = config.clone().with_products(least).init().unwrap();
        assert_eq!(fewest.config().products, least);
        let fewest = fewest.estimate(&Identity::<B>::new(&space).unwrap()).unwrap();
        assert!(fewest.standard_error.is_finite());

        let mut values = vec![1.0; n];
        values[7] = f64::NAN;
        let estimator = config.with_products(12).init().unwrap();
        let poisoned = Diagonal::new(space.vector(&values).unwrap()).unwrap();
        let refused = estimator.estimate(&poisoned).unwrap_err();
        assert!(
            matches!(refused.downcast_ref(), Some(VectorError::NonFinite { .. })),
            "{method:?} {refused}"
        );
        let other = flat::<B>(&[1.0], Precision::F32);
        let astray = Astray { promised: space.clone(), returned: other.clone() };
        let refused = estimator.estimate(&astray).unwrap_err();
        assert!(matches!(refused.downcast_ref(), Some(VectorError::LayoutMismatch { .. })));
        let narrow = other.clone();
        let tall =
            FromFn::between(&space, other.space(), move |_: &ParamVector<B>| Ok(narrow.clone()))
                .unwrap();
        let refused = estimator.estimate(&tall).unwrap_err();
        assert_eq!(
            refused.downcast_ref(),
            Some(&OperatorError::NotSquare { domain: n, codomain: 1 })
        );
        let huge = Diagonal::new(space.full(3e38)).unwrap();
        let refused = estimator.estimate(&huge).unwrap_err();
        assert!(
            matches!(refused.downcast_ref(), Some(KrylovError::Range { .. }))
                || matches!(refused.downcast_ref(), Some(VectorError::NonFinite { .. })),
            "{refused}"
        );
    }
    let changed = TraceEstimatorConfig::new().with_method(TraceMethod::Hutchinson).with_seed(9);
    let json = serde_json::to_string(&changed).unwrap();
    assert_eq!(serde_json::from_str::<TraceEstimatorConfig>(&json).unwrap(), changed);
    let found = estimate(&Identity::<B>::new(&space).unwrap(), TraceMethod::XTrace, 10, 0);
    let json = serde_json::to_string(&found).unwrap();
    let back: Estimate = serde_json::from_str(&json).unwrap();
    assert!((back.estimate - found.estimate).abs() < 1e-12 && back.products == found.products);
}
on_backends!(traces_of_bad_input: ndarray, flex, dispatch);

fn frobenius_norms<B: TestBackend>() {
    let n = 40;
    let rows = with_spectrum(&even(-2.0, 5.0, n), 8);
    let square: f64 = rows.iter().flatten().map(|a| a * a).sum();
    for &precision in B::PRECISIONS {
        let space = flat_space::<B>(n, precision);
        let a = operator(&rows, &space).counted();
        let config = FrobeniusNormConfig::new().with_products(30);
        for seed in 0..4 {
            let norm = config.clone().with_seed(seed).init().unwrap().estimate(&a).unwrap();
            assert!(norm.deviations_from(square.sqrt()) < 4.0, "{norm}");
            assert!(norm.standard_error < 0.1 * square.sqrt());
        }
        assert_eq!(a.applications(), 4 * 30);
        let exact = FrobeniusNormConfig::new().init().unwrap().estimate(&a).unwrap();
        assert!((exact.estimate / square.sqrt() - 1.0).abs() < 20.0 * precision.epsilon());
        assert_eq!((exact.products, exact.is_exact()), (n, true));
        // A row vector: v ↦ ⟨3·1, v⟩, with norm 3√n.
        let one = flat_space::<B>(1, precision);
        let target = one.clone();
        let row = FromFn::between(&space, &one, move |v: &ParamVector<B>| {
            let sum = 3.0 * v.dot(&v.space().ones())?;
            Ok(target.vector(&[sum])?)
        })
        .unwrap();
        let norm = FrobeniusNormConfig::new().init().unwrap().estimate(&row).unwrap();
        assert!((norm.estimate - 3.0 * (n as f64).sqrt()).abs() < 1e-4);
        let zero = Diagonal::new(space.zeros()).unwrap();
        let norm = config.init().unwrap().estimate(&zero).unwrap();
        assert_eq!((norm.estimate, norm.standard_error), (0.0, 0.0));
    }
    let space = flat_space::<B>(n, Precision::F64);
    let a = operator(&rows, &space);
    let found: Vec<Estimate> = (0..100)
        .map(|seed| {
            let config = FrobeniusNormConfig::new().with_products(30).with_seed(seed);
            config.init().unwrap().estimate_square(&a).unwrap()
        })
        .collect();
    calibration(&found, square).expect("Frobenius", 0.75..=1.33);
    let large = flat::<B>(&vec![1e25; n], Precision::F32);
    let refused =
        FrobeniusNormConfig::new().init().unwrap().estimate(&Diagonal::new(large.clone()).unwrap());
    assert!(matches!(failure(&refused), Some(KrylovError::Range { .. })));
    assert_eq!(FrobeniusNormConfig::new().with_products(1).init().unwrap_err().field, "products");
}
on_backends!(frobenius_norms: ndarray, flex, dispatch);
