//! The products with a vector that a recorded loss gives, each computed on one backend: recorded there or at once.

use burn_autodiff::Autodiff;
use burn_backend::{
    Backend,
    tensor::{Device, FloatTensor},
};

use super::{
    draw::Draws,
    lower,
    network::Network,
    outputs::{self, Middle, Tables},
    reverse::{self, Arguments},
};
use crate::{
    error::Error,
    execute::ExecuteError,
    graph::{Graph, ValueType},
    tensor::Operand,
};

/// A product with a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Product {
    /// ∇²ℒ·v
    Hessian,
    /// J v, from parameters to outputs.
    Jacobian,
    /// Jᵀu, from outputs to parameters.
    Adjoint,
    /// Jᵀ∇²ℓ J v
    GaussNewton,
    /// JᵀMJ v with the covariance of softmax probabilities.
    Categorical,
    /// JᵀMJ v with the variances of the logistic function.
    Bernoulli,
    /// JᵀJ v
    Gaussian,
    /// JᵀMJ v with M = Σₛ dₛdₛᵀ for each sample, dₛ for targets drawn by noise that is handed in beside the batch.
    Drawn(Draws),
    /// JᵀMJ v with M = d dᵀ for each sample, d = ∂ℓ/∂z.
    Empirical,
    /// JᵀS r, from outputs to parameters.
    Root(Root),
}

/// A square root S of a matrix M in output space: S Sᵀ = M.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Root {
    /// diag(√p) − p √pᵀ with p = softmax(z), for diag(p) − p pᵀ.
    Categorical,
    /// diag(√(σ(1 − σ))), σ the logistic function of z.
    Bernoulli,
    /// I
    Gaussian,
    /// diag(∂ℓ/∂z): for d dᵀ of each sample where r is one number a sample.
    Empirical,
}

impl Product {
    /// For messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Product::Hessian => "Hessian-vector product",
            Product::Jacobian => "Jacobian-vector product",
            Product::Adjoint => "vector-Jacobian product",
            Product::GaussNewton => "Gauss-Newton product",
            Product::Categorical | Product::Bernoulli | Product::Gaussian => "Fisher product",
            Product::Drawn(_) => "Monte-Carlo Fisher product",
            Product::Empirical => "empirical Fisher product",
            Product::Root(_) => "product with a square root of the Fisher matrix",
        }
    }
}

/// A loss program, cut at the outputs where a product needs it.
pub(super) struct Target<'a> {
    product: Product,
    loss: &'a Graph,
    parameters: usize,
    network: Option<Network>,
}

/// What a product is computed from on backend `B`.
pub(crate) struct Given<'a, B: Backend> {
    pub device: &'a Device<B>,
    pub parameters: &'a [FloatTensor<B>],
    pub batch: &'a [Operand<B>],
    /// What a product draws by.
    pub noise: Option<FloatTensor<B>>,
    pub vector: &'a [FloatTensor<B>],
}

impl<'a> Target<'a> {
    pub fn new(product: Product, loss: &'a Graph, parameters: usize) -> Result<Self, Error> {
        let network = match product {
            Product::Hessian => None,
            _ => Some(Network::of(loss, parameters)?),
        };
        Ok(Self { product, loss, parameters, network })
    }

    /// Types of the vector's parts.
    pub fn vector_types(&self) -> Vec<ValueType> {
        match (self.product, self.outputs_type()) {
            (Product::Adjoint | Product::Root(_), Some(outputs)) => vec![outputs],
            _ => {
                let own = self.loss.inputs().iter().take(self.parameters);
                own.map(|&id| self.loss.value(id).clone()).collect()
            }
        }
    }

    /// Type of the noise, where the product draws.
    pub fn noise_type(&self) -> Option<ValueType> {
        let Product::Drawn(draws) = self.product else {
            return None;
        };
        Some(draws.noise_type(&self.outputs_type()?))
    }

    fn outputs_type(&self) -> Option<ValueType> {
        let network = &self.network.as_ref()?.network;
        Some(network.value(*network.outputs().first()?).clone())
    }

    /// The product, by Burn's autodiff on tables of operations that it differentiates exactly.
    pub fn compute<B: Backend>(
        &self,
        given: Given<'_, B>,
        tables: &Tables<B>,
    ) -> Result<Vec<FloatTensor<B>>, ExecuteError> {
        let whole = Arguments {
            program: self.loss,
            device: given.device,
            parameters: given.parameters,
            batch: given.batch,
        };
        let Some(network) = &self.network else {
            return reverse::hessian_vector_product(&whole, given.vector, tables.twice);
        };
        let arguments = Arguments { program: &network.network, ..whole };
        let middle = match self.product {
            Product::Jacobian => {
                let product = outputs::jacobian_product(&arguments, given.vector, tables.twice)?;
                return Ok(vec![product.tangent]);
            }
            Product::Adjoint => {
                let cotangent = outputs::required(given.vector.first().cloned())?;
                return outputs::adjoint_product(&arguments, cotangent, tables.once);
            }
            Product::Root(root) => {
                let vector = outputs::required(given.vector.first().cloned())?;
                return outputs::root_product(network, root, &arguments, vector, tables.once);
            }
            Product::Hessian | Product::GaussNewton => Middle::Loss,
            Product::Categorical => Middle::Categorical,
            Product::Bernoulli => Middle::Bernoulli,
            Product::Gaussian => Middle::Gaussian,
            Product::Drawn(draws) => {
                Middle::Drawn { draws, noise: outputs::required(given.noise)? }
            }
            Product::Empirical => Middle::Empirical,
        };
        outputs::gauss_newton_product(network, middle, &arguments, given.vector, tables)
    }
}

/// The tables that compute at once.
pub(super) fn eager_tables<B: Backend>() -> Tables<B> {
    Tables { once: lower::apply::<Autodiff<B>>, twice: lower::apply::<Autodiff<Autodiff<B>>> }
}
