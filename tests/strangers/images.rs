//! Convolutional networks.

use burn::{
    module::Module,
    nn::{
        conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig},
        interpolate::{Interpolate2dConfig, InterpolateMode},
        loss::BinaryCrossEntropyLossConfig,
        pool::{MaxPool2d, MaxPool2dConfig},
    },
    prelude::*,
    tensor::activation::relu,
};
use burn_curvature::Likelihood;

use crate::{
    networks::convolutions::{Mnist, MobileNet, ResNet, conv},
    stranger::{Stranger, device, evaluated, labels, normal},
};

#[test]
fn mnist() {
    let batch = (normal([8, 12, 12], 1), labels([8], 10, 2));
    evaluated(Mnist::new([12, 6, 12], &device()), batch, Mnist::loss)
        .mean()
        .with(Likelihood::Categorical)
        .passes();
}

fn residual(model: ResNet) -> Stranger {
    let batch = (normal([6, 3, 8, 8], 1), labels([6], 5, 2));
    evaluated(model, batch, ResNet::loss).mean().with(Likelihood::Categorical)
}

#[test]
fn resnet() {
    residual(ResNet::new(&[6, 6, 8], 5, &device())).passes();
}

#[test]
fn resnet_with_a_frozen_trunk() {
    residual(ResNet::new(&[6, 6, 8], 5, &device()).with_frozen_trunk()).passes();
}

#[test]
fn mobilenet() {
    let batch = (normal([6, 3, 8, 8], 1), labels([6], 4, 2));
    evaluated(MobileNet::new(&[3, 3, 6], [2, 4], &device()), batch, MobileNet::loss)
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
        down: conv([1, 4], 3, [1, 1], &device()),
        pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
        bottom: conv([4, 6], 3, [1, 1], &device()),
        up: ConvTranspose2dConfig::new([6, 4], [2, 2]).with_stride([2, 2]).init(&device()),
        merge: conv([8, 4], 3, [1, 1], &device()),
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
