//! Convolutional networks.

use burn::{
    module::Module,
    nn::{
        BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, PaddingConfig2d, Relu,
        conv::{Conv2d, Conv2dConfig},
        pool::{AdaptiveAvgPool2dConfig, MaxPool2d, MaxPool2dConfig},
    },
    prelude::*,
    tensor::activation::{gelu, relu, relu6, silu},
};

use super::{Labeled, classified, linear, squared};

/// Padded such that a stride of 1 keeps the size; no bias.
pub fn conv(
    channels: [usize; 2],
    kernel: usize,
    [stride, groups]: [usize; 2],
    device: &Device,
) -> Conv2d {
    let pad = kernel / 2;
    Conv2dConfig::new(channels, [kernel, kernel])
        .with_stride([stride, stride])
        .with_groups(groups)
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .with_bias(false)
        .init(device)
}

fn norm(channels: usize, device: &Device) -> BatchNorm {
    BatchNormConfig::new(channels).init(device)
}

/// Burn's mnist example: convolution, batch norm, GELU and pooling, twice, then three linear layers with dropout.
#[derive(Module, Debug)]
pub struct Mnist {
    conv1: MnistBlock,
    conv2: MnistBlock,
    dropout: Dropout,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

#[derive(Module, Debug)]
struct MnistBlock {
    conv: Conv2d,
    norm: BatchNorm,
    pool: MaxPool2d,
}

impl MnistBlock {
    fn new(channels: [usize; 2], device: &Device) -> Self {
        Self {
            conv: Conv2dConfig::new(channels, [3, 3]).init(device),
            norm: norm(channels[1], device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.pool.forward(gelu(self.norm.forward(self.conv.forward(x))))
    }
}

impl Mnist {
    /// For square images; `[28, 64, 128]` is the example.
    pub fn new([side, channels, hidden]: [usize; 3], device: &Device) -> Self {
        let pooled = ((side - 2) / 2 - 2) / 2;
        Self {
            conv1: MnistBlock::new([1, channels], device),
            conv2: MnistBlock::new([channels, channels], device),
            dropout: DropoutConfig::new(0.25).init(),
            fc1: linear(channels * pooled * pooled, hidden, device),
            fc2: linear(hidden, hidden, device),
            fc3: linear(hidden, 10, device),
        }
    }

    pub fn loss(&self, (images, targets): Labeled<Tensor<3>>) -> (Tensor<2>, Tensor<1>) {
        let [batch, height, width] = images.dims();
        let x = images.reshape([batch, 1, height, width]);
        let x = self.conv2.forward(self.conv1.forward(x));
        let x = self.dropout.forward(gelu(self.fc1.forward(x.flatten(1, 3))));
        let x = self.dropout.forward(gelu(self.fc2.forward(x)));
        classified(self.fc3.forward(x), targets)
    }
}

/// A residual network with a projection where the size changes.
#[derive(Module, Debug)]
pub struct ResNet {
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
    fn new(channels: [usize; 2], device: &Device) -> Self {
        let [input, output] = channels;
        let stride = if input == output { 1 } else { 2 };
        let projection = || (conv(channels, 1, [stride, 1], device), norm(output, device));
        Self {
            conv1: conv(channels, 3, [stride, 1], device),
            bn1: norm(output, device),
            relu: Relu::new(),
            conv2: conv([output, output], 3, [1, 1], device),
            bn2: norm(output, device),
            downsample: (input != output).then(projection),
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

impl ResNet {
    /// A block from each number of channels to the next; where they differ, the size is halved.
    pub fn new(channels: &[usize], classes: usize, device: &Device) -> Self {
        let (first, last) = (channels[0], channels[channels.len() - 1]);
        let blocks = channels.windows(2).map(|pair| BasicBlock::new([pair[0], pair[1]], device));
        Self {
            stem: conv([3, first], 3, [1, 1], device),
            norm: norm(first, device),
            blocks: blocks.collect(),
            head: linear(last, classes, device),
        }
    }

    /// Of which only the head is trained.
    pub fn with_frozen_trunk(self) -> Self {
        Self {
            stem: self.stem.no_grad(),
            norm: self.norm.no_grad(),
            blocks: self.blocks.no_grad(),
            head: self.head,
        }
    }

    pub fn loss(&self, (images, targets): Labeled<Tensor<4>>) -> (Tensor<2>, Tensor<1>) {
        let x = relu(self.norm.forward(self.stem.forward(images)));
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x));
        let x = AdaptiveAvgPool2dConfig::new([1, 1]).init().forward(x);
        classified(self.head.forward(x.flatten(1, 3)), targets)
    }
}

/// Inverted residuals with depthwise convolutions and ReLU6.
#[derive(Module, Debug)]
pub struct MobileNet {
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
    fn new([input, output]: [usize; 2], expansion: usize, device: &Device) -> Self {
        let hidden = expansion * input;
        let stride = if input == output { 1 } else { 2 };
        let layer = |channels: [usize; 2], kernel, sizes| {
            (conv(channels, kernel, sizes, device), norm(channels[1], device))
        };
        Self {
            expand: layer([input, hidden], 1, [1, 1]),
            depthwise: layer([hidden, hidden], 3, [stride, hidden]),
            project: layer([hidden, output], 1, [1, 1]),
            residual: input == output,
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

impl MobileNet {
    /// A block from each number of channels to the next; where they differ, the size is halved.
    pub fn new(channels: &[usize], [expansion, classes]: [usize; 2], device: &Device) -> Self {
        let block = |pair: &[usize]| InvertedResidual::new([pair[0], pair[1]], expansion, device);
        Self {
            blocks: channels.windows(2).map(block).collect(),
            head: linear(channels[channels.len() - 1], classes, device),
        }
    }

    pub fn loss(&self, (images, targets): Labeled<Tensor<4>>) -> (Tensor<2>, Tensor<1>) {
        let x = self.blocks.iter().fold(images, |x, block| block.forward(x));
        let x: Tensor<2> = x.mean_dim(3).mean_dim(2).flatten(1, 3);
        classified(self.head.forward(x), targets)
    }
}

/// A denoiser that predicts the noise; noise and time steps come with the batch.
#[derive(Module, Debug)]
pub struct Denoiser {
    first: Conv2d,
    time: Linear,
    inner: Vec<Conv2d>,
    last: Conv2d,
}

impl Denoiser {
    /// For images of one channel.
    pub fn new([channels, inner]: [usize; 2], device: &Device) -> Self {
        let conv = |channels| {
            let padding = PaddingConfig2d::Explicit(1, 1, 1, 1);
            Conv2dConfig::new(channels, [3, 3]).with_padding(padding).init(device)
        };
        Self {
            first: conv([1, channels]),
            time: linear(4, channels, device),
            inner: (0..inner).map(|_| conv([channels, channels])).collect(),
            last: conv([channels, 1]),
        }
    }

    pub fn loss(
        &self,
        (images, noise, steps): (Tensor<4>, Tensor<4>, Tensor<1, Int>),
    ) -> (Tensor<4>, Tensor<1>) {
        let [batch] = steps.dims();
        let time = steps.float().reshape([batch, 1]) / 20.0;
        let angle = (time.clone() * 1.5).reshape([batch, 1, 1, 1]);
        let noisy = images * angle.clone().cos() + noise.clone() * angle.sin();
        let waves = Tensor::cat(
            vec![
                time.clone().sin(),
                time.clone().cos(),
                (time.clone() * 4.0).sin(),
                (time * 4.0).cos(),
            ],
            1,
        );
        let time = self.time.forward(waves).unsqueeze_dims(&[2, 3]);
        let hidden = silu(self.first.forward(noisy) + time);
        let hidden = self.inner.iter().fold(hidden, |x, conv| silu(conv.forward(x.clone())) + x);
        squared(self.last.forward(hidden), noise)
    }
}
