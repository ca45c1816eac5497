//! Layers that move or resample: embedding, interpolation, unfold and fold, pixel shuffles, similarities, linear.

use burn::nn::{
    CosineSimilarityConfig, DropoutConfig, Embedding, EmbeddingConfig, Fold4d, Fold4dConfig,
    GaussianNoiseConfig, Linear, LinearConfig, LinearLayout, PairwiseDistanceConfig, PixelShuffle,
    PixelShuffleConfig, PixelUnshuffle, PixelUnshuffleConfig, Unfold4d, Unfold4dConfig,
    interpolate::{
        Interpolate1d, Interpolate1dConfig, Interpolate2d, Interpolate2dConfig, InterpolateMode,
    },
};
use burn::{prelude::*, tensor::ops::GridSampleOptions};

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
    table.layer(
        "layout by columns",
        [5, 4],
        config().with_layout(LinearLayout::Col).init(&device),
        Linear::forward,
    );
    table.layer("of a vector", [4], config().init(&device), Linear::forward);
    table.layer("of rank 3", [2, 3, 4], config().init(&device), Linear::forward);
    table.layer("of rank 4", [2, 2, 2, 4], config().init(&device), Linear::forward);
    table.everywhere(
        "two, ndarray too",
        Net::new(4, 3),
        data([5, 4], 1),
        |model: &Net, x: Tensor<2>| readout(model.forward(x)),
    );
    table.finish();
}

#[test]
fn embedding() {
    let mut table = Table::new("Embedding");
    let embedding = || Probe::new(4, EmbeddingConfig::new(6, 4).init(&device()));
    let loss = |model: &Probe<Embedding>, tokens: Tensor<2, Int>| {
        readout(model.bent(model.layer.forward(tokens)))
    };
    table.model("tokens that come again", embedding(), labels([3, 5], 4), loss);
    table.model("every token", embedding(), labels([4, 6], 6), loss);
    table.model("one token", embedding(), labels([1, 1], 6), loss);
    table.everywhere("ndarray too", embedding(), labels([3, 5], 4), loss);
    table.finish();
}

/// Both ways of counting corners, enlarging and shrinking.
#[test]
fn one_hot() {
    let mut table = Table::new("One hot");
    let batch = (data([6, 3], 1), labels([6], 4));
    table.everywhere("labels", Net::new(3, 4), batch, |net: &Net, (x, y)| {
        let (x, y): (Tensor<2>, Tensor<1, Int>) = (x, y);
        (net.forward(x) * y.one_hot::<2>(4).float()).square().sum()
    });
    let batch = (data([6, 3], 1), labels([6, 2], 4));
    table.everywhere("along the second axis", Net::new(3, 4), batch, |net: &Net, (x, y)| {
        let (x, y): (Tensor<2>, Tensor<2, Int>) = (x, y);
        let hot = y.one_hot_fill::<3>(4, 2.0, -1.0, 1).float();
        (net.forward(x).unsqueeze_dim::<3>(2) * hot).square().sum()
    });
    table.model("the largest output", Net::new(3, 4), data([6, 3], 1), |net: &Net, x| {
        let z: Tensor<2> = net.forward(x);
        let hot = z.clone().argmax(1).squeeze_dim::<1>(1).one_hot::<2>(4).float();
        (z.clone() * hot).square().sum() + z.square().mean()
    });
    table.finish();
}

fn resized(mode: &InterpolateMode) -> Vec<(String, Interpolate2d)> {
    let mut rows = Vec::new();
    for align in [true, false] {
        for sizes in [[7, 8], [2, 3]] {
            let config =
                Interpolate2dConfig::new().with_mode(mode.clone()).with_align_corners(align);
            let name = format!("2d {mode:?}, 4×5 to {sizes:?}, align corners {align}");
            rows.push((name, config.with_output_size(Some(sizes)).init()));
        }
    }
    rows
}

#[test]
fn interpolation() {
    let mut table = Table::new("Interpolate");
    for mode in [InterpolateMode::Nearest, InterpolateMode::Linear, InterpolateMode::Cubic] {
        for (name, layer) in resized(&mode) {
            table.layer(&name, [1, 2, 4, 5], layer, Interpolate2d::forward);
        }
        for (size, align) in [(9, true), (9, false), (3, true), (3, false)] {
            let config =
                Interpolate1dConfig::new().with_mode(mode.clone()).with_align_corners(align);
            let layer = config.with_output_size(Some(size)).init();
            let name = format!("1d {mode:?}, 5 to {size}, align corners {align}");
            table.layer(&name, [2, 2, 5], layer, Interpolate1d::forward);
        }
    }
    let scaled = Interpolate2dConfig::new()
        .with_scale_factor(Some([1.5, 2.0]))
        .with_mode(InterpolateMode::Linear);
    table.layer("2d by a factor", [1, 2, 4, 5], scaled.init(), Interpolate2d::forward);
    table.finish();
}

#[test]
fn interpolation_that_burn_has_in_part() {
    let mut table = Table::new("Interpolate, in part");
    let batch = || data([1, 2, 4, 5], 1);
    let loss = |model: &Probe<Interpolate2d>, x| readout(model.layer.forward(model.bent(x)));
    // Flex has no gradient of Lanczos interpolation; ours is exact, and may be had without the comparison.
    for (name, layer) in resized(&InterpolateMode::Lanczos) {
        table.refused(
            &name,
            &["interpolate_backward", "Lanczos", "unchecked"],
            (Probe::new(5, layer.clone()), batch()),
            loss,
        );
        table.unchecked(&format!("{name}, unchecked"), Probe::new(5, layer), batch(), loss);
    }
    // Neither Flex nor ndarray has such an interpolation.
    for (name, layer) in resized(&InterpolateMode::NearestExact) {
        table.refused(
            &name,
            &["interpolate", "NearestExact"],
            (Probe::new(5, layer), batch()),
            loss,
        );
    }
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
    table.layer(
        "fold, stride",
        [2, 8, 2],
        fold.clone().with_stride([2, 2]).init(),
        Fold4d::forward,
    );
    table.layer("fold, padding", [2, 8, 20], fold.with_padding([1, 1]).init(), Fold4d::forward);
    table.finish();
}

#[test]
fn bilinear_grid_sample() {
    let mut table = Table::new("grid_sample_2d");
    let model = || Probe::new(4, LinearConfig::new(4, 4).init(&device()));
    let options = || GridSampleOptions::new(burn::tensor::ops::InterpolateMode::Bilinear);
    let image = || data::<4>([1, 2, 4, 4], 1);
    let image_loss = move |model: &Probe<Linear>, (image, grid): (Tensor<4>, Tensor<4>)| {
        readout(model.layer.forward(model.bent(image)).grid_sample_2d(grid.tanh(), options()))
    };
    table.model("of a computed image", model(), (image(), data([1, 3, 3, 2], 2)), image_loss);
    let grid_loss = move |model: &Probe<Linear>, (image, x): (Tensor<4>, Tensor<4>)| {
        let grid = model.layer.forward(model.bent(x)).tanh().reshape([1, 3, 4, 2]);
        readout(image.grid_sample_2d(grid, options()))
    };
    table.model("at computed points", model(), (image(), data([1, 2, 3, 4], 2)), grid_loss);
    table.finish();
}

#[test]
fn pixel_shuffles() {
    let mut table = Table::new("PixelShuffle");
    table.layer("shuffle", [1, 8, 2, 3], PixelShuffleConfig::new(2).init(), PixelShuffle::forward);
    table.layer(
        "unshuffle",
        [1, 2, 4, 6],
        PixelUnshuffleConfig::new(2).init(),
        PixelUnshuffle::forward,
    );
    table.finish();
}

#[test]
fn similarities() {
    let mut table = Table::new("Similarity");
    let pair =
        |model: &Net, x: Tensor<2>| (model.forward(x.clone()), model.forward(x.flip([0]) * 0.7));
    for dim in [1, 0, -1] {
        let layer = CosineSimilarityConfig::new().with_dim(dim).init();
        table.model(
            &format!("cosine, dim {dim}"),
            Net::new(3, 4),
            data([4, 3], 1),
            move |model: &Net, x| {
                let (a, b) = pair(model, x);
                readout(layer.forward(a, b))
            },
        );
    }
    for p in [1.0, 2.0, 3.0] {
        let layer = PairwiseDistanceConfig::new().with_p(p).init();
        table.model(
            &format!("distance, p {p}"),
            Net::new(3, 4),
            data([4, 3], 1),
            move |model: &Net, x| {
                let (a, b) = pair(model, x);
                readout(layer.forward(a, b))
            },
        );
    }
    table.finish();
}

#[test]
fn dropout_and_noise_are_off() {
    let mut table = Table::new("Off in evaluation mode");
    let dropout = DropoutConfig::new(0.5).init();
    table.layer("Dropout", [3, 4], dropout, |layer: &nn::Dropout, x: Tensor<2>| layer.forward(x));
    let noise = GaussianNoiseConfig::new(0.5).init();
    table.layer("GaussianNoise", [3, 4], noise, |layer: &nn::GaussianNoise, x: Tensor<2>| {
        layer.forward(x)
    });
    table.finish();
}
