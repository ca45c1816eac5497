//! Convolutional networks.

use burn::{
    module::Module,
    nn::{
        BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig, PaddingConfig2d,
        Relu,
        conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig},
        interpolate::{Interpolate2dConfig, InterpolateMode},
        loss::BinaryCrossEntropyLossConfig,
        pool::{AdaptiveAvgPool2dConfig, MaxPool2d, MaxPool2dConfig},
    },
    prelude::*,
    tensor::activation::{gelu, relu, relu6},
};
use burn_curvature::Likelihood;

use crate::{
    parts::classified,
    stranger::{device, evaluated, labels, normal},
};

fn conv(channels: [usize; 2], kernel: usize, stride: usize, groups: usize) -> Conv2d {
    let pad = kernel / 2;
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_groups(groups)
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .with_bias(false)
        .init(&device())
}

fn norm(channels: usize) -> BatchNorm {
    BatchNormConfig::new(channels).init(&device())
}

/// Burn's mnist example: convolution, batch norm, GELU and pooling, twice, then two linear layers with dropout.
#[derive(Module, Debug)]
struct Mnist {
    conv1: MnistBlock,
    conv2: MnistBlock,
    dropout: Dropout,
    fc1: Linear,
    fc2: Linear,
}

#[derive(Module, Debug)]
struct MnistBlock {
    conv: Conv2d,
    norm: BatchNorm,
    pool: Option<MaxPool2d>,
}

impl MnistBlock {
    fn new(channels: [usize; 2], pool: bool) -> Self {
        Self {
            conv: Conv2dConfig::new(channels, [3, 3]).init(&device()),
            norm: norm(channels[1]),
            pool: pool.then(|| MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init()),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = gelu(self.norm.forward(self.conv.forward(x)));
        match &self.pool {
            Some(pool) => pool.forward(x),
            None => x,
        }
    }
}

impl Mnist {
    fn forward(&self, images: Tensor<3>) -> Tensor<2> {
        let [batch, height, width] = images.dims();
        let x = images.reshape([batch, 1, height, width]);
        let x = self.conv2.forward(self.conv1.forward(x));
        let x = self.dropout.forward(x.flatten(1, 3));
        self.fc2.forward(self.dropout.forward(gelu(self.fc1.forward(x))))
    }
}

#[test]
fn mnist() {
    let model = Mnist {
        conv1: MnistBlock::new([1, 4], true),
        conv2: MnistBlock::new([4, 6], false),
        dropout: DropoutConfig::new(0.25).init(),
        fc1: LinearConfig::new(6 * 9, 12).init(&device()),
        fc2: LinearConfig::new(12, 10).init(&device()),
    };
    let batch = (normal([8, 12, 12], 1), labels([8], 10, 2));
    evaluated(model, batch, |model, (images, targets)| classified(model.forward(images), targets))
        .mean()
        .with(Likelihood::Categorical)
        .passes();
}

/// A residual network with a projection where the size changes.
#[derive(Module, Debug)]
struct ResNet {
    stem: Conv2d,
    norm: BatchNorm,
    blocks: Vec<BasicBlock>,
    head: Linear,
}

#[derive(Module, Debug)]
struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm,
    relu: Relu,
    conv2: Conv2d,
    bn2: BatchNorm,
    downsample: Option<(Conv2d, BatchNorm)>,
}

impl BasicBlock {
    fn new(channels: [usize; 2], stride: usize) -> Self {
        let [input, output] = channels;
        Self {
            conv1: conv(channels, 3, stride, 1),
            bn1: norm(output),
            relu: Relu::new(),
            conv2: conv([output, output], 3, 1, 1),
            bn2: norm(output),
            downsample: (input != output).then(|| (conv(channels, 1, stride, 1), norm(output))),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let x = self.relu.forward(self.bn1.forward(self.conv1.forward(input.clone())));
        let x = self.bn2.forward(self.conv2.forward(x));
        let skip = match &self.downsample {
            Some((conv, norm)) => norm.forward(conv.forward(input)),
            None => input,
        };
        self.relu.forward(x + skip)
    }
}

#[test]
fn resnet() {
    let model = ResNet {
        stem: conv([3, 6], 3, 1, 1),
        norm: norm(6),
        blocks: vec![BasicBlock::new([6, 6], 1), BasicBlock::new([6, 8], 2)],
        head: LinearConfig::new(8, 5).init(&device()),
    };
    let batch = (normal([6, 3, 8, 8], 1), labels([6], 5, 2));
    evaluated(model, batch, |model, (images, targets)| {
        let x = relu(model.norm.forward(model.stem.forward(images)));
        let x = model.blocks.iter().fold(x, |x, block| block.forward(x));
        let x = AdaptiveAvgPool2dConfig::new([1, 1]).init().forward(x);
        classified(model.head.forward(x.flatten(1, 3)), targets)
    })
    .mean()
    .with(Likelihood::Categorical)
    .passes();
}

/// Inverted residuals with depthwise convolutions and ReLU6.
#[derive(Module, Debug)]
struct MobileNet {
    blocks: Vec<InvertedResidual>,
    head: Linear,
}

#[derive(Module, Debug)]
struct InvertedResidual {
    expand: (Conv2d, BatchNorm),
    depthwise: (Conv2d, BatchNorm),
    project: (Conv2d, BatchNorm),
    residual: bool,
}

impl InvertedResidual {
    fn new([input, output]: [usize; 2], stride: usize) -> Self {
        let hidden = 2 * input;
        Self {
            expand: (conv([input, hidden], 1, 1, 1), norm(hidden)),
            depthwise: (conv([hidden, hidden], 3, stride, hidden), norm(hidden)),
            project: (conv([hidden, output], 1, 1, 1), norm(output)),
            residual: stride == 1 && input == output,
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let layer = |(conv, norm): &(Conv2d, BatchNorm), x| norm.forward(conv.forward(x));
        let x = relu6(layer(&self.expand, input.clone()));
        let x = relu6(layer(&self.depthwise, x));
        let x = layer(&self.project, x);
        if self.residual { x + input } else { x }
    }
}

#[test]
fn mobilenet() {
    let blocks = vec![InvertedResidual::new([3, 3], 1), InvertedResidual::new([3, 6], 2)];
    let model = MobileNet { blocks, head: LinearConfig::new(6, 4).init(&device()) };
    let batch = (normal([6, 3, 8, 8], 1), labels([6], 4, 2));
    evaluated(model, batch, |model, (images, targets)| {
        let x = model.blocks.iter().fold(images, |x, block| block.forward(x));
        let x: Tensor<2> = x.mean_dim(3).mean_dim(2).flatten(1, 3);
        classified(model.head.forward(x), targets)
    })
    .mean()
    .with(Likelihood::Categorical)
    .passes();
}

/// Down, bottom and up with a skip connection; one logit per pixel.
#[derive(Module, Debug)]
struct UNet {
    down: Conv2d,
    pool: MaxPool2d,
    bottom: Conv2d,
    up: ConvTranspose2d,
    merge: Conv2d,
    head: Conv2d,
}

#[test]
fn unet() {
    let model = UNet {
        down: conv([1, 4], 3, 1, 1),
        pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
        bottom: conv([4, 6], 3, 1, 1),
        up: ConvTranspose2dConfig::new([6, 4], [2, 2]).with_stride([2, 2]).init(&device()),
        merge: conv([8, 4], 3, 1, 1),
        head: Conv2dConfig::new([4, 1], [1, 1]).init(&device()),
    };
    let batch = (normal([4, 1, 8, 8], 1), labels([4, 1, 16, 16], 2, 2));
    evaluated(model, batch, |model, (images, masks): (Tensor<4>, Tensor<4, Int>)| {
        let down = relu(model.down.forward(images));
        let bottom = relu(model.bottom.forward(model.pool.forward(down.clone())));
        let merged = Tensor::cat(vec![model.up.forward(bottom), down], 1);
        let logits = model.head.forward(relu(model.merge.forward(merged)));
        let resize = Interpolate2dConfig::new()
            .with_output_size(Some([16, 16]))
            .with_mode(InterpolateMode::Linear);
        let logits = resize.init().forward(logits);
        let loss = BinaryCrossEntropyLossConfig::new().with_logits(true).init(&logits.device());
        // Summed over the pixels of an image, as the likelihood is.
        (logits.clone(), loss.forward(logits, masks) * 256.0)
    })
    .mean()
    .with(Likelihood::Bernoulli)
    .passes();
}
