//! Softmax regression without bias, with the loss of each sample, and its minimum by Newton's method.

use burn::{module::Param, prelude::*, tensor::activation::log_softmax};
use burn_curvature::{
    ConjugateGradientConfig, Error, Hessian, LinearOperator, LinearSolver, Loss, Objective,
};

/// Features `[samples, features]` and classes `[samples]`.
pub type Samples = (Tensor<2>, Tensor<1, Int>);

/// Weights `[features, classes]`.
#[derive(Module, Debug)]
pub struct Softmax {
    pub w: Param<Tensor<2>>,
}

impl Softmax {
    /// With zeros.
    pub fn new(features: usize, classes: usize, device: &Device) -> Self {
        Self { w: Param::from_tensor(Tensor::zeros([features, classes], device)) }
    }

    /// Logits and the cross-entropy of each sample.
    pub fn forward(&self, (x, y): Samples) -> (Tensor<2>, Tensor<1>) {
        let z = x.matmul(self.w.val());
        (z.clone(), cross_entropies(z, y))
    }
}

/// Logits, and the mean of the samples' cross-entropies.
pub fn loss(model: &Softmax, samples: Samples) -> (Tensor<2>, Loss) {
    let (z, losses) = model.forward(samples);
    (z, Loss::mean_of(losses))
}

/// The cross-entropy of each sample.
pub fn cross_entropies(z: Tensor<2>, y: Tensor<1, Int>) -> Tensor<1> {
    -log_softmax(z, 1).gather(1, y.unsqueeze_dim(1)).squeeze_dim::<1>(1)
}

/// The share of samples whose largest output of an objective is that of their label.
///
/// # Errors
/// An objective without outputs.
pub fn accuracy(objective: &Objective, labels: &[i64]) -> Result<f64, Error> {
    let outputs = objective.outputs()?.to_vec()?;
    let classes = outputs.len() / labels.len();
    let largest = |row: &[f64]| (0..classes).max_by(|&a, &b| row[a].total_cmp(&row[b]));
    let rows = outputs.chunks(classes).zip(labels);
    let right = rows.filter(|(row, label)| largest(row) == Some(**label as usize)).count();
    Ok(right as f64 / labels.len() as f64)
}

/// Some of the samples.
pub fn rows((x, y): &Samples, rows: &[usize]) -> Samples {
    let indices: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [rows.len()]), &x.device());
    (x.clone().select(0, indices.clone()), y.clone().select(0, indices))
}

/// The objective where ℒ + ½·decay·‖θ‖² is smallest, from where it is, up to a gradient of norm `tolerance`.
///
/// # Errors
/// A minimization that does not come to an end.
pub fn minimized(mut at: Objective, decay: f64, tolerance: f64) -> Result<Objective, Error> {
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-3).init()?;
    let risk = |at: &Objective| -> Result<f64, Error> {
        Ok(at.value()? + 0.5 * decay * at.parameters().norm()?.powi(2))
    };
    for _ in 0..60 {
        let gradient = at.gradient()?.axpy(decay, at.parameters())?;
        if gradient.norm()? <= tolerance {
            return Ok(at);
        }
        let step = solver.solve(&Hessian::new(&at)?.damped(decay)?, &gradient)?.x;
        let (before, promised, mut length) = (risk(&at)?, gradient.dot(&step)?, 1.0);
        at = loop {
            let next = at.at(&at.parameters().clone().axpy(-length, &step)?)?;
            let rounding = 1e-12 * before.abs();
            if length < 1e-6 || risk(&next)? <= before - 1e-4 * length * promised + rounding {
                break next;
            }
            length /= 2.0;
        };
    }
    Err(Error::new(std::io::Error::other("the regression was not minimized in 60 Newton steps")))
}
