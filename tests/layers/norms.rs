//! Normalizations.

use burn::nn::{
    BatchNorm, BatchNormConfig, GroupNorm, GroupNormConfig, InstanceNorm, InstanceNormConfig,
    LayerNorm, LayerNormConfig, LocalResponseNorm, LocalResponseNormConfig, RmsNorm, RmsNormConfig,
};
use burn::{
    backend::{Autodiff, Flex},
    module::Module,
    prelude::*,
};
use burn_curvature::{CaptureConfig, Objective};

use super::{
    check::Table,
    probe::{Probe, data, device, readout},
};

/// With running statistics that are not those of initialization.
fn batch_norm(features: usize) -> BatchNorm {
    let norm = BatchNormConfig::new(features).with_momentum(0.7).init(&device());
    let _ = norm.forward(data([9, features], 3) * 1.5 + 0.4);
    norm
}

#[test]
fn batch_norm_in_evaluation_mode() {
    let mut table = Table::new("BatchNorm");
    table.layer("rank 2", [5, 3], batch_norm(3), |norm: &BatchNorm, x: Tensor<2>| norm.forward(x));
    table.layer("rank 3", [2, 3, 4], batch_norm(3), |norm: &BatchNorm, x: Tensor<3>| {
        norm.forward(x)
    });
    table.layer("rank 4", [2, 3, 2, 4], batch_norm(3), |norm: &BatchNorm, x: Tensor<4>| {
        norm.forward(x)
    });
    table.layer("rank 5", [1, 3, 2, 2, 3], batch_norm(3), |norm: &BatchNorm, x: Tensor<5>| {
        norm.forward(x)
    });
    table.everywhere(
        "ndarray too",
        Probe::new(4, batch_norm(3)),
        data([2, 3, 2, 4], 1),
        |model: &Probe<BatchNorm>, x| readout::<4>(model.layer.forward(model.bent(x))),
    );
    table.finish();
}

/// A pass in training mode, made to compare gradients, is undone: capturing does not change the user's model.
#[test]
fn tracing_leaves_running_statistics_as_they_are() {
    let model = Probe::new(3, batch_norm(3));
    let statistics = |model: &Probe<BatchNorm>| {
        let layer = model.valid().layer;
        [layer.running_mean.value(), layer.running_var.value()].map(|tensor| tensor.into_data())
    };
    let before = statistics(&model);
    for config in [CaptureConfig::new(), CaptureConfig::new().evaluation()] {
        let batch: Tensor<3> = data([2, 3, 3], 1) * 3.0 + 1.0;
        let result = Objective::<Autodiff<Flex>>::capture_with(
            &config,
            &model,
            batch,
            |model: &Probe<BatchNorm>, x| readout::<3>(model.layer.forward(model.bent(x))),
        );
        assert_eq!(result.is_ok(), config == CaptureConfig::new().evaluation(), "{result:?}");
        assert_eq!(statistics(&model), before);
    }
}

#[test]
fn group_norm() {
    let mut table = Table::new("GroupNorm");
    let device = device();
    let config = || GroupNormConfig::new(2, 4);
    let forward = |norm: &GroupNorm, x: Tensor<4>| norm.forward(x);
    table.layer("rank 2", [3, 4], config().init(&device), |norm: &GroupNorm, x: Tensor<2>| {
        norm.forward(x)
    });
    table.layer("rank 3", [2, 4, 3], config().init(&device), |norm: &GroupNorm, x: Tensor<3>| {
        norm.forward(x)
    });
    table.layer("rank 4", [2, 4, 3, 2], config().init(&device), forward);
    table.layer(
        "without weights",
        [2, 4, 3, 2],
        config().with_affine(false).init(&device),
        forward,
    );
    table.layer("one group", [2, 4, 3, 2], GroupNormConfig::new(1, 4).init(&device), forward);
    table.finish();
}

#[test]
fn instance_norm() {
    let mut table = Table::new("InstanceNorm");
    let device = device();
    let config = || InstanceNormConfig::new(3);
    table.layer(
        "rank 3",
        [2, 3, 5],
        config().init(&device),
        |norm: &InstanceNorm, x: Tensor<3>| norm.forward(x),
    );
    table.layer(
        "rank 4",
        [2, 3, 3, 3],
        config().init(&device),
        |norm: &InstanceNorm, x: Tensor<4>| norm.forward(x),
    );
    let plain = config().with_affine(false).init(&device);
    table.layer("without weights", [2, 3, 5], plain, |norm: &InstanceNorm, x: Tensor<3>| {
        norm.forward(x)
    });
    table.finish();
}

#[test]
fn layer_norm() {
    let mut table = Table::new("LayerNorm");
    let device = device();
    let config = || LayerNormConfig::new(5);
    let forward = |norm: &LayerNorm, x: Tensor<3>| norm.forward(x);
    table.layer("rank 2", [3, 5], config().init(&device), |norm: &LayerNorm, x: Tensor<2>| {
        norm.forward(x)
    });
    table.layer("rank 3", [2, 3, 5], config().init(&device), forward);
    table.layer("without bias", [2, 3, 5], config().with_bias(false).init(&device), forward);
    table.layer("large epsilon", [2, 3, 5], config().with_epsilon(0.3).init(&device), forward);
    let model = Probe::new(5, config().init(&device));
    table.everywhere(
        "ndarray too",
        model,
        data([2, 3, 5], 1),
        |model: &Probe<LayerNorm>, x: Tensor<3>| readout(model.layer.forward(model.bent(x))),
    );
    table.finish();
}

#[test]
fn rms_norm() {
    let mut table = Table::new("RmsNorm");
    let config = || RmsNormConfig::new(5);
    table.layer("rank 2", [3, 5], config().init(&device()), |norm: &RmsNorm, x: Tensor<2>| {
        norm.forward(x)
    });
    table.layer("rank 3", [2, 3, 5], config().init(&device()), |norm: &RmsNorm, x: Tensor<3>| {
        norm.forward(x)
    });
    let large = config().with_epsilon(0.3).init(&device());
    table.layer("large epsilon", [2, 3, 5], large, |norm: &RmsNorm, x: Tensor<3>| norm.forward(x));
    table.finish();
}

#[test]
fn local_response_norm() {
    let mut table = Table::new("LocalResponseNorm");
    let config = |size| LocalResponseNormConfig::new(size).with_alpha(0.3).with_k(1.5);
    let forward = |norm: &LocalResponseNorm, x: Tensor<4>| norm.forward(x);
    table.layer("size 3", [2, 5, 2, 3], config(3).init(), forward);
    table.layer("size 2", [2, 5, 2, 3], config(2).init(), forward);
    table.layer("beta ½", [2, 5, 2, 3], config(3).with_beta(0.5).init(), forward);
    table.layer("rank 3", [2, 5, 3], config(3).init(), |norm: &LocalResponseNorm, x: Tensor<3>| {
        norm.forward(x)
    });
    table.finish();
}
