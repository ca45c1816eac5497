//! Vectors and layouts: arithmetic against f64 on the host, models there and back.

use std::sync::Arc;

use burn::{
    Tensor,
    module::Module,
    nn::{LinearConfig, LinearLayout},
    optim::{GradientsParams, SgdConfig},
};
use burn_curvature::{
    BlockDifference, DeviceScalar, ParamError, ParamLayout, ParamVector, Precision, VectorError,
};

use super::{
    TestBackend, assert_close, flat,
    models::{Mlp, Tied, batch, values},
    on,
    oracle::{Numbers, dot},
};

fn blocks() -> Arc<ParamLayout> {
    ParamLayout::from_shapes([("a.w", vec![2, 3]), ("a.b", vec![3]), ("c", vec![2, 1, 2])]).unwrap()
}

fn rounding(precision: Precision) -> f64 {
    8.0 * precision.epsilon()
}

/// Every operation against the same on plain numbers.
pub fn arithmetic<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        for seed in 0..5 {
            let mut numbers = Numbers(seed);
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
            close(x.ones_like(), &|_, _| 1.0);
            let s = DeviceScalar::new(0.75, x.device(), precision).unwrap();
            close(x.clone().scale_device(&s).unwrap(), &|a, _| 0.75 * a);
            close(x.clone().axpy_device(&s, &y).unwrap(), &|a, b| a + 0.75 * b);
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

/// ‖x‖ where ‖x‖² leaves the range of f32.
pub fn norm_of_extremes<B: TestBackend>() {
    for (value, count) in [(1e-30, 4), (1e30, 9), (0.0, 3)] {
        let x = flat::<B>(&vec![value; count], Precision::F32);
        let expected = value * (count as f64).sqrt();
        assert!(
            (x.norm().unwrap() - expected).abs() <= 1e-6 * expected,
            "{value}"
        );
    }
    let nan = flat::<B>(&[1.0, f64::NAN, 2.0], Precision::F32);
    assert!(nan.norm().unwrap().is_nan());
    let infinite = flat::<B>(&[1.0, f64::INFINITY], Precision::F32);
    assert_eq!(infinite.norm().unwrap(), f64::INFINITY);
    assert!(
        flat::<B>(&[1e30, 1.0], Precision::F32)
            .expect_finite("x")
            .is_ok()
    );
    let error = nan.expect_finite("x").unwrap_err();
    let expected = VectorError::NonFinite {
        what: "x".into(),
        block: "x".into(),
        count: 1,
    };
    assert_eq!(error, expected);
}

pub fn device_scalars<B: TestBackend>() {
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
        assert!(DeviceScalar::<B>::read_many(&[]).unwrap().is_empty());
        assert!(a.div(&scalar(0.0)).unwrap().read().unwrap().is_infinite());
    }
    if let [first, second] = B::PRECISIONS {
        let a = DeviceScalar::<B>::new(1.0, &B::device(), *first).unwrap();
        let b = DeviceScalar::<B>::new(1.0, &B::device(), *second).unwrap();
        assert!(matches!(
            a.add(&b),
            Err(VectorError::PrecisionMismatch { .. })
        ));
        let x = flat::<B>(&[1.0], *second);
        assert!(matches!(
            x.scale_device(&a),
            Err(VectorError::PrecisionMismatch { .. })
        ));
    }
}

pub fn random_vectors<B: TestBackend>() {
    for &precision in B::PRECISIONS {
        let like = flat::<B>(&vec![0.0; 10_000], precision);
        for seed in [0, 1, 12_345] {
            let signs = like.rademacher_like(seed).unwrap().to_vec().unwrap();
            assert!(signs.iter().all(|x| x.abs() == 1.0));
            assert!(signs.iter().sum::<f64>().abs() < 400.0, "mean of signs");
            let normal = like.normal_like(seed).unwrap().to_vec().unwrap();
            let mean = normal.iter().sum::<f64>() / 1e4;
            let variance = normal.iter().map(|x| x * x).sum::<f64>() / 1e4;
            assert!(
                mean.abs() < 0.04 && (variance - 1.0).abs() < 0.06,
                "{mean} {variance}"
            );
            assert_eq!(normal, like.normal_like(seed).unwrap().to_vec().unwrap());
            assert_ne!(
                normal,
                like.normal_like(seed + 1).unwrap().to_vec().unwrap()
            );
            assert_ne!(
                signs,
                like.rademacher_like(seed + 1).unwrap().to_vec().unwrap()
            );
        }
        // The layout does not change the numbers.
        let (split, whole) = (
            on::<B>(&blocks(), &[0.0; 13], precision),
            flat::<B>(&[0.0; 13], precision),
        );
        assert_eq!(
            split.normal_like(7).unwrap().to_vec().unwrap(),
            whole.normal_like(7).unwrap().to_vec().unwrap()
        );
    }
}

pub fn flat_and_back<B: TestBackend>() {
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
        let expected = VectorError::LengthMismatch {
            expected: 13,
            found: 12,
        };
        assert_eq!(error, ParamError::Vector(expected));
    }
    if let [first, second] = B::PRECISIONS {
        let x = on::<B>(&blocks(), &numbers, *first);
        let y = x.clone().cast(*second).unwrap();
        assert_eq!((y.precision(), y.to_vec().unwrap()), (*second, numbers));
        assert!(matches!(
            x.dot(&y),
            Err(VectorError::PrecisionMismatch { .. })
        ));
    }
}

pub fn mismatches_are_named<B: TestBackend>() {
    let precision = B::PRECISIONS[0];
    let x = on::<B>(&blocks(), &[1.0; 13], precision);
    let renamed =
        ParamLayout::from_shapes([("a.w", vec![2, 3]), ("a.bias", vec![3]), ("c", vec![4])])
            .unwrap();
    let error = x
        .clone()
        .add(&on::<B>(&renamed, &[1.0; 13], precision))
        .unwrap_err();
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
        error.to_string().contains("13 numbers") && error.to_string().contains("`c` is missing"),
        "{error}"
    );
    let error = on::<B>(&shorter, &[1.0; 9], precision)
        .axpy(1.0, &x)
        .unwrap_err();
    assert!(error.to_string().contains("`c` is one too many"), "{error}");

    let length =
        ParamVector::<B>::from_vec(&blocks(), &[1.0], &B::device(), precision).unwrap_err();
    assert_eq!(
        length,
        VectorError::LengthMismatch {
            expected: 13,
            found: 1
        }
    );
    let mut parts = x.clone().into_blocks();
    parts.pop();
    let count = ParamVector::<B>::from_blocks(&blocks(), parts.clone()).unwrap_err();
    assert_eq!(
        count,
        VectorError::BlockCount {
            expected: 3,
            found: 2
        }
    );
    parts.push(parts[0].clone());
    let shape = ParamVector::<B>::from_blocks(&blocks(), parts).unwrap_err();
    assert!(matches!(shape, VectorError::BlockShape { ref block, .. } if block == "c"));
}

pub fn layouts_are_checked<B: TestBackend>() {
    assert!(matches!(
        ParamLayout::flat(0),
        Err(ParamError::EmptyBlock { .. })
    ));
    let twice = ParamLayout::from_shapes([("a", [1]), ("a", [2])]);
    assert_eq!(twice, Err(ParamError::DuplicateName { block: "a".into() }));
    assert!(ParamLayout::from_shapes::<String, Vec<usize>>([]).is_err());
    assert_eq!(blocks(), blocks());
    assert_eq!(blocks().block("c").unwrap().range(), 9..13);
    assert!(blocks().to_string().ends_with("13"));
}

/// Selections: patterns, modules, predicates; restricting undoes embedding.
pub fn subsets<B: TestBackend>() {
    let precision = B::PRECISIONS[0];
    let layout = blocks();
    let names = |subset: burn_curvature::ParamSubset| -> Vec<String> {
        subset
            .layout()
            .blocks()
            .iter()
            .map(|block| block.name().to_string())
            .collect()
    };
    assert_eq!(names(layout.select("a.*").unwrap()), ["a.w", "a.b"]);
    assert_eq!(names(layout.select("*.?").unwrap()), ["a.w", "a.b"]);
    assert_eq!(names(layout.select("?").unwrap()), ["c"]);
    assert_eq!(names(layout.select("*w*").unwrap()), ["a.w"]);
    assert_eq!(names(layout.select_module("a").unwrap()), ["a.w", "a.b"]);
    assert_eq!(
        names(layout.select_by(|block| block.shape().len() == 3).unwrap()),
        ["c"]
    );
    for nothing in [
        layout.select("w"),
        layout.select_module("a.w.x"),
        layout.select_module("a."),
    ] {
        let error = nothing.unwrap_err();
        assert!(error.to_string().contains("a.w, a.b, c"), "{error}");
    }
    let subset = layout.select_by(|block| block.name() != "a.b").unwrap();
    let mut numbers = Numbers(3);
    let x = on::<B>(&layout, &numbers.normals(13), precision);
    let part = subset.restrict(&x).unwrap();
    let embedded = subset.embed(&part).unwrap();
    assert_eq!(part.len(), 10);
    assert_eq!(
        subset.restrict(&embedded).unwrap().to_vec().unwrap(),
        part.to_vec().unwrap()
    );
    let (whole, embedded) = (x.to_vec().unwrap(), embedded.to_vec().unwrap());
    assert_eq!(embedded[..6], whole[..6]);
    assert_eq!(embedded[6..9], [0.0; 3]);
    assert_eq!(embedded[9..], whole[9..]);
    assert!(subset.restrict(&part).is_err() && subset.embed(&x).is_err());
}

/// The running statistics of the normalisation are floats of the module and no parameters.
pub fn layout_of_a_model<B: TestBackend>() {
    let device = B::user_device().autodiff();
    let model = Mlp::new(&device);
    let layout = ParamLayout::of(&model).unwrap();
    let names: Vec<_> = layout.blocks().iter().map(|block| block.name()).collect();
    let expected = [
        "first.weight",
        "first.bias",
        "norm.gamma",
        "norm.beta",
        "second.weight",
        "second.bias",
    ];
    assert_eq!(names, expected);
    assert_eq!(layout.len(), 12 + 4 + 4 + 4 + 8 + 2);
    assert_eq!(
        layout.block("second.weight").unwrap().id(),
        Some(model.second.weight.id)
    );

    let partly = Mlp {
        first: model.first.clone().freeze(),
        ..model.clone()
    };
    assert_eq!(ParamLayout::of(&partly).unwrap().len(), 18);
    let frozen = ParamLayout::of(&model.clone().freeze()).unwrap_err();
    assert_eq!(
        frozen,
        ParamError::NoTrainable {
            plain: 0,
            frozen: 8
        }
    );
    let valid = ParamLayout::of(&model.valid()).unwrap_err();
    assert_eq!(
        valid,
        ParamError::NoTrainable {
            plain: 8,
            frozen: 0
        }
    );
    assert!(valid.to_string().contains(".train()"));

    // Another model of the same kind is another space, until the caller says otherwise.
    let other = Mlp::new(&device);
    let (theta, foreign) = (
        ParamVector::<B>::from_module(&model).unwrap(),
        ParamVector::<B>::from_module(&other).unwrap(),
    );
    let error = theta.dot(&foreign).unwrap_err();
    assert!(error.to_string().contains("another model"), "{error}");
    let error = theta.write_to(&other).unwrap_err();
    assert_eq!(
        error,
        ParamError::MissingParameter {
            block: "first.weight".into()
        }
    );
    assert!(
        theta
            .dot(&foreign.clone().with_layout(&layout).unwrap())
            .is_ok()
    );
    assert!(foreign.with_layout(&blocks()).is_err());
}

/// Parameters that Burn has not initialised yet are one and the same in a clone.
pub fn lazy_parameters<B: TestBackend>() {
    let model = LinearConfig::new(3, 2).init(&B::user_device().autodiff());
    let clone = model.clone();
    let layout = ParamLayout::of(&model).unwrap();
    let theta = ParamVector::<B>::from_module(&clone).unwrap();
    assert_eq!(**theta.layout(), *layout);
    let own = ParamVector::<B>::from_module(&model).unwrap();
    assert_eq!(theta.to_vec().unwrap(), own.to_vec().unwrap());
}

/// What comes back trains on: values, identities, flags, leaves.
pub fn model_round_trip<B: TestBackend>() {
    let device = B::user_device().autodiff();
    let mut model = Mlp::new(&device);
    model.first.bias = model.first.bias.map(|bias| bias.set_require_grad(false));
    let theta = ParamVector::<B>::from_module(&model).unwrap();
    let twice = theta.clone().scale(2.0).write_to(&model).unwrap();

    assert_eq!(ParamLayout::of(&twice).unwrap(), *theta.layout());
    let doubled: Vec<f64> = theta.to_vec().unwrap().iter().map(|x| 2.0 * x).collect();
    assert_eq!(
        ParamVector::<B>::from_module(&twice)
            .unwrap()
            .to_vec()
            .unwrap(),
        doubled
    );
    let weight = values(model.first.weight.val());
    assert_eq!(
        values(twice.first.weight.val()),
        weight.iter().map(|x| 2.0 * x).collect::<Vec<_>>()
    );
    // Untouched: the frozen bias, the running statistics, the original.
    let bias = |model: &Mlp| values(model.first.bias.as_ref().unwrap().val());
    assert_eq!(bias(&twice), bias(&model));
    assert!(!twice.first.bias.as_ref().unwrap().is_require_grad());
    assert_eq!(
        values(twice.norm.running_mean.value()),
        values(model.norm.running_mean.value())
    );
    assert_eq!(
        ParamVector::<B>::from_module(&model)
            .unwrap()
            .to_vec()
            .unwrap(),
        theta.to_vec().unwrap()
    );
    // Leaves: every parameter gets a gradient.
    let gradients = GradientsParams::from_grads(twice.loss(batch(&device)).backward(), &twice);
    assert_eq!(gradients.len(), theta.layout().blocks().len());
    // Frozen and validation models can be read and written by the layout that was taken before.
    let valid = theta.write_to(&twice.valid()).unwrap();
    assert!(!valid.first.weight.is_autodiff());
    let read = ParamVector::<B>::from_module_with(theta.layout(), &valid).unwrap();
    assert_eq!(read.to_vec().unwrap(), theta.to_vec().unwrap());
    assert_eq!(ParamLayout::of(&valid.train()).unwrap(), *theta.layout());
    assert_eq!(ParamLayout::of(&twice.clone()).unwrap(), *theta.layout());

    let stepped = theta.add_to(&model, -0.25).unwrap();
    let expected: Vec<f64> = theta.to_vec().unwrap().iter().map(|x| 0.75 * x).collect();
    assert_close(
        &ParamVector::<B>::from_module(&stepped)
            .unwrap()
            .to_vec()
            .unwrap(),
        &expected,
        1e-7,
    );
}

/// An f64 step on an f32 model.
pub fn step_in_another_precision<B: TestBackend>() {
    let model = Mlp::new(&B::user_device().autodiff());
    let theta = ParamVector::<B>::from_module(&model).unwrap();
    for &precision in B::PRECISIONS {
        let step = theta.normal_like(3).unwrap().cast(precision).unwrap();
        let stepped = ParamVector::<B>::from_module(&step.add_to(&model, 0.5).unwrap()).unwrap();
        assert_eq!(stepped.precision(), theta.precision());
        let expected = theta
            .clone()
            .axpy(0.5, &step.cast(theta.precision()).unwrap())
            .unwrap();
        assert_close(
            &stepped.to_vec().unwrap(),
            &expected.to_vec().unwrap(),
            1e-7,
        );
    }
}

/// A transposed weight is read and written in the orientation in which the model uses it.
pub fn column_layout<B: TestBackend>() {
    let device = B::user_device().autodiff();
    let model = LinearConfig::new(3, 2)
        .with_layout(LinearLayout::Col)
        .init(&device);
    let theta = ParamVector::<B>::from_module(&model).unwrap();
    assert_eq!(theta.layout().block("weight").unwrap().shape(), [3, 2]);
    assert_eq!(theta.to_vec().unwrap()[..6], values(model.weight.val()));
    let stepped = theta.add_to(&model, 1.0).unwrap();
    assert!(stepped.weight.is_require_grad());
    let doubled: Vec<f64> = values(model.weight.val()).iter().map(|x| 2.0 * x).collect();
    assert_eq!(values(stepped.weight.val()), doubled);
}

/// Burn's optimiser takes our step: with learning rate 1 it arrives at θ − x.
pub fn burn_optimiser<B: TestBackend>() {
    let model = Mlp::new(&B::user_device().autodiff());
    let theta = ParamVector::<B>::from_module(&model).unwrap();
    let step = theta.normal_like(11).unwrap();
    let gradients = step.clone().into_gradients().unwrap();
    assert_eq!(gradients.len(), theta.layout().blocks().len());
    let stepped = SgdConfig::new().init().step(1.0, model, gradients);
    let found = ParamVector::<B>::from_module(&stepped)
        .unwrap()
        .to_vec()
        .unwrap();
    assert_close(&found, &theta.sub(&step).unwrap().to_vec().unwrap(), 1e-7);
    let model_free = flat::<B>(&[1.0], B::PRECISIONS[0]).into_gradients();
    assert_eq!(
        model_free.err(),
        Some(ParamError::NoIdentity { block: "x".into() })
    );
}

pub fn burn_gradients<B: TestBackend>() {
    let device = B::user_device().autodiff();
    let model = Mlp::new(&device);
    let backward = || model.loss(batch(&device)).backward();
    let by_parameter = GradientsParams::from_grads(backward(), &model);
    let gradient = ParamVector::<B>::from_gradients(&model, &by_parameter).unwrap();
    let direct = ParamVector::<B>::from_backward(&model, backward()).unwrap();
    assert_eq!(gradient.to_vec().unwrap(), direct.to_vec().unwrap());
    let weight = values(model.first.weight.grad(&backward()).unwrap());
    assert_eq!(gradient.to_vec().unwrap()[..12], weight);

    // A loss that does not reach the second layer.
    let partial = || model.first.forward(batch(&device)).sum().backward();
    let gradient = ParamVector::<B>::from_backward(&model, partial())
        .unwrap()
        .to_vec()
        .unwrap();
    assert!(gradient[..12].iter().any(|x| *x != 0.0));
    assert_eq!(gradient[24..], [0.0; 10]);
    let partial = GradientsParams::from_grads(partial(), &model);
    assert_eq!(
        ParamVector::<B>::from_gradients(&model, &partial)
            .unwrap()
            .to_vec()
            .unwrap(),
        gradient
    );

    let foreign = ParamVector::<B>::from_gradients(&Mlp::new(&device), &by_parameter).unwrap_err();
    assert_eq!(foreign, ParamError::ForeignGradients { found: 6 });
}

/// Tied weights: one block, written to both places, gradients summed over both, however Burn keeps them.
pub fn tied_weights<B: TestBackend>() {
    let device = B::user_device().autodiff();
    let model = Tied::new(&device);
    let layout = ParamLayout::of(&model).unwrap();
    assert_eq!(layout.len(), 12);
    assert_eq!(layout.blocks()[0].aliases(), ["decoder.weight"]);
    assert_eq!(layout.select_module("decoder").unwrap().layout().len(), 9);

    let theta = ParamVector::<B>::from_module(&model).unwrap();
    let stepped = theta.add_to(&model, 1.0).unwrap();
    assert_eq!(
        values(stepped.encoder.weight.val()),
        values(stepped.decoder.weight.val())
    );

    // As built, both places are one leaf; after a validation round trip they are two.
    let x = batch(&device);
    let one_leaf =
        ParamVector::<B>::from_backward(&model, model.loss(x.clone()).backward()).unwrap();
    let expected = by_difference::<B>(&model, &theta, x.clone());
    assert_close(&one_leaf.to_vec().unwrap(), &expected, 1e-2);
    let by_parameter = GradientsParams::from_grads(model.loss(x.clone()).backward(), &model);
    let found = ParamVector::<B>::from_gradients(&model, &by_parameter).unwrap();
    assert_close(&found.to_vec().unwrap(), &one_leaf.to_vec().unwrap(), 1e-6);

    // After our step they are one leaf still, or again.
    let merged = theta.write_to(&model.valid().train()).unwrap();
    let by_parameter = GradientsParams::from_grads(merged.loss(x.clone()).backward(), &merged);
    let found = ParamVector::<B>::from_gradients(&merged, &by_parameter).unwrap();
    assert_close(&found.to_vec().unwrap(), &one_leaf.to_vec().unwrap(), 1e-6);

    let split = model.valid().train();
    let two_leaves =
        ParamVector::<B>::from_backward(&split, split.loss(x.clone()).backward()).unwrap();
    assert_close(
        &two_leaves.to_vec().unwrap(),
        &one_leaf.to_vec().unwrap(),
        1e-6,
    );
    let by_parameter = GradientsParams::from_grads(split.loss(x).backward(), &split);
    let error = ParamVector::<B>::from_gradients(&split, &by_parameter).unwrap_err();
    let names = ("encoder.weight".to_string(), "decoder.weight".to_string());
    assert_eq!(
        error,
        ParamError::SeparateLeaves {
            block: names.0.clone(),
            alias: names.1.clone()
        }
    );

    // Burn's optimiser moves the first place only; that is noticed, and mended.
    let step = theta.ones_like().into_gradients().unwrap();
    let apart = SgdConfig::new().init().step(0.5, model, step);
    let error = ParamVector::<B>::from_module(&apart).unwrap_err();
    assert_eq!(
        error,
        ParamError::TiedApart {
            block: names.0,
            alias: names.1
        }
    );
    let mended = layout.retie(&apart);
    let gradients = GradientsParams::from_grads(mended.loss(batch(&device)).backward(), &mended);
    assert!(ParamVector::<B>::from_gradients(&mended, &gradients).is_ok());
    let mended = ParamVector::<B>::from_module(&mended).unwrap();
    let expected: Vec<f64> = theta.to_vec().unwrap().iter().map(|x| x - 0.5).collect();
    assert_close(&mended.to_vec().unwrap(), &expected, 1e-6);
}

/// Central differences of the loss, in f32 and so only rough.
fn by_difference<B: TestBackend>(model: &Tied, theta: &ParamVector<B>, x: Tensor<2>) -> Vec<f64> {
    let h = 1e-2;
    let loss = |offset: &[f64]| {
        let moved = theta
            .from_vec_like(offset)
            .unwrap()
            .add_to(model, 1.0)
            .unwrap();
        values(moved.loss(x.clone()))[0]
    };
    (0..theta.len())
        .map(|i| {
            let mut offset = vec![0.0; theta.len()];
            offset[i] = h;
            let up = loss(&offset);
            offset[i] = -h;
            (up - loss(&offset)) / (2.0 * h)
        })
        .collect()
}
