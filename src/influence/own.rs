//! The influence of each training sample on its own loss.

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{Influence, InfluenceReport, Solves, scores::expect_finite};
use crate::{error::Error, space::ParamVector};

/// The influence of each training sample on its own loss: large for samples that the others contradict, such as
/// mislabeled ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelfInfluence {
    /// c·∇ℓₙᵀA⁻¹∇ℓₙ for each sample: the predicted rise of its loss when it is left out. With
    /// [`Prediction::Upweighted`](super::Prediction::Upweighted) it is −∇ℓₙᵀA⁻¹∇ℓₙ, and with a weight decay
    /// [as there](super::Prediction).
    pub scores: Vec<f64>,
    /// The report on them.
    pub report: InfluenceReport,
}

impl<B: AutodiffBackend> Influence<B> {
    /// The influence of each training sample on its own loss.
    ///
    /// ```text
    /// c·∇ℓₙᵀA⁻¹∇ℓₙ                      for each n: a backward pass and a solve                      (up to P samples)
    /// c·Σₚ (J_ℓ A⁻¹eₚ)ₙ·(J_ℓ eₚ)ₙ       for each coordinate p: a solve and two forward-mode passes   (more samples)
    /// ```
    ///
    /// # Cost
    /// The smaller of N and P solves, with the passes above; for K-FAC and EKFAC one pass over the layers, without a
    /// gradient of each sample, if they hold all parameters.
    ///
    /// # Errors
    /// As [`visit_scores`](Self::visit_scores).
    ///
    /// # Example
    /// For ½(w − y)² with w the mean of three numbers, c·∇ℓₙᵀH⁻¹∇ℓₙ = (w − yₙ)²/3.
    ///
    /// ```
    /// # use burn::{module::Param, prelude::*};
    /// use burn_curvature::{Loss, Objective, influence::{InfluenceConfig}};
    ///
    /// # #[derive(Module, Debug)]
    /// # struct Mean {
    /// #     w: Param<Tensor<1>>,
    /// # }
    /// # fn main() -> Result<(), burn_curvature::Error> {
    /// # let device = Device::default().autodiff();
    /// # let model = Mean { w: Param::from_tensor(Tensor::from_floats([2.0], &device)) };
    /// # let y = |y: &[f32]| Tensor::<1>::from_floats(y, &device);
    /// let training = Objective::capture(&model, y(&[1.0, 1.0, 4.0]), |model, y| {
    ///     Loss::mean_of((model.w.val() - y).powf_scalar(2.0) * 0.5)
    /// })?;
    /// let own = InfluenceConfig::default().init(&training)?.self_influence()?;
    /// for (score, expected) in own.scores.iter().zip([1.0 / 3.0, 1.0 / 3.0, 4.0 / 3.0]) {
    ///     assert!((score - expected).abs() < 1e-6);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[inline(never)]
    pub fn self_influence(&self) -> Result<SelfInfluence, Error> {
        let (samples, parameters) = (self.samples(), self.training.layout().len());
        let (mut scores, mut solves, mut derivatives) = match self.by_layers()? {
            Some(scores) => (scores, Solves::default(), 0),
            None if samples <= parameters => self.by_sample()?,
            None => self.by_coordinate(parameters)?,
        };
        if let Some(penalty) = self.shared_penalty() {
            let (solved, more) = self.inverse.solve(&[penalty])?;
            let products = self.products(&solved)?;
            let pairs = scores.iter_mut().zip(products.iter().flatten());
            pairs.for_each(|(score, product)| *score += product);
            solves.merge(&more);
            derivatives += 1;
        }
        let factor = self.factor();
        scores.iter_mut().for_each(|score| *score *= factor);
        expect_finite([&scores[..]], 0, f64::is_finite)?;
        Ok(SelfInfluence { scores, report: self.report(samples, solves, derivatives) })
    }

    /// ∇ℓₙᵀA⁻¹∇ℓₙ from the layers, where A⁻¹ is a Kronecker product for each.
    fn by_layers(&self) -> Result<Option<Vec<f64>>, Error> {
        let (Some(layers), Some(inverse)) = (&self.layers, self.inverse.factored()) else {
            return Ok(None);
        };
        let own = layers.quadratic_forms(&self.training.here(), inverse);
        let own = own.map(|scores| vec![scores.total()]);
        Ok(Some(self.losses.by_row(1, own)?.concat()))
    }

    /// ∇ℓₙᵀA⁻¹∇ℓₙ by the gradients of some samples at a time.
    fn by_sample(&self) -> Result<(Vec<f64>, Solves, usize), Error> {
        let samples = self.samples();
        let (mut scores, mut total) = (Vec::with_capacity(samples), Solves::default());
        for first in (0..samples).step_by(self.config.at_once) {
            let last = samples.min(first.saturating_add(self.config.at_once));
            let gradients = self.losses.gradients(first..last)?;
            let (solved, solves) = self.inverse.solve(&gradients)?;
            for (gradient, solved) in gradients.iter().zip(&solved) {
                scores.push(gradient.dot_in_range(solved)?);
            }
            total.merge(&solves);
            self.observe(first + gradients.len(), samples);
        }
        Ok((scores, total, 0))
    }

    /// The same by the columns of A⁻¹.
    fn by_coordinate(&self, parameters: usize) -> Result<(Vec<f64>, Solves, usize), Error> {
        let (mut scores, mut total) = (vec![0.0; self.samples()], Solves::default());
        for first in (0..parameters).step_by(self.config.at_once) {
            let last = parameters.min(first.saturating_add(self.config.at_once));
            let units: Vec<_> =
                (first..last).map(|position| self.unit(position)).collect::<Result<_, _>>()?;
            let (mut vectors, solves) = self.inverse.solve(&units)?;
            vectors.extend(units);
            let products = self.losses.products(&vectors)?;
            let (solved, plain) = products.split_at(last - first);
            for (solved, plain) in solved.iter().zip(plain) {
                let pairs = solved.iter().zip(plain);
                scores.iter_mut().zip(pairs).for_each(|(score, (a, b))| *score += a * b);
            }
            total.merge(&solves);
            self.observe(last, parameters);
        }
        Ok((scores, total, 2 * parameters))
    }

    /// The vector that is one at a position and zero elsewhere.
    fn unit(&self, position: usize) -> Result<ParamVector<B>, Error> {
        let space = self.training.parameters().space();
        let mut values = vec![0.0; space.len()];
        values[position] = 1.0;
        Ok(space.vector(&values)?)
    }
}
