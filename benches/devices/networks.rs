//! Small, middle and large models for devices: MLPs `s1`, `k1`, `g1`, transformers `s2`, `g2`, convolutional networks `s3`, `g3`.

use burn::{
    module::Module,
    nn::{
        Linear, LinearConfig, PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
        pool::{MaxPool2d, MaxPool2dConfig},
    },
    tensor::{Device, Int, Tensor, activation},
};

use crate::models::{
    Case, SEED, cross_entropy, deterministic::Synthetic, transformer, transformer::Transformer,
};

/// Linear layers with tanh between them.
#[derive(Module, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
}

/// Convolutions, each with relu and a pool of 2×2, then a linear layer.
#[derive(Module, Debug)]
pub struct Cnn {
    convolutions: Vec<Conv2d>,
    pool: MaxPool2d,
    classifier: Linear,
}

/// Divides the sizes of models.
#[derive(Clone, Copy)]
pub struct Scale(pub usize);

impl Scale {
    /// At least eight, unless it is less already.
    fn of(self, size: usize) -> usize {
        (size / self.0).max(size.min(8))
    }
}

type Images<const D: usize> = (Tensor<D>, Tensor<1, Int>);

impl Mlp {
    fn forward(&self, mut x: Tensor<2>) -> Tensor<2> {
        for (at, layer) in self.layers.iter().enumerate() {
            x = if at == 0 { layer.forward(x) } else { layer.forward(activation::tanh(x)) };
        }
        x
    }
}

impl Cnn {
    fn forward(&self, mut x: Tensor<4>) -> Tensor<2> {
        for convolution in &self.convolutions {
            x = self.pool.forward(activation::relu(convolution.forward(x)));
        }
        self.classifier.forward(x.flatten(1, 3))
    }
}

/// `widths` from inputs to classes.
pub fn mlp(
    (name, widths, rows): (&'static str, &[usize], usize),
    scale: Scale,
    device: &Device,
) -> Case<Mlp, Images<2>> {
    let widths: Vec<usize> = widths.iter().map(|&width| scale.of(width)).collect();
    let (inputs, classes) = (widths[0], widths[widths.len() - 1]);
    let rows = scale.of(rows);
    let layers = widths.windows(2).map(|pair| LinearConfig::new(pair[0], pair[1]).init(device));
    let model = Synthetic::new(SEED).fill(Mlp { layers: layers.collect() });
    let mut synthetic = Synthetic::new(SEED + 1);
    let batch = (synthetic.unit([rows, inputs], device), synthetic.below(classes, [rows], device));
    let products: usize = widths.windows(2).map(|pair| 3 * pair[0] * pair[1]).sum();
    let gradient_flops = 2.0 * (rows * (products - inputs * widths[1])) as f64;
    Case { name, model, batch, loss: |m, (x, y)| cross_entropy(m.forward(x), y), gradient_flops }
}

/// `channels` from images to the classifier of ten classes; `side` in pixels is not scaled.
pub fn cnn(
    (name, channels, side, rows): (&'static str, &[usize], usize, usize),
    scale: Scale,
    device: &Device,
) -> Case<Cnn, Images<4>> {
    const CLASSES: usize = 10;
    let channels: Vec<usize> = channels.iter().map(|&count| scale.of(count)).collect();
    let (rows, first, last) = (scale.of(rows), channels[0], channels[channels.len() - 1]);
    let pooled = side >> (channels.len() - 1);
    let convolutions = channels.windows(2).map(|pair| {
        let config = Conv2dConfig::new([pair[0], pair[1]], [3, 3]);
        config.with_padding(PaddingConfig2d::Same).init(device)
    });
    let model = Synthetic::new(SEED).fill(Cnn {
        convolutions: convolutions.collect(),
        pool: MaxPool2dConfig::new([2, 2]).init(),
        classifier: LinearConfig::new(last * pooled * pooled, CLASSES).init(device),
    });
    let mut synthetic = Synthetic::new(SEED + 1);
    let images = synthetic.unit([rows, first, side, side], device);
    let batch = (images, synthetic.below(CLASSES, [rows], device));
    let places = |layer: usize| (side >> layer) * (side >> layer);
    let products: usize = (channels.windows(2).enumerate())
        .map(|(layer, pair)| if layer == 0 { 2 } else { 3 } * 9 * places(layer) * pair[0] * pair[1])
        .sum();
    let gradient_flops = 2.0 * (rows * (products + 3 * last * pooled * pooled * CLASSES)) as f64;
    Case { name, model, batch, loss: |m, (x, y)| cross_entropy(m.forward(x), y), gradient_flops }
}

/// `sizes` before they are scaled; heads and layers are not.
pub fn transformer(
    (name, sizes): (&'static str, &transformer::Sizes),
    scale: Scale,
    device: &Device,
) -> Case<Transformer, transformer::Batch> {
    let sizes = transformer::Sizes {
        sequences: scale.of(sizes.sequences),
        tokens: scale.of(sizes.tokens),
        vocabulary: scale.of(sizes.vocabulary),
        width: scale.of(sizes.width).next_multiple_of(sizes.heads),
        feed_forward: scale.of(sizes.feed_forward),
        ..*sizes
    };
    transformer::case_of(name, &sizes, device)
}
