//! Layers that move or resample: embedding, interpolation, unfold and fold, pixel shuffles, similarities, linear.

use burn::nn::{
    CosineSimilarityConfig, DropoutConfig, Embedding, EmbeddingConfig, Fold4d, Fold4dConfig, GaussianNoiseConfig,
    Linear, LinearConfig, LinearLayout, PairwiseDistanceConfig, PixelShuffle, PixelShuffleConfig, PixelUnshuffle,
    PixelUnshuffleConfig, Unfold4d, Unfold4dConfig,
    interpolate::{Interpolate1d, Interpolate1dConfig, Interpolate2d, Interpolate2dConfig, InterpolateMode},
};
use burn::prelude::*;

use super::{
    check::Table,
    probe::{Net, Probe, data, device, labels, readout},
};

#[test]
fn linear() {
    let mut table = Table::new("Linear");
    let device = device();
    let config = || LinearConfig::new(4, 3);
    table.layer("of a matrix", [5, 4], config().init(&device), Linear::forward);
    table.layer("without bias", [5, 4], config().with_bias(false).init(&device), Linear::forward);
    table.layer("layout by columns", [5, 4], config().with_layout(LinearLayout::Col).init(&device), Linear::forward);
    table.layer("of a vector", [4], config().init(&device), Linear::forward);
    table.layer("of rank 3", [2, 3, 4], config().init(&device), Linear::forward);
    table.layer("of rank 4", [2, 2, 2, 4], config().init(&device), Linear::forward);
    table.everywhere("two, ndarray too", Net::new(4, 3), data([5, 4], 1), |model: &Net, x: Tensor<2>| {
        readout(model.forward(x))
    });
    table.finish();
}

#[test]
fn embedding() {
    let mut table = Table::new("Embedding");
    let embedding = || Probe::new(4, EmbeddingConfig::new(6, 4).init(&device()));
    let loss = |model: &Probe<Embedding>, tokens: Tensor<2, Int>| readout(model.bent(model.layer.forward(tokens)));
    table.model("tokens that come again", embedding(), labels([3, 5], 4), loss);
    table.model("every token", embedding(), labels([4, 6], 6), loss);
    table.model("one token", embedding(), labels([1, 1], 6), loss);
    table.everywhere("ndarray too", embedding(), labels([3, 5], 4), loss);
    table.finish();
}

#[test]
fn interpolation() {
    let mut table = Table::new("Interpolate");
    let modes = [
        InterpolateMode::Nearest,
        InterpolateMode::NearestExact,
        InterpolateMode::Linear,
        InterpolateMode::Cubic,
        InterpolateMode::Lanczos,
    ];
    for mode in modes {
        for align in [true, false] {
            for (size, sizes) in [(9, [7, 8]), (3, [2, 3])] {
                let config = Interpolate1dConfig::new().with_mode(mode.clone()).with_align_corners(align);
                let layer = config.with_output_size(Some(size)).init();
                let name = format!("1d {mode:?} align {align} 5 to {size}");
                table.layer(&name, [2, 2, 5], layer, Interpolate1d::forward);
                let config = Interpolate2dConfig::new().with_mode(mode.clone()).with_align_corners(align);
                let layer = config.with_output_size(Some(sizes)).init();
                let name = format!("2d {mode:?} align {align} 4×5 to {sizes:?}");
                table.layer(&name, [1, 2, 4, 5], layer, Interpolate2d::forward);
            }
        }
    }
    let scaled = Interpolate2dConfig::new().with_scale_factor(Some([1.5, 2.0])).with_mode(InterpolateMode::Linear);
    table.layer("2d by a factor", [1, 2, 4, 5], scaled.init(), Interpolate2d::forward);
    table.finish();
}

#[test]
fn unfold_and_fold() {
    let mut table = Table::new("Unfold4d, Fold4d");
    let unfold = Unfold4dConfig::new([2, 3]);
    let rows = [
        ("unfold", unfold.clone()),
        ("unfold, stride", unfold.clone().with_stride([2, 1])),
        ("unfold, padding", unfold.clone().with_padding([1, 2])),
        ("unfold, dilation", unfold.with_dilation([2, 1])),
    ];
    for (name, config) in rows {
        table.layer(name, [2, 2, 5, 4], config.init(), Unfold4d::forward);
    }
    let fold = Fold4dConfig::new([4, 3], [2, 2]);
    table.layer("fold", [2, 8, 6], fold.clone().init(), Fold4d::forward);
    table.layer("fold, stride", [2, 8, 2], fold.clone().with_stride([2, 2]).init(), Fold4d::forward);
    table.layer("fold, padding", [2, 8, 20], fold.with_padding([1, 1]).init(), Fold4d::forward);
    table.finish();
}

#[test]
fn pixel_shuffles() {
    let mut table = Table::new("PixelShuffle");
    table.layer("shuffle", [1, 8, 2, 3], PixelShuffleConfig::new(2).init(), PixelShuffle::forward);
    table.layer("unshuffle", [1, 2, 4, 6], PixelUnshuffleConfig::new(2).init(), PixelUnshuffle::forward);
    table.finish();
}

#[test]
fn similarities() {
    let mut table = Table::new("Similarity");
    let pair = |model: &Net, x: Tensor<2>| (model.forward(x.clone()), model.forward(x.flip([0]) * 0.7));
    for dim in [1, 0, -1] {
        let layer = CosineSimilarityConfig::new().with_dim(dim).init();
        table.model(&format!("cosine, dim {dim}"), Net::new(3, 4), data([4, 3], 1), move |model: &Net, x| {
            let (a, b) = pair(model, x);
            readout(layer.forward(a, b))
        });
    }
    for p in [1.0, 2.0, 3.0] {
        let layer = PairwiseDistanceConfig::new().with_p(p).init();
        table.model(&format!("distance, p {p}"), Net::new(3, 4), data([4, 3], 1), move |model: &Net, x| {
            let (a, b) = pair(model, x);
            readout(layer.forward(a, b))
        });
    }
    table.finish();
}

#[test]
fn dropout_and_noise_are_off() {
    let mut table = Table::new("Off in evaluation mode");
    let dropout = DropoutConfig::new(0.5).init();
    table.layer("Dropout", [3, 4], dropout, |layer: &burn::nn::Dropout, x: Tensor<2>| layer.forward(x));
    let noise = GaussianNoiseConfig::new(0.5).init();
    table.layer("GaussianNoise", [3, 4], noise, |layer: &burn::nn::GaussianNoise, x: Tensor<2>| layer.forward(x));
    table.finish();
}
