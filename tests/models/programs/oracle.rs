//! Burn's own gradients of the loss of several batches, and their central differences.

use burn::{
    prelude::*,
    tensor::{DType, activation::log_softmax},
};
use burn_curvature::{Loss, ParamVector};

use super::net::{Drawn, Net, Step, device, forward, tensor};
use crate::random::SplitMix64;

pub type Vector = ParamVector<burn::backend::Autodiff<burn::backend::Dispatch>>;
pub type Batch = (Tensor<2>, Tensor<2>, Tensor<1, Int>, Tensor<1>);

/// How a closure returns its loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    Mean,
    Sum,
    MeanOf,
    SumOf,
    Weighted,
}

pub const FORMS: [Form; 5] = [Form::Mean, Form::Sum, Form::MeanOf, Form::SumOf, Form::Weighted];

#[derive(Clone, Debug)]
pub struct Task {
    pub drawn: Drawn,
    pub form: Form,
    /// Cross-entropy, or else ½Σ(z − y)².
    pub classes: bool,
}

pub fn batch(task: &Drawn, n: usize, random: &mut SplitMix64) -> Batch {
    let [inputs, outputs] = task.widths;
    let labels: Vec<i64> = (0..n).map(|_| random.below(outputs) as i64).collect();
    let labels = Tensor::from_data(TensorData::new(labels, [n]), &device());
    let weights = tensor([n], random).abs() + 0.1;
    (tensor([n, inputs], random), tensor([n, outputs], random), labels, weights.detach())
}

/// The losses of the samples, `[n]`.
fn losses(classes: bool, z: Tensor<2>, (y, labels): (Tensor<2>, Tensor<1, Int>)) -> Tensor<1> {
    if classes {
        return -log_softmax(z, 1).gather(1, labels.unsqueeze_dim(1)).squeeze_dim::<1>(1);
    }
    (z - y).square().sum_dim(1).squeeze_dim::<1>(1) * 0.5
}

/// Outputs and loss as a user writes them.
pub fn loss(
    net: &Net,
    (steps, form, classes): (&[Step], Form, bool),
    (x, y, labels, weights): Batch,
) -> (Tensor<2>, Loss) {
    let z = forward(net, steps, x);
    let losses = losses(classes, z.clone(), (y, labels));
    let loss = match form {
        Form::Mean => losses.mean().into(),
        Form::Sum => losses.sum().into(),
        Form::MeanOf => Loss::mean_of(losses),
        Form::SumOf => Loss::sum_of(losses),
        Form::Weighted => Loss::weighted((losses * weights.clone()).sum(), weights.sum()),
    };
    (z, loss)
}

impl Task {
    /// The loss over the samples of all batches, each normalized on its own.
    fn value(&self, net: &Net, batches: &[Batch]) -> Tensor<1> {
        let (mut sum, mut divisor) = (Tensor::<1>::zeros([1], (&device(), DType::F64)), 0.0);
        for (x, y, labels, weights) in batches.iter().cloned() {
            let n = x.dims()[0] as f64;
            let losses = losses(self.classes, forward(net, &self.drawn.steps, x), (y, labels));
            match self.form {
                Form::Weighted => {
                    divisor += weights.clone().sum().into_data().iter::<f64>().next().unwrap();
                    sum = sum + (losses * weights).sum();
                }
                _ => {
                    divisor += n;
                    sum = sum + losses.sum();
                }
            }
        }
        if matches!(self.form, Form::Sum | Form::SumOf) { sum } else { sum * divisor.recip() }
    }

    fn net_at(&self, theta: &Vector) -> Net {
        theta.write_to(&self.drawn.net).unwrap()
    }

    pub fn value_at(&self, theta: &Vector, batches: &[Batch]) -> f64 {
        self.value(&self.net_at(theta), batches).into_data().iter::<f64>().next().unwrap()
    }

    pub fn gradient(&self, theta: &Vector, batches: &[Batch]) -> Vec<f64> {
        let net = self.net_at(theta);
        let loss = self.value(&net, batches);
        let found = Vector::from_backward(&net, loss.backward()).unwrap();
        found.to_vec().unwrap()
    }

    /// ∇²ℒ·v by central differences of the gradient.
    pub fn hessian_product(&self, theta: &Vector, v: &Vector, batches: &[Batch]) -> Vec<f64> {
        differences(theta, v, |theta| self.gradient(theta, batches))
    }

    /// Jᵀ Λ J v on one batch, by differences of the outputs, a closed Λ, and Burn's gradient of ⟨z, u⟩.
    pub fn gauss_newton_product(&self, theta: &Vector, v: &Vector, batch: &Batch) -> Vec<f64> {
        let outputs = |theta: &Vector| -> Vec<f64> {
            let z = forward(&self.net_at(theta), &self.drawn.steps, batch.0.clone());
            z.into_data().iter::<f64>().collect()
        };
        let (jv, z) = (differences(theta, v, outputs), outputs(theta));
        let [n, width] = [batch.0.dims()[0], self.drawn.widths[1]];
        let weights: Vec<f64> = batch.3.clone().into_data().iter::<f64>().collect();
        let mut u = vec![0.0; n * width];
        for row in 0..n {
            let own = row * width..(row + 1) * width;
            let weight = match self.form {
                Form::Mean | Form::MeanOf => (n as f64).recip(),
                Form::Sum | Form::SumOf => 1.0,
                Form::Weighted => weights[row] / weights.iter().sum::<f64>(),
            };
            let most = z[own.clone()].iter().copied().fold(f64::MIN, f64::max);
            let total: f64 = z[own.clone()].iter().map(|z| (z - most).exp()).sum();
            let p: Vec<f64> = z[own.clone()].iter().map(|z| (z - most).exp() / total).collect();
            let mean: f64 = p.iter().zip(&jv[own.clone()]).map(|(p, v)| p * v).sum();
            for (column, at) in own.enumerate() {
                let own = if self.classes { p[column] * (jv[at] - mean) } else { jv[at] };
                u[at] = weight * own;
            }
        }
        let net = self.net_at(theta);
        let u = Tensor::<2>::from_data(TensorData::new(u, [n, width]), (&device(), DType::F64));
        let inner = (forward(&net, &self.drawn.steps, batch.0.clone()) * u).sum();
        Vector::from_backward(&net, inner.backward()).unwrap().to_vec().unwrap()
    }
}

/// The derivative along v by central differences with two steps, without their error of second order.
pub fn differences(theta: &Vector, v: &Vector, of: impl Fn(&Vector) -> Vec<f64>) -> Vec<f64> {
    let central = |h: f64| -> Vec<f64> {
        let at = |step: f64| of(&theta.clone().axpy(step, v).unwrap());
        at(h).iter().zip(at(-h)).map(|(up, down)| (up - down) / (2.0 * h)).collect()
    };
    let (short, long) = (central(1e-5), central(2e-5));
    short.iter().zip(long).map(|(short, long)| (4.0 * short - long) / 3.0).collect()
}
