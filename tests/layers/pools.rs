//! Pools: maximum, average, adaptive average.

use burn::nn::{
    PaddingConfig1d, PaddingConfig2d,
    pool::{
        AdaptiveAvgPool1d, AdaptiveAvgPool1dConfig, AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig,
        AdaptiveAvgPool3d, AdaptiveAvgPool3dConfig, AvgPool1d, AvgPool1dConfig, AvgPool2d,
        AvgPool2dConfig, MaxPool1d, MaxPool1dConfig, MaxPool2d, MaxPool2dConfig,
    },
};
use burn::prelude::*;

use super::{
    check::Table,
    probe::{Probe, data, readout},
};

#[test]
fn max_pool1d() {
    let mut table = Table::new("MaxPool1d");
    let rows = [
        ("plain", MaxPool1dConfig::new(2)),
        ("overlapping", MaxPool1dConfig::new(3).with_stride(1)),
        ("gaps", MaxPool1dConfig::new(2).with_stride(3)),
        (
            "padding",
            MaxPool1dConfig::new(3).with_stride(2).with_padding(PaddingConfig1d::Explicit(1, 1)),
        ),
        (
            "padding of two sides",
            MaxPool1dConfig::new(3).with_stride(2).with_padding(PaddingConfig1d::Explicit(0, 1)),
        ),
        (
            "padding same",
            MaxPool1dConfig::new(3).with_stride(1).with_padding(PaddingConfig1d::Same),
        ),
        ("dilation", MaxPool1dConfig::new(2).with_stride(1).with_dilation(3)),
        ("ceil", MaxPool1dConfig::new(2).with_stride(2).with_ceil_mode(true)),
    ];
    for (name, config) in rows {
        table.layer(name, [2, 3, 7], config.init(), MaxPool1d::forward);
    }
    table.finish();
}

#[test]
fn max_pool2d() {
    let mut table = Table::new("MaxPool2d");
    let overlapping = || MaxPool2dConfig::new([3, 3]).with_strides([2, 1]);
    let rows = [
        ("plain", MaxPool2dConfig::new([2, 2])),
        ("overlapping", overlapping()),
        ("padding", overlapping().with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))),
        (
            "padding of four sides",
            overlapping().with_padding(PaddingConfig2d::Explicit(0, 1, 1, 0)),
        ),
        (
            "padding same",
            MaxPool2dConfig::new([3, 3]).with_strides([1, 1]).with_padding(PaddingConfig2d::Same),
        ),
        ("dilation", MaxPool2dConfig::new([2, 2]).with_strides([1, 1]).with_dilation([2, 3])),
        ("ceil", MaxPool2dConfig::new([2, 2]).with_ceil_mode(true)),
        (
            "ceil with padding",
            overlapping().with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).with_ceil_mode(true),
        ),
    ];
    for (name, config) in rows {
        table.layer(name, [2, 2, 5, 7], config.init(), MaxPool2d::forward);
    }
    let pool = MaxPool2dConfig::new([3, 3]).with_strides([1, 2]).init();
    table.everywhere(
        "ndarray too",
        Probe::new(7, pool),
        data([2, 2, 5, 7], 1),
        |model: &Probe<MaxPool2d>, x| readout(model.layer.forward(model.bent(x))),
    );
    table.finish();
}

#[test]
fn average_pool1d() {
    let mut table = Table::new("AvgPool1d");
    let padded =
        || AvgPool1dConfig::new(3).with_stride(2).with_padding(PaddingConfig1d::Explicit(1, 1));
    let rows = [
        ("plain", AvgPool1dConfig::new(2)),
        ("overlapping", AvgPool1dConfig::new(3).with_stride(1)),
        ("padding counted", padded()),
        ("padding not counted", padded().with_count_include_pad(false)),
        (
            "padding of two sides",
            AvgPool1dConfig::new(3).with_padding(PaddingConfig1d::Explicit(0, 2)),
        ),
        ("ceil", AvgPool1dConfig::new(2).with_ceil_mode(true)),
        ("ceil, padding counted", padded().with_ceil_mode(true)),
        ("ceil, padding not counted", padded().with_ceil_mode(true).with_count_include_pad(false)),
    ];
    for (name, config) in rows {
        table.layer(name, [2, 3, 8], config.init(), AvgPool1d::forward);
    }
    table.finish();
}

#[test]
fn average_pool2d() {
    let mut table = Table::new("AvgPool2d");
    let padded = || {
        AvgPool2dConfig::new([3, 2])
            .with_strides([2, 2])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
    };
    let rows = [
        ("plain", AvgPool2dConfig::new([2, 2])),
        ("overlapping", AvgPool2dConfig::new([3, 2]).with_strides([1, 1])),
        ("padding counted", padded()),
        ("padding not counted", padded().with_count_include_pad(false)),
        (
            "padding of four sides",
            AvgPool2dConfig::new([3, 3])
                .with_strides([1, 2])
                .with_padding(PaddingConfig2d::Explicit(0, 1, 2, 1)),
        ),
        ("ceil", AvgPool2dConfig::new([2, 3]).with_ceil_mode(true)),
        ("ceil, padding counted", padded().with_ceil_mode(true)),
        ("ceil, padding not counted", padded().with_ceil_mode(true).with_count_include_pad(false)),
    ];
    for (name, config) in rows {
        table.layer(name, [2, 2, 5, 7], config.init(), AvgPool2d::forward);
    }
    table.finish();
}

#[test]
fn adaptive_average_pools() {
    let mut table = Table::new("AdaptiveAvgPool");
    for size in [1, 3, 5, 7] {
        let pool = AdaptiveAvgPool1dConfig::new(size).init();
        table.layer(&format!("1d, 7 to {size}"), [2, 2, 7], pool, AdaptiveAvgPool1d::forward);
    }
    for size in [[1, 1], [2, 3], [4, 4], [5, 7]] {
        let pool = AdaptiveAvgPool2dConfig::new(size).init();
        table.layer(
            &format!("2d, 5×7 to {size:?}"),
            [2, 2, 5, 7],
            pool,
            AdaptiveAvgPool2d::forward,
        );
    }
    for size in [[1, 1, 1], [2, 3, 2], [3, 2, 4]] {
        let pool = AdaptiveAvgPool3dConfig::new(size).init();
        table.layer(
            &format!("3d, 3×4×4 to {size:?}"),
            [1, 2, 3, 4, 4],
            pool,
            AdaptiveAvgPool3d::forward,
        );
    }
    let pool = AdaptiveAvgPool2dConfig::new([2, 3]).init();
    table.everywhere(
        "2d, ndarray too",
        Probe::new(7, pool),
        data([2, 2, 5, 7], 1),
        |model: &Probe<AdaptiveAvgPool2d>, x: Tensor<4>| {
            readout(model.layer.forward(model.bent(x)))
        },
    );
    table.finish();
}
