//! Value, gradient and Hessian products of an objective, over all batches.

use burn_backend::AutodiffBackend;

use crate::{derive::Product, error::Error, space::ParamVector, tensor::Operand};

use super::{
    Objective, ObjectiveError, Operands, Part, ValueAndGradient, products::accumulate, shared::Call,
};

impl<B: AutodiffBackend> Objective<B> {
    /// ℒ(θ). Costs one forward pass and a read-back for each batch.
    ///
    /// # Errors
    /// A loss that is NaN or infinite.
    #[inline(never)]
    pub fn value(&self) -> Result<f64, Error> {
        let mut sum = 0.0;
        let own = self.for_each_part(|_, part| {
            sum += part.weight * self.value_of(part)?;
            Ok(())
        });
        let own = own.map(|()| (vec![sum], Vec::new()));
        let (sums, _) =
            self.summed_vectors(self.parameters().space(), (Call::Value, &[]), (1, 0), own)?;
        sums.first().copied().ok_or_else(|| ObjectiveError::NoBatches.into())
    }

    /// ∇ℒ(θ). Costs one gradient.
    ///
    /// # Errors
    /// A loss or gradient that is NaN or infinite, naming the parameter.
    pub fn gradient(&self) -> Result<ParamVector<B>, Error> {
        Ok(self.value_and_gradient()?.gradient)
    }

    /// ℒ(θ) and ∇ℒ(θ) by one forward and one backward pass.
    ///
    /// # Errors
    /// A loss or gradient that is NaN or infinite, naming the parameter.
    #[inline(never)]
    pub fn value_and_gradient(&self) -> Result<ValueAndGradient<B>, Error> {
        let (mut value, mut gradient) = (0.0, None);
        let own = self.for_each_part(|_, part| {
            let found = part.programs.gradient()?.run(self.inputs(part)?)?;
            self.add_gradient(part, found, (&mut value, &mut gradient))
        });
        let own = own.map(|()| (vec![value], vec![gradient]));
        let (values, gradients) =
            self.summed_vectors(self.parameters().space(), (Call::Gradient, &[]), (1, 1), own)?;
        let (value, gradient) =
            values.into_iter().zip(gradients).next().ok_or(ObjectiveError::NoBatches)?;
        gradient.expect_finite("the gradient")?;
        Ok(ValueAndGradient { value, gradient })
    }

    /// Adds a batch's loss and gradient, the first and last results of a program, with its weight.
    pub(crate) fn add_gradient(
        &self,
        part: &Part<B>,
        mut results: Operands<B>,
        (value, gradient): (&mut f64, &mut Option<ParamVector<B>>),
    ) -> Result<(), Error> {
        let own = self.parameters().blocks().len();
        let blocks = results.split_off(results.len().saturating_sub(own));
        *value += part.weight * self.finite_loss(part, results.first())?;
        accumulate(gradient, part.weight, self.vector(blocks)?)
    }

    /// ∇²ℒ(θ)·v, exact, as Burn's gradient of ⟨∇ℒ, v⟩.
    ///
    /// At a kink, such as a ReLU at exactly 0, the gradient jumps; the product then belongs to the same side as Burn's
    /// gradient. A model with zero biases starts at a kink wherever its inputs are zero.
    ///
    /// # Cost
    /// With [`Engine::Compiled`](crate::Engine::Compiled) 0.4 to 0.8 gradients per product, and once per (θ, batch) about
    /// half a gradient more; the part that does not depend on v is kept until the objective and its clones are dropped,
    /// within the [memory budget](Self::with_memory_budget). With [`Engine::Eager`](crate::Engine::Eager) about 2.4
    /// gradients per product, more for tiny models.
    ///
    /// # Errors
    /// A vector of another layout, precision or device; a product that is NaN or infinite, naming the parameter.
    #[inline(never)]
    pub fn hessian_vector_product(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let hessian = self.product(Product::Hessian)?;
        let product = self.products(&hessian, std::slice::from_ref(vector))?.into_iter().next();
        let product = product.ok_or(ObjectiveError::NoBatches)?;
        product.expect_finite("the Hessian-vector product")?;
        Ok(product)
    }

    /// Precomputes the part of a Hessian product that does not depend on the vector. Otherwise the first product does this.
    ///
    /// # Errors
    /// A failure of the backend.
    #[inline(never)]
    pub fn prepare(&self) -> Result<(), Error> {
        self.prepare_product(&self.product(Product::Hessian)?)
    }

    /// The loss of one batch, unweighted.
    pub(super) fn value_of(&self, part: &Part<B>) -> Result<f64, Error> {
        let outputs = part.programs.loss()?.run(self.inputs(part)?)?;
        self.finite_loss(part, outputs.first())
    }

    fn finite_loss(
        &self,
        part: &Part<B>,
        loss: Option<&Operand<B::InnerBackend>>,
    ) -> Result<f64, Error> {
        let value = match loss {
            Some(loss) => loss.clone().into_data()?.iter::<f64>().next().unwrap_or(f64::NAN),
            None => f64::NAN,
        };
        if value.is_finite() {
            return Ok(value);
        }
        Err(self.values.not_finite(value, &part.batch.operands))
    }
}
