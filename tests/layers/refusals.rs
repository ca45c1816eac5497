//! What cannot be covered is refused by name, never computed wrongly.

use burn::nn::{
    Linear, LinearConfig, PaddingConfig2d,
    conv::{DeformConv2d, DeformConv2dConfig},
};
use burn::{
    prelude::*,
    tensor::ops::{GridSampleOptions, InterpolateMode},
};

use super::{
    check::Table,
    probe::{Net, Probe, data, device, readout},
};

#[test]
fn operations_without_a_second_derivative() {
    let mut table = Table::new("Operations");
    let deform =
        DeformConv2dConfig::new([2, 3], [3, 3]).with_padding(PaddingConfig2d::Same).init(&device());
    table.refused(
        "deformable convolution",
        &["DeformableConv2d"],
        (Probe::new(5, deform), (data([1, 2, 4, 5], 1), data([1, 18, 4, 5], 2))),
        |model: &Probe<DeformConv2d>, (x, offset)| {
            readout(model.layer.forward(model.bent(x), offset, None))
        },
    );
    let linear = || Probe::new(4, LinearConfig::new(4, 4).init(&device()));
    table.refused(
        "grid sample, nearest",
        &["GridSample2d", "bilinear"],
        (linear(), (data([1, 2, 4, 4], 1), data([1, 3, 3, 2], 2))),
        |model: &Probe<Linear>, (x, grid)| {
            let options = GridSampleOptions::new(InterpolateMode::Nearest);
            readout(model.layer.forward(model.bent(x)).grid_sample_2d(grid, options))
        },
    );
    table.finish();
}

#[test]
fn shapes_that_depend_on_data() {
    let mut table = Table::new("Shapes");
    let batch = || data([6, 3], 1);
    table.refused(
        "argwhere",
        &["may not read values"],
        (Net::new(3, 4), batch()),
        |net: &Net, x: Tensor<2>| {
            let output = net.forward(x);
            let positive = output.clone().greater_scalar(0.0).argwhere();
            output.gather_nd::<2, 1>(positive).sum()
        },
    );
    table.refused(
        "nonzero",
        &["may not read values"],
        (Net::new(3, 4), batch()),
        |net: &Net, x: Tensor<2>| {
            let output = net.forward(x).sum_dim(1).flatten::<1>(0, 1);
            let positive = output.clone().greater_scalar(0.0).nonzero();
            output.select(0, positive[0].clone()).sum()
        },
    );
    table.refused(
        "branch on a number",
        &["may not read values"],
        (Net::new(3, 4), batch()),
        |net: &Net, x: Tensor<2>| {
            let output = net.forward(x).square();
            if output.clone().max().into_scalar::<f32>() > 1.0 {
                output.sum()
            } else {
                output.mean()
            }
        },
    );
    table.finish();
}
