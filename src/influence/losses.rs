//! The losses of an objective's samples and their derivatives, without a gradient of each sample.

use std::ops::Range;

use burn_backend::AutodiffBackend;

use super::InfluenceError;
use crate::{
    curvature::Jacobian,
    derive::Product,
    error::Error,
    objective::{Objective, PreparedProduct},
    operator::LinearOperator,
    space::ParamVector,
};

/// ℓ(θ), the losses of samples, with J = ∂ℓ/∂θ.
pub(super) struct SampleLosses<B: AutodiffBackend> {
    /// Its outputs are ℓ.
    objective: Objective<B>,
    jacobian: Jacobian<B>,
    adjoint: PreparedProduct<B>,
    samples: usize,
}

impl<B: AutodiffBackend> SampleLosses<B> {
    pub fn new(objective: &Objective<B>) -> Result<Self, Error> {
        let (given, objective) = (objective, objective.returning_losses()?);
        given.expect_own_losses()?;
        Ok(Self {
            samples: objective.samples().iter().sum(),
            jacobian: Jacobian::new(&objective)?,
            adjoint: objective.product(Product::Adjoint)?,
            objective,
        })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples
    }

    /// J s for each s: the products ∇ℓₙᵀs of all samples, by one forward-mode pass.
    pub fn products(&self, vectors: &[ParamVector<B>]) -> Result<Vec<Vec<f64>>, Error> {
        let products = self.jacobian.apply_many(vectors)?;
        products
            .iter()
            .map(|product| {
                let product = product.to_vec()?;
                expect_finite("derivative", &product)?;
                Ok(product)
            })
            .collect()
    }

    /// Σ over some samples of ∇ℓₙ, by one backward pass over their batches.
    pub fn gradient_of_sum(&self, samples: &[usize]) -> Result<ParamVector<B>, Error> {
        let mut chosen = vec![0.0; self.samples];
        samples.iter().for_each(|&sample| chosen[sample] = 1.0);
        self.objective.gradient_of_losses(&self.adjoint, &chosen)
    }

    /// ∇ℓₙ of the samples in a range, one backward pass for each.
    pub fn gradients(&self, range: Range<usize>) -> Result<Vec<ParamVector<B>>, Error> {
        let mut gradients = Vec::with_capacity(range.len());
        self.objective.each_sample_gradient(&self.adjoint, &range, |_, gradient| {
            gradients.push(gradient);
            Ok(())
        })?;
        Ok(gradients)
    }

    /// ℓ(θ).
    pub fn values(&self) -> Result<Vec<f64>, Error> {
        let values = self.objective.outputs()?.to_vec()?;
        expect_finite("loss", &values)?;
        Ok(values)
    }

    /// The objective whose outputs are ℓ.
    pub fn objective(&self) -> &Objective<B> {
        &self.objective
    }

    /// Bytes kept between passes.
    pub fn kept_bytes(&self) -> usize {
        self.jacobian.kept_bytes()
    }
}

fn expect_finite(what: &'static str, values: &[f64]) -> Result<(), InfluenceError> {
    match values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        Some((sample, value)) => {
            Err(InfluenceError::NotFinite { what, sample, value: value.to_string() })
        }
        None => Ok(()),
    }
}
