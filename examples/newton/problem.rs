//! Logistic regression on handwritten digits, 0 to 4 against 5 to 9, in plain Burn and f64. Independent of optimizers.

use std::io::Result;

use burn::{
    module::Param,
    prelude::*,
    tensor::{DType, activation::softplus},
};

use crate::digits::{Digits, PIXELS};

/// η of the weight decay η/2 ‖w‖².
pub const DECAY: f64 = 1e-3;

/// Images `[images, 64]` of norm 1, and labels `[images, 1]`.
pub type Samples = (Tensor<2>, Tensor<2>);

/// One weight per pixel.
#[derive(Module, Debug)]
pub struct Logistic {
    pub w: Param<Tensor<2>>,
}

impl Logistic {
    /// At zero.
    pub fn new(device: &Device) -> Self {
        let w = Tensor::<2>::zeros([PIXELS, 1], (device, DType::F64));
        Self { w: Param::from_tensor(w) }
    }
}

/// Logits, and the mean over images of softplus(z) − yz.
pub fn loss(model: &Logistic, (x, y): Samples) -> (Tensor<2>, Tensor<1>) {
    let z = x.matmul(model.w.val());
    (z.clone(), (softplus(z.clone(), 1.0) - z * y).mean())
}

/// The loss with its weight decay.
#[allow(dead_code, reason = "optimizers may add the decay themselves")]
pub fn decayed(model: &Logistic, samples: Samples) -> Tensor<1> {
    loss(model, samples).1 + model.w.val().powf_scalar(2.0).sum() * (0.5 * DECAY)
}

/// All digits, in random order.
///
/// # Errors
/// Those of reading the digits.
pub fn samples(device: &Device, seed: u64) -> Result<Samples> {
    let digits = Digits::load()?;
    let (digits, _) = digits.split(digits.len(), seed);
    let x = digits.images(device).cast(DType::F64);
    let norms = x.clone().powf_scalar(2.0).sum_dim(1).sqrt();
    let large = digits.labels.iter().map(|digit| f64::from(*digit >= 5)).collect::<Vec<_>>();
    let y = TensorData::new(large, [digits.len(), 1]);
    Ok((x / norms, Tensor::from_data(y, (device, DType::F64))))
}
