//! Vectors and layouts: arithmetic against f64 on the host, selections, what is refused.

mod devices;
mod models;
mod of_models;

use models::values;
use std::sync::Arc;

use burn::Tensor;
use burn_curvature::{
    DeviceScalar, ParamLayout, ParamSpace, ParamVector, Precision,
    errors::{BlockDifference, ParamError, VectorError},
};

use crate::{TestBackend, assert_close, dense::dot, flat, flat_space, on, random::SplitMix64};

pub(super) fn blocks() -> Arc<ParamLayout> {
    ParamLayout::from_shapes([("a.w", vec![2, 3]), ("a.b", vec![3]), ("c", vec![2, 1, 2])]).unwrap()
}

fn rounding(precision: Precision) -> f64 {
    8.0 * precision.epsilon()
}

/// Every operation against the same on plain numbers.
fn arithmetic<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for seed in 0..5 {
            let mut numbers = SplitMix64::new(seed);
            let (a, b) = (numbers.normals(13), numbers.normals(13));
            let x = on::<B>(&blocks(), &a, precision);
            let y = on::<B>(&blocks(), &b, precision);
            let close = |found: ParamVector<B>, expected: &dyn Fn(f64, f64) -> f64| {
                let expected: Vec<f64> = a.iter().zip(&b).map(|(a, b)| expected(*a, *b)).collect();
                assert_eq!(found.precision(), precision);
                assert_close(&found.to_vec().unwrap(), &expected, rounding(precision));
            };
            close(x.clone().add(&y).unwrap(), &|a, b| a + b);
            close(x.clone().sub(&y).unwrap(), &|a, b| a - b);
            close(x.clone().mul(&y).unwrap(), &|a, b| a * b);
            close(x.clone().axpy(-1.5, &y).unwrap(), &|a, b| a - 1.5 * b);
            close(x.clone().scale(3.0), &|a, _| 3.0 * a);
            close(x.clone().neg(), &|a, _| -a);
            close(x.space().ones(), &|_, _| 1.0);
            let s = DeviceScalar::new(0.75, x.device(), precision).unwrap();
            close(x.clone().scale_device(&s).unwrap(), &|a, _| 0.75 * a);
            close(x.clone().axpy_device(&s, &y).unwrap(), &|a, b| a + 0.75 * b);
            close(x.clone().aypx_device(&s, &y).unwrap(), &|a, b| 0.75 * a + b);
            // The same where the values are not shared, so that they may be changed in place.
            let alone = || x.clone().scale(2.0);
            close(alone().axpy(-1.5, &y).unwrap(), &|a, b| 2.0 * a - 1.5 * b);
            close(alone().axpy_device(&s, &y).unwrap(), &|a, b| 2.0 * a + 0.75 * b);
            close(alone().aypx_device(&s, &y).unwrap(), &|a, b| 1.5 * a + b);
            // Nothing above may have touched the originals.
            close(x.clone(), &|a, _| a);
            close(y.clone(), &|_, b| b);
            let product = x.dot(&y).unwrap();
            assert!((product - dot(&a, &b)).abs() < 100.0 * precision.epsilon());
            let norm = x.norm().unwrap();
            assert!((norm / dot(&a, &a).sqrt() - 1.0).abs() < 20.0 * precision.epsilon());
        }
    }
}
on_backends!(arithmetic: ndarray, flex, dispatch);

/// ‖x‖ where ‖x‖² leaves the range of f32.
fn norm_of_extremes<B: TestBackend>() {
    for (value, count) in [(1e-30, 4), (1e30, 9), (0.0, 3)] {
        let x = flat::<B>(&vec![value; count], Precision::F32);
        let expected = value * (count as f64).sqrt();
        assert!((x.norm().unwrap() - expected).abs() <= 1e-6 * expected, "{value}");
    }
    let nan = flat::<B>(&[1.0, f64::NAN, 2.0], Precision::F32);
    assert!(nan.norm().unwrap().is_nan());
    let infinite = flat::<B>(&[1.0, f64::INFINITY], Precision::F32);
    assert_eq!(infinite.norm().unwrap(), f64::INFINITY);
    assert!(flat::<B>(&[1e30, 1.0], Precision::F32).expect_finite("x").is_ok());
    let error = nan.expect_finite("x").unwrap_err();
    let expected = VectorError::NonFinite { what: "x".into(), block: "x".into(), count: 1 };
    assert_eq!(error, expected);
}
on_backends!(norm_of_extremes: ndarray, flex, dispatch);

fn device_scalars<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let scalar = |value| DeviceScalar::<B>::new(value, &B::device(), precision).unwrap();
        let (a, b) = (scalar(6.25), scalar(-2.5));
        let results = [
            a.add(&b).unwrap(),
            a.sub(&b).unwrap(),
            a.mul(&b).unwrap(),
            a.div(&b).unwrap(),
            a.neg(),
            a.sqrt(),
        ];
        let read = DeviceScalar::read_many(&results.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(read, [3.75, 8.75, -15.625, -2.5, -6.25, 2.5]);
        let third = scalar(1.0).div(&scalar(3.0)).unwrap().read().unwrap();
        let rounded = if precision == Precision::F32 { f64::from(1_f32 / 3.0) } else { 1.0 / 3.0 };
        assert_eq!(third, rounded);
        assert!(DeviceScalar::<B>::read_many(&[]).unwrap().is_empty());
        assert!(a.div(&scalar(0.0)).unwrap().read().unwrap().is_infinite());
    }
    if let [first, second] = B::PRECISIONS {
        let a = DeviceScalar::<B>::new(1.0, &B::device(), *first).unwrap();
        let b = DeviceScalar::<B>::new(1.0, &B::device(), *second).unwrap();
        assert!(matches!(a.add(&b), Err(VectorError::PrecisionMismatch { .. })));
        let x = flat::<B>(&[1.0], *second);
        assert!(matches!(x.scale_device(&a), Err(VectorError::PrecisionMismatch { .. })));
    }
}
on_backends!(device_scalars: ndarray, flex, dispatch);

fn random_vectors<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let space = flat_space::<B>(10_000, precision);
        for seed in [0, 1, 12_345] {
            let signs = space.rademacher(seed).to_vec().unwrap();
            assert!(signs.iter().all(|x| x.abs() == 1.0));
            assert!(signs.iter().sum::<f64>().abs() < 400.0, "mean of signs");
            let normal = space.normal(seed).to_vec().unwrap();
            let mean = normal.iter().sum::<f64>() / 1e4;
            let variance = normal.iter().map(|x| x * x).sum::<f64>() / 1e4;
            assert!(mean.abs() < 0.04 && (variance - 1.0).abs() < 0.06, "{mean} {variance}");
            assert_eq!(normal, space.normal(seed).to_vec().unwrap());
            assert_ne!(normal, space.normal(seed + 1).to_vec().unwrap());
            assert_ne!(signs, space.rademacher(seed + 1).to_vec().unwrap());
        }
        // The layout does not change the numbers.
        let (split, whole) =
            (on::<B>(&blocks(), &[0.0; 13], precision), flat::<B>(&[0.0; 13], precision));
        assert_eq!(
            split.space().normal(7).to_vec().unwrap(),
            whole.space().normal(7).to_vec().unwrap()
        );
    }
}
on_backends!(random_vectors: ndarray, flex, dispatch);

fn flat_and_back<B: TestBackend>() {
    let numbers: Vec<f64> = (0..13).map(|i| f64::from(i) / 4.0).collect();
    for &precision in B::PRECISIONS {
        let x = on::<B>(&blocks(), &numbers, precision);
        assert_eq!(x.to_vec().unwrap(), numbers);
        let tensor = x.to_tensor();
        assert_eq!(tensor.dims(), [13]);
        assert_eq!(values(tensor.clone()), numbers);
        let back = ParamVector::<B>::from_tensor(&blocks(), tensor.clone()).unwrap();
        assert_eq!(back.precision(), precision);
        assert_eq!(back.to_vec().unwrap(), numbers);
        let tracked = Tensor::from_inner(tensor).require_grad();
        assert!(ParamVector::<B>::from_tensor(&blocks(), tracked).is_ok());
        let short = Tensor::<1>::zeros([12], &B::user_device());
        let error = ParamVector::<B>::from_tensor(&blocks(), short).unwrap_err();
        let expected = VectorError::LengthMismatch { expected: 13, found: 12 };
        assert_eq!(error, ParamError::Vector(expected));
    }
    if let [first, second] = B::PRECISIONS {
        let x = on::<B>(&blocks(), &numbers, *first);
        let y = x.clone().cast(*second).unwrap();
        assert_eq!((y.precision(), y.to_vec().unwrap()), (*second, numbers));
        assert!(matches!(x.dot(&y), Err(VectorError::PrecisionMismatch { .. })));
    }
}
on_backends!(flat_and_back: ndarray, flex, dispatch);

fn mismatches_are_named<B: TestBackend>() {
    let precision = B::PRECISIONS[0];
    let x = on::<B>(&blocks(), &[1.0; 13], precision);
    let renamed =
        ParamLayout::from_shapes([("a.w", vec![2, 3]), ("a.bias", vec![3]), ("c", vec![4])])
            .unwrap();
    let error = x.clone().add(&on::<B>(&renamed, &[1.0; 13], precision)).unwrap_err();
    let expected = VectorError::LayoutMismatch {
        expected: 13,
        found: 13,
        difference: BlockDifference::Name {
            index: 1,
            expected: "a.b".into(),
            found: "a.bias".into(),
        },
    };
    assert_eq!(error, expected);
    assert!(error.to_string().contains("13") && error.to_string().contains("a.bias"));

    let shorter = ParamLayout::from_shapes([("a.w", vec![2, 3]), ("a.b", vec![3])]).unwrap();
    let error = x.dot(&on::<B>(&shorter, &[1.0; 9], precision)).unwrap_err();
    assert!(
        error.to_string().contains("13 elements") && error.to_string().contains("`c` is missing"),
        "{error}"
    );
    let error = on::<B>(&shorter, &[1.0; 9], precision).axpy(1.0, &x).unwrap_err();
    assert!(error.to_string().contains("`c` is one too many"), "{error}");

    // A block left out in front is named as such, and so is one that was put in.
    let frozen = ParamLayout::from_shapes([("a.b", vec![3]), ("c", vec![4])]).unwrap();
    let y = on::<B>(&frozen, &[1.0; 7], precision);
    let error = x.dot(&y).unwrap_err();
    assert!(error.to_string().contains("`a.w` is missing (was it frozen since?)"), "{error}");
    let error = y.dot(&x).unwrap_err();
    assert!(error.to_string().contains("`a.w` is one too many"), "{error}");

    let length = ParamSpace::<B>::new(&blocks(), &B::device(), precision)
        .unwrap()
        .vector(&[1.0])
        .unwrap_err();
    assert_eq!(length, VectorError::LengthMismatch { expected: 13, found: 1 });
    let mut parts = x.clone().into_blocks();
    parts.pop();
    let count = ParamVector::<B>::from_blocks(&blocks(), parts.clone()).unwrap_err();
    assert_eq!(count, VectorError::BlockCount { expected: 3, found: 2 });
    parts.push(parts[0].clone());
    let shape = ParamVector::<B>::from_blocks(&blocks(), parts).unwrap_err();
    assert!(matches!(shape, VectorError::BlockShape { ref block, .. } if block == "c"));
}
on_backends!(mismatches_are_named: ndarray, flex, dispatch);

fn layouts_are_checked<B: TestBackend>() {
    assert!(matches!(ParamLayout::flat(0), Err(ParamError::EmptyBlock { .. })));
    let twice = ParamLayout::from_shapes([("a", [1]), ("a", [2])]);
    assert_eq!(twice, Err(ParamError::DuplicateName { block: "a".into() }));
    let half = usize::MAX / 2 + 1;
    for shapes in [
        vec![("a", vec![half + 1, 2])],
        vec![("a", vec![half, half])],
        vec![("a", vec![half - 1]), ("b", vec![half + 3])],
        vec![("a", vec![usize::MAX / 8])],
    ] {
        let wrapped = ParamLayout::from_shapes(shapes.clone());
        assert!(
            matches!(wrapped, Err(ParamError::TooManyElements { .. })),
            "{shapes:?}: {wrapped:?}"
        );
    }
    assert!(ParamLayout::from_shapes::<String, Vec<usize>>([]).is_err());
    assert_eq!(blocks(), blocks());
    assert_eq!(blocks().block("c").unwrap().range(), 9..13);
    assert!(blocks().to_string().ends_with("13"));
}
on_backends!(layouts_are_checked: ndarray, flex, dispatch);

/// Selections: patterns, modules, predicates; restricting undoes embedding.
fn subsets<B: TestBackend>() {
    let precision = B::PRECISIONS[0];
    let layout = blocks();
    let names = |subset: burn_curvature::ParamSubset| -> Vec<String> {
        subset.layout().blocks().iter().map(|block| block.name().to_string()).collect()
    };
    assert_eq!(names(layout.select("a.*").unwrap()), ["a.w", "a.b"]);
    assert_eq!(names(layout.select("*.?").unwrap()), ["a.w", "a.b"]);
    assert_eq!(names(layout.select("?").unwrap()), ["c"]);
    assert_eq!(names(layout.select("*w*").unwrap()), ["a.w"]);
    assert_eq!(names(layout.select_module("a").unwrap()), ["a.w", "a.b"]);
    assert_eq!(names(layout.select_by(|block| block.shape().len() == 3).unwrap()), ["c"]);
    for nothing in [layout.select("w"), layout.select_module("a.w.x"), layout.select_module("a.")] {
        let error = nothing.unwrap_err();
        assert!(error.to_string().contains("a.w, a.b, c"), "{error}");
    }
    let subset = layout.select_by(|block| block.name() != "a.b").unwrap();
    let mut numbers = SplitMix64::new(3);
    let x = on::<B>(&layout, &numbers.normals(13), precision);
    let part = subset.restrict(&x).unwrap();
    let embedded = subset.embed(&part).unwrap();
    assert_eq!(part.len(), 10);
    assert_eq!(subset.restrict(&embedded).unwrap().to_vec().unwrap(), part.to_vec().unwrap());
    let (whole, embedded) = (x.to_vec().unwrap(), embedded.to_vec().unwrap());
    assert_eq!(embedded[..6], whole[..6]);
    assert_eq!(embedded[6..9], [0.0; 3]);
    assert_eq!(embedded[9..], whole[9..]);
    assert!(subset.restrict(&part).is_err() && subset.embed(&x).is_err());
}
on_backends!(subsets: ndarray, flex, dispatch);
