//! Convolutions and transposed convolutions, in one to three dimensions.

use burn::nn::{
    PaddingConfig1d, PaddingConfig2d, PaddingConfig3d,
    conv::{
        Conv1d, Conv1dConfig, Conv2d, Conv2dConfig, Conv3d, Conv3dConfig, ConvTranspose1d,
        ConvTranspose1dConfig, ConvTranspose2d, ConvTranspose2dConfig, ConvTranspose3d,
        ConvTranspose3dConfig,
    },
};
use burn::prelude::*;
use burn_curvature::{
    CaptureConfig, Objective,
    check::{Check, CurvatureCheckConfig},
};

use super::{
    check::Table,
    probe::{Probe, data, device, readout},
};

#[test]
fn conv1d() {
    let mut table = Table::new("Conv1d");
    let device = device();
    let config = || Conv1dConfig::new(4, 6, 3);
    let rows = [
        ("plain", config()),
        ("without bias", config().with_bias(false)),
        ("stride 2", config().with_stride(2)),
        ("stride 3, rest", config().with_stride(3)),
        ("padding same", config().with_padding(PaddingConfig1d::Same)),
        (
            "padding same, even kernel",
            Conv1dConfig::new(4, 6, 4).with_padding(PaddingConfig1d::Same),
        ),
        ("padding 2", config().with_padding(PaddingConfig1d::Explicit(2, 2))),
        ("padding 1 and 2", config().with_padding(PaddingConfig1d::Explicit(1, 2))),
        ("dilation 2", config().with_dilation(2)),
        ("groups 2", config().with_groups(2)),
        ("depthwise", Conv1dConfig::new(4, 8, 3).with_groups(4)),
        (
            "all at once",
            config()
                .with_groups(2)
                .with_stride(2)
                .with_dilation(2)
                .with_padding(PaddingConfig1d::Explicit(1, 1)),
        ),
        ("kernel 1", Conv1dConfig::new(4, 2, 1)),
    ];
    for (name, config) in rows {
        table.layer(name, [2, 4, 8], config.init(&device), Conv1d::forward);
    }
    table.finish();
}

/// Burn's gradient of the weight is another one where a stride leaves a rest and there are groups: refused, and right here.
#[test]
fn a_wrong_gradient_of_burns_is_named() {
    let config = Conv1dConfig::new(4, 6, 3).with_groups(2).with_stride(2);
    let layer: Conv1d = config.with_padding(PaddingConfig1d::Explicit(2, 2)).init(&device());
    let x = || data([2, 4, 8], 1);
    let loss = |layer: &Conv1d, x: Tensor<3>| readout(layer.forward(x));
    let error = Objective::capture(&layer, x(), loss).expect_err("refused").to_string();
    assert!(error.contains("in weight") && error.contains("wrong in Burn itself"), "{error}");
    let captured = CaptureConfig::new().unchecked().init(&layer, x(), loss);
    let check = CurvatureCheckConfig::new().init().expect("a valid configuration");
    let report = captured.and_then(|objective| check.run(&objective)).expect("a report");
    assert!(report.is_ok(), "{report}");
    assert!(report.passed().any(|line| line.check == Check::Gradient), "{report}");
}

#[test]
fn conv2d() {
    let mut table = Table::new("Conv2d");
    let device = device();
    let config = || Conv2dConfig::new([2, 4], [3, 2]);
    let rows = [
        ("plain", config()),
        ("without bias", config().with_bias(false)),
        ("stride", config().with_stride([2, 3])),
        ("padding same", Conv2dConfig::new([2, 4], [3, 3]).with_padding(PaddingConfig2d::Same)),
        ("padding same, even kernel", config().with_padding(PaddingConfig2d::Same)),
        ("padding", config().with_padding(PaddingConfig2d::Explicit(1, 2, 1, 2))),
        ("padding of four sides", config().with_padding(PaddingConfig2d::Explicit(0, 1, 2, 1))),
        ("dilation", config().with_dilation([2, 1])),
        ("groups", config().with_groups(2)),
        (
            "all at once",
            config()
                .with_groups(2)
                .with_stride([2, 1])
                .with_dilation([1, 2])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)),
        ),
    ];
    for (name, config) in rows {
        table.layer(name, [2, 2, 6, 5], config.init(&device), Conv2d::forward);
    }
    let conv = Conv2dConfig::new([2, 3], [3, 3]).with_padding(PaddingConfig2d::Same).init(&device);
    table.everywhere(
        "ndarray too",
        Probe::new(5, conv),
        data([2, 2, 6, 5], 1),
        |model: &Probe<Conv2d>, x| readout(model.layer.forward(model.bent(x))),
    );
    table.finish();
}

#[test]
fn conv3d() {
    let mut table = Table::new("Conv3d");
    let device = device();
    let config = || Conv3dConfig::new([2, 2], [2, 2, 3]);
    let rows = [
        ("plain", config()),
        ("stride", config().with_stride([1, 2, 2])),
        ("padding same", Conv3dConfig::new([2, 2], [3, 1, 3]).with_padding(PaddingConfig3d::Same)),
        ("padding", config().with_padding(PaddingConfig3d::Explicit(1, 0, 1))),
        ("dilation", config().with_dilation([1, 2, 1])),
        ("groups", config().with_groups(2).with_bias(false)),
    ];
    for (name, config) in rows {
        table.layer(name, [1, 2, 4, 4, 4], config.init(&device), Conv3d::forward);
    }
    table.finish();
}

#[test]
fn conv_transpose1d() {
    let mut table = Table::new("ConvTranspose1d");
    let device = device();
    let config = || ConvTranspose1dConfig::new([4, 2], 3);
    let rows = [
        ("plain", config()),
        ("stride", config().with_stride(2)),
        ("padding", config().with_padding(1)),
        ("padding out", config().with_stride(3).with_padding(1).with_padding_out(1)),
        ("padding out, dilation", config().with_dilation(2).with_padding_out(1)),
        ("dilation", config().with_dilation(2)),
        ("groups", config().with_groups(2).with_bias(false)),
    ];
    for (name, config) in rows {
        table.layer(name, [2, 4, 5], config.init(&device), ConvTranspose1d::forward);
    }
    table.finish();
}

#[test]
fn conv_transpose2d() {
    let mut table = Table::new("ConvTranspose2d");
    let device = device();
    let config = || ConvTranspose2dConfig::new([2, 4], [3, 2]);
    let rows = [
        ("plain", config()),
        ("stride", config().with_stride([2, 2])),
        ("padding", config().with_padding([1, 0])),
        ("padding out", config().with_stride([2, 3]).with_padding([1, 1]).with_padding_out([1, 2])),
        ("dilation", config().with_dilation([1, 2])),
        ("groups", config().with_groups(2)),
        ("without bias", config().with_bias(false)),
    ];
    for (name, config) in rows {
        table.layer(name, [2, 2, 4, 3], config.init(&device), ConvTranspose2d::forward);
    }
    table.finish();
}

#[test]
fn conv_transpose3d() {
    let mut table = Table::new("ConvTranspose3d");
    let device = device();
    let config = || ConvTranspose3dConfig::new([2, 2], [2, 2, 2]);
    let rows = [
        ("plain", config()),
        ("stride", config().with_stride([2, 1, 2])),
        ("padding", config().with_padding([1, 0, 1])),
        (
            "padding out",
            config().with_stride([2, 2, 2]).with_padding([1, 1, 1]).with_padding_out([1, 0, 1]),
        ),
        ("dilation", config().with_dilation([1, 2, 1])),
        ("groups", config().with_groups(2).with_bias(false)),
    ];
    for (name, config) in rows {
        table.layer(name, [1, 2, 3, 3, 3], config.init(&device), ConvTranspose3d::forward);
    }
    table.finish();
}

#[test]
fn two_convolutions_with_a_pool_between() {
    use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
    type Layers = (Conv2d, MaxPool2d, Conv2d);
    let device = device();
    let layers: Layers = (
        Conv2dConfig::new([1, 3], [3, 3]).with_padding(PaddingConfig2d::Same).init(&device),
        MaxPool2dConfig::new([2, 2]).init(),
        Conv2dConfig::new([3, 2], [2, 2]).init(&device),
    );
    let mut table = Table::new("Convolutional network");
    let forward = |(first, pool, second): &Layers, x: Tensor<4>| {
        second.forward(pool.forward(first.forward(x).tanh()))
    };
    table.layer("conv, tanh, max pool, conv", [2, 1, 6, 6], layers, forward);
    table.finish();
}
