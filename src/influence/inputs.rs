//! How changes of training inputs change a prediction.

use burn_backend::AutodiffBackend;

use super::{Influence, InfluenceReport, Query};
use crate::{
    capture::Batch,
    error::Error,
    objective::with_floats,
    space::{VectorError, read_tensor, sum},
    tensor::{Operand, TensorBridge},
};

/// The influence of the inputs of some training samples on each query.
#[derive(Clone, Debug)]
pub struct InputInfluence<X> {
    /// For each query a batch like the one given, with df/dx in the places of its float tensors; integers and truth values are
    /// as they were.
    pub gradients: Vec<X>,
    /// The report on them.
    pub report: InfluenceReport,
}

impl<B: AutodiffBackend> Influence<B>
where
    B::InnerBackend: TensorBridge,
{
    /// How f changes per unit of change in the inputs x of training samples, if the model is trained again with the
    /// changed inputs.
    ///
    /// ```text
    /// df/dxₙ = −c·∂/∂xₙ (∇ℓₙᵀ A⁻¹∇f) = −c·∂²ℓₙ/∂xₙ∂θ · A⁻¹∇f
    /// ```
    ///
    /// `batch` holds some samples of the training, each with its weight c = 1/N or 1 there. The result has the shapes of its
    /// float tensors, on their device and in the precision of the objective, all of them (of a batch of images and float
    /// targets also the targets').
    ///
    /// # Cost
    /// A backward pass and a solve per query, and less than a Hessian product on the batch for each.
    ///
    /// # Errors
    /// [`VectorError::NonFinite`] for a derivative by the inputs that is NaN or infinite;
    /// [`ObjectiveError::NoFloats`](crate::errors::ObjectiveError::NoFloats) for a batch of integers only, such as tokens; those
    /// of [`Objective::on`](crate::Objective::on) for a batch other than the captured one; as
    /// [`visit_scores`](Self::visit_scores).
    ///
    /// # References
    /// Koh & Liang 2017, *Understanding black-box predictions via influence functions*, section 2.2.
    ///
    /// # Example
    /// w is the mean of three numbers y, so that d(½w²)/dyₙ = w/3.
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
    /// let test = training.on(y(&[0.0]))?; // ½w²
    /// let influence = InfluenceConfig::default().init(&training)?;
    /// let found = influence.input_gradients(&test, y(&[4.0]))?; // one of the three
    /// let slope = found.gradients[0].to_data().iter::<f64>().next();
    /// assert!(slope.is_some_and(|slope| (slope - 2.0 / 3.0).abs() < 1e-6));
    /// # Ok(())
    /// # }
    /// ```
    pub fn input_gradients<'a, X: Batch>(
        &self,
        query: impl Into<Query<'a, B>>,
        batch: X,
    ) -> Result<InputInfluence<X>, Error>
    where
        B: 'a,
    {
        let perturbed = self.training.agreed(self.training.here().on(batch.clone()))?;
        let scale = -self.reduction.factor(self.samples());
        let mut gradients = Vec::new();
        let solved = self.each_solved(query.into(), |solved| {
            let scaled: Vec<_> = solved.iter().map(|vector| vector.clone().scale(scale)).collect();
            for found in perturbed.input_gradients(&scaled)? {
                expect_finite::<B>(&found)?;
                gradients.push(with_floats(batch.clone(), found));
            }
            Ok(())
        })?;
        Ok(InputInfluence { gradients, report: self.report(solved.queries, solved.solves, 0) })
    }
}

/// Checks the derivatives by the float tensors of a batch. Reads a sum of each, and all of one with a sum that is not finite.
fn expect_finite<B: AutodiffBackend>(found: &[Operand<B::InnerBackend>]) -> Result<(), Error> {
    for (index, operand) in found.iter().enumerate() {
        let tensor = operand.clone().into_float()?;
        if read_tensor::<B>(sum::<B>(tensor.clone()))?.iter().all(|sum| sum.is_finite()) {
            continue;
        }
        let values = read_tensor::<B>(tensor)?;
        let count = values.iter().filter(|value| !value.is_finite()).count();
        if count > 0 {
            let (what, block) = ("the derivative by the inputs".into(), format!("tensor {index}"));
            return Err(VectorError::NonFinite { what, block, count }.into());
        }
    }
    Ok(())
}
