//! Models there and back: layouts, values, leaves, gradients, tied weights.

use burn::{
    Tensor,
    module::Module,
    nn::{LinearConfig, LinearLayout},
    optim::{GradientsParams, SgdConfig},
};
use burn_curvature::{ParamLayout, ParamVector, errors::ParamError};

use super::{
    blocks,
    models::{Mlp, Tied, batch, values},
};
use crate::{TestBackend, assert_close, flat};

/// The running statistics of the normalization are floats of the module and no parameters.
fn layout_of_a_model<B: TestBackend>() {
    let device = B::user_device().autodiff();
    let model = Mlp::new(&device);
    let layout = ParamLayout::of(&model).unwrap();
    let names: Vec<_> = layout.blocks().iter().map(|block| block.name()).collect();
    let expected =
        ["first.weight", "first.bias", "norm.gamma", "norm.beta", "second.weight", "second.bias"];
    assert_eq!(names, expected);
    assert_eq!(layout.len(), 12 + 4 + 4 + 4 + 8 + 2);
    assert_eq!(layout.block("second.weight").unwrap().id(), Some(model.second.weight.id));

    let partly = Mlp { first: model.first.clone().freeze(), ..model.clone() };
    assert_eq!(ParamLayout::of(&partly).unwrap().len(), 18);
    let frozen = ParamLayout::of(&model.clone().freeze()).unwrap_err();
    assert_eq!(frozen, ParamError::NoTrainable { plain: 0, frozen: 8 });
    let valid = ParamLayout::of(&model.valid()).unwrap_err();
    assert_eq!(valid, ParamError::NoTrainable { plain: 8, frozen: 0 });
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
    assert_eq!(error, ParamError::MissingParameter { block: "first.weight".into() });
    assert!(theta.dot(&foreign.clone().with_layout(&layout).unwrap()).is_ok());
    assert!(foreign.with_layout(&blocks()).is_err());
}
on_backends!(layout_of_a_model: ndarray, flex, dispatch);

/// Parameters that Burn has not initialized yet are one and the same in a clone.
fn lazy_parameters<B: TestBackend>() {
    let model = LinearConfig::new(3, 2).init(&B::user_device().autodiff());
    let clone = model.clone();
    let layout = ParamLayout::of(&model).unwrap();
    let theta = ParamVector::<B>::from_module(&clone).unwrap();
    assert_eq!(**theta.layout(), *layout);
    let own = ParamVector::<B>::from_module(&model).unwrap();
    assert_eq!(theta.to_vec().unwrap(), own.to_vec().unwrap());
}
on_backends!(lazy_parameters: ndarray, flex, dispatch);

/// What comes back trains on: values, identities, flags, leaves.
fn model_round_trip<B: TestBackend>() {
    let device = B::user_device().autodiff();
    let mut model = Mlp::new(&device);
    model.first.bias = model.first.bias.map(|bias| bias.set_require_grad(false));
    let theta = ParamVector::<B>::from_module(&model).unwrap();
    let twice = theta.clone().scale(2.0).write_to(&model).unwrap();

    assert_eq!(ParamLayout::of(&twice).unwrap(), *theta.layout());
    let doubled: Vec<f64> = theta.to_vec().unwrap().iter().map(|x| 2.0 * x).collect();
    assert_eq!(ParamVector::<B>::from_module(&twice).unwrap().to_vec().unwrap(), doubled);
    let weight = values(model.first.weight.val());
    assert_eq!(
        values(twice.first.weight.val()),
        weight.iter().map(|x| 2.0 * x).collect::<Vec<_>>()
    );
    // Untouched: the frozen bias, the running statistics, the original.
    let bias = |model: &Mlp| values(model.first.bias.as_ref().unwrap().val());
    assert_eq!(bias(&twice), bias(&model));
    assert!(!twice.first.bias.as_ref().unwrap().is_require_grad());
    assert_eq!(values(twice.norm.running_mean.value()), values(model.norm.running_mean.value()));
    assert_eq!(
        ParamVector::<B>::from_module(&model).unwrap().to_vec().unwrap(),
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
        &ParamVector::<B>::from_module(&stepped).unwrap().to_vec().unwrap(),
        &expected,
        1e-7,
    );
}
on_backends!(model_round_trip: ndarray, flex, dispatch);

/// An f64 step on an f32 model.
fn step_in_another_precision<B: TestBackend>() {
    let model = Mlp::new(&B::user_device().autodiff());
    let theta = ParamVector::<B>::from_module(&model).unwrap();
    for &precision in B::PRECISIONS {
        let step = theta.space().normal(3).cast(precision).unwrap();
        let stepped = ParamVector::<B>::from_module(&step.add_to(&model, 0.5).unwrap()).unwrap();
        assert_eq!(stepped.precision(), theta.precision());
        let expected = theta.clone().axpy(0.5, &step.cast(theta.precision()).unwrap()).unwrap();
        assert_close(&stepped.to_vec().unwrap(), &expected.to_vec().unwrap(), 1e-7);
    }
}
on_backends!(step_in_another_precision: ndarray, flex, dispatch);

/// A transposed weight is read and written in the orientation in which the model uses it.
fn column_layout<B: TestBackend>() {
    let device = B::user_device().autodiff();
    let model = LinearConfig::new(3, 2).with_layout(LinearLayout::Col).init(&device);
    let theta = ParamVector::<B>::from_module(&model).unwrap();
    assert_eq!(theta.layout().block("weight").unwrap().shape(), [3, 2]);
    assert_eq!(theta.to_vec().unwrap()[..6], values(model.weight.val()));
    let stepped = theta.add_to(&model, 1.0).unwrap();
    assert!(stepped.weight.is_require_grad());
    let doubled: Vec<f64> = values(model.weight.val()).iter().map(|x| 2.0 * x).collect();
    assert_eq!(values(stepped.weight.val()), doubled);
}
on_backends!(column_layout: ndarray, flex, dispatch);

/// The checkpointing strategy of a parameter survives a step.
fn checkpointing<B: TestBackend>() {
    let device = B::user_device().autodiff().gradient_checkpointing();
    let model = LinearConfig::new(3, 2).init(&device);
    let strategy = model.weight.gradient_checkpointing_strategy();
    assert_ne!(
        strategy,
        LinearConfig::new(3, 2)
            .init(&B::user_device().autodiff())
            .weight
            .gradient_checkpointing_strategy()
    );
    let theta = ParamVector::<B>::from_module(&model).unwrap();
    let stepped = theta.add_to(&model, 1.0).unwrap();
    assert_eq!(stepped.weight.gradient_checkpointing_strategy(), strategy);
    let gradients = stepped.forward(batch(&device)).sum().backward();
    assert!(ParamVector::<B>::from_backward(&stepped, gradients).unwrap().norm().unwrap() > 0.0);
}
on_backends!(checkpointing: ndarray, flex, dispatch);

/// Burn's optimizer takes our step: with learning rate 1 it arrives at θ − x.
fn burn_optimizer<B: TestBackend>() {
    let model = Mlp::new(&B::user_device().autodiff());
    let theta = ParamVector::<B>::from_module(&model).unwrap();
    let step = theta.space().normal(11);
    let gradients = step.clone().into_gradients().unwrap();
    assert_eq!(gradients.len(), theta.layout().blocks().len());
    let stepped = SgdConfig::new().init().step(1.0, model, gradients);
    let found = ParamVector::<B>::from_module(&stepped).unwrap().to_vec().unwrap();
    assert_close(&found, &theta.sub(&step).unwrap().to_vec().unwrap(), 1e-7);
    let model_free = flat::<B>(&[1.0], B::PRECISIONS[0]).into_gradients();
    assert_eq!(model_free.err(), Some(ParamError::NoIdentity { block: "x".into() }));
}
on_backends!(burn_optimizer: ndarray, flex, dispatch);

fn burn_gradients<B: TestBackend>() {
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
    let gradient = ParamVector::<B>::from_backward(&model, partial()).unwrap().to_vec().unwrap();
    assert!(gradient[..12].iter().any(|x| *x != 0.0));
    assert_eq!(gradient[24..], [0.0; 10]);
    let partial = GradientsParams::from_grads(partial(), &model);
    assert_eq!(
        ParamVector::<B>::from_gradients(&model, &partial).unwrap().to_vec().unwrap(),
        gradient
    );

    let foreign = ParamVector::<B>::from_gradients(&Mlp::new(&device), &by_parameter).unwrap_err();
    assert_eq!(foreign, ParamError::ForeignGradients { found: 6 });
}
on_backends!(burn_gradients: ndarray, flex, dispatch);

/// Tied weights: one block, written to both places, gradients summed over both, however Burn keeps them.
fn tied_weights<B: TestBackend>() {
    let device = B::user_device().autodiff();
    let model = Tied::new(&device);
    let layout = ParamLayout::of(&model).unwrap();
    assert_eq!(layout.len(), 12);
    assert_eq!(layout.blocks()[0].aliases(), ["decoder.weight"]);
    assert_eq!(layout.select_module("decoder").unwrap().layout().len(), 9);

    let theta = ParamVector::<B>::from_module(&model).unwrap();
    let stepped = theta.add_to(&model, 1.0).unwrap();
    assert_eq!(values(stepped.encoder.weight.val()), values(stepped.decoder.weight.val()));

    // As built, both places are one leaf; after a validation round trip they are two.
    let x = batch(&device);
    let one_leaf =
        ParamVector::<B>::from_backward(&model, model.loss(x.clone()).backward()).unwrap();
    let expected = by_difference::<B>(&model, &theta, x.clone());
    assert_close(&one_leaf.to_vec().unwrap(), &expected, 1e-2);
    let by_parameter = GradientsParams::from_grads(model.loss(x.clone()).backward(), &model);
    // The check of the leaves must not disturb a graph that the user has not differentiated yet.
    let pending = model.loss(x.clone());
    let found = ParamVector::<B>::from_gradients(&model, &by_parameter).unwrap();
    assert_close(&found.to_vec().unwrap(), &one_leaf.to_vec().unwrap(), 1e-6);
    let later = ParamVector::<B>::from_backward(&model, pending.backward()).unwrap();
    assert_close(&later.to_vec().unwrap(), &one_leaf.to_vec().unwrap(), 1e-6);

    // After our step they are one leaf still, or again.
    let merged = theta.write_to(&model.valid().train()).unwrap();
    let by_parameter = GradientsParams::from_grads(merged.loss(x.clone()).backward(), &merged);
    let found = ParamVector::<B>::from_gradients(&merged, &by_parameter).unwrap();
    assert_close(&found.to_vec().unwrap(), &one_leaf.to_vec().unwrap(), 1e-6);

    let split = model.valid().train();
    let two_leaves =
        ParamVector::<B>::from_backward(&split, split.loss(x.clone()).backward()).unwrap();
    assert_close(&two_leaves.to_vec().unwrap(), &one_leaf.to_vec().unwrap(), 1e-6);
    let by_parameter = GradientsParams::from_grads(split.loss(x).backward(), &split);
    let error = ParamVector::<B>::from_gradients(&split, &by_parameter).unwrap_err();
    let names = ("encoder.weight".to_string(), "decoder.weight".to_string());
    assert_eq!(
        error,
        ParamError::SeparateLeaves { block: names.0.clone(), alias: names.1.clone() }
    );

    // Burn's optimizer moves the first place only; that is noticed, and mended.
    let step = theta.space().ones().into_gradients().unwrap();
    let apart = SgdConfig::new().init().step(0.5, model, step);
    let error = ParamVector::<B>::from_module(&apart).unwrap_err();
    assert_eq!(error, ParamError::TiedApart { block: names.0, alias: names.1 });
    let mended = layout.retie(&apart);
    let gradients = GradientsParams::from_grads(mended.loss(batch(&device)).backward(), &mended);
    assert!(ParamVector::<B>::from_gradients(&mended, &gradients).is_ok());
    let mended = ParamVector::<B>::from_module(&mended).unwrap();
    let expected: Vec<f64> = theta.to_vec().unwrap().iter().map(|x| x - 0.5).collect();
    assert_close(&mended.to_vec().unwrap(), &expected, 1e-6);
}
on_backends!(tied_weights: ndarray, flex, dispatch);

/// Central differences of the loss, in f32 and so only rough.
fn by_difference<B: TestBackend>(model: &Tied, theta: &ParamVector<B>, x: Tensor<2>) -> Vec<f64> {
    let h = 1e-2;
    let loss = |offset: &[f64]| {
        let moved = theta.space().vector(offset).unwrap().add_to(model, 1.0).unwrap();
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
