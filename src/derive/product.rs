//! The products of a recorded loss with a vector, each computed on one backend: recorded there or computed at once.

use std::ops::Range;

use burn_autodiff::Autodiff;
use burn_backend::{
    Backend,
    tensor::{Device, FloatTensor},
};

use super::{
    lower,
    metric::Metric,
    network::Network,
    outputs::{self, Curvature, Tables},
    reverse::{self, Arguments},
};
use crate::{
    error::Error,
    graph::{Graph, ValueType},
    tensor::Operand,
};

/// A product with a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Product {
    /// ∇²ℒ·v
    Hessian,
    /// The product with one block of ∇²ℒ: v has the parts of the columns, the product those of the rows.
    HessianBlock { rows: Parameters, columns: Parameters },
    /// Jᵀ∇²ℓ J v in the given parameters, which are the first ones. The others are data.
    GaussNewtonBlock(Parameters),
    /// J v, from parameters to outputs.
    Jacobian,
    /// Jᵀu, from outputs to parameters.
    Adjoint,
    /// Jᵀ∇²ℓ J v
    GaussNewton,
    /// JᵀMJ v
    Fisher(Metric),
    /// JᵀS r with S Sᵀ = M, from outputs to parameters. For a metric of directions r has one value per direction and
    /// sample, expanded to the shape of the outputs.
    Root(Metric),
}

/// Some of the parameters: those at the positions from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Parameters {
    pub start: usize,
    pub end: usize,
}

impl Parameters {
    pub(super) fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

impl Product {
    /// For messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Product::Hessian => "Hessian-vector product",
            Product::HessianBlock { .. } => "product with a block of the Hessian",
            Product::Jacobian => "Jacobian-vector product",
            Product::Adjoint => "vector-Jacobian product",
            Product::GaussNewton | Product::GaussNewtonBlock(_) => "Gauss-Newton product",
            Product::Fisher(Metric::Exact(_)) => "Fisher product",
            Product::Fisher(Metric::Drawn { .. }) => "Monte-Carlo Fisher product",
            Product::Fisher(Metric::Empirical) => "empirical Fisher product",
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

/// The inputs of a product on backend `B`.
pub(crate) struct ProductInputs<'a, B: Backend> {
    pub device: &'a Device<B>,
    pub parameters: &'a [FloatTensor<B>],
    pub batch: &'a [Operand<B>],
    /// The noise that targets are drawn by.
    pub noise: Option<FloatTensor<B>>,
    pub vector: &'a [FloatTensor<B>],
}

impl<'a> Target<'a> {
    pub fn new(product: Product, loss: &'a Graph, parameters: usize) -> Result<Self, Error> {
        let parameters = match product {
            Product::GaussNewtonBlock(own) => own.end,
            _ => parameters,
        };
        let network = match product {
            Product::Hessian | Product::HessianBlock { .. } => None,
            _ => Some(Network::of(loss, parameters)?),
        };
        Ok(Self { product, loss, parameters, network })
    }

    /// Types of the vector's parts.
    pub fn vector_types(&self) -> Vec<ValueType> {
        match (self.product, self.outputs_type()) {
            (Product::Root(Metric::Drawn { draws, .. }), Some(outputs)) if draws > 1 => {
                let shape = [draws].into_iter().chain(outputs.shape.iter().copied());
                vec![ValueType { shape: shape.collect::<Vec<_>>().into(), dtype: outputs.dtype }]
            }
            (Product::Adjoint | Product::Root(_), Some(outputs)) => vec![outputs],
            (product, _) => {
                let own = match product {
                    Product::HessianBlock { columns, .. } => columns.range(),
                    _ => 0..self.parameters,
                };
                let own = self.loss.inputs().iter().take(own.end).skip(own.start);
                own.map(|&id| self.loss.value(id).clone()).collect()
            }
        }
    }

    /// Type of the noise, if the product draws.
    pub fn noise_type(&self) -> Option<ValueType> {
        match self.product {
            Product::Fisher(metric) | Product::Root(metric) => {
                metric.noise_type(&self.outputs_type()?)
            }
            Product::Hessian
            | Product::HessianBlock { .. }
            | Product::Jacobian
            | Product::Adjoint
            | Product::GaussNewton
            | Product::GaussNewtonBlock(_) => None,
        }
    }

    fn outputs_type(&self) -> Option<ValueType> {
        let network = &self.network.as_ref()?.network;
        Some(network.value(*network.outputs().first()?).clone())
    }

    /// The product, by Burn's autodiff on tables of operations that it differentiates exactly.
    pub fn compute<B: Backend>(
        &self,
        inputs: ProductInputs<'_, B>,
        tables: &Tables<B>,
    ) -> Result<Vec<FloatTensor<B>>, Error> {
        // Parameters that are data in this product come before the batch.
        let (parameters, data) = inputs.parameters.split_at(self.parameters);
        let data = data.iter().cloned().map(Operand::Float).chain(inputs.batch.iter().cloned());
        let data: Vec<_> = data.collect();
        let whole =
            Arguments { program: self.loss, device: inputs.device, parameters, batch: &data };
        let Some(network) = &self.network else {
            let twice = tables.twice;
            return match self.product {
                Product::HessianBlock { rows, columns } => {
                    let block = (rows.range(), columns.range());
                    reverse::hessian_block_product(&whole, block, inputs.vector, twice)
                }
                _ => reverse::hessian_vector_product(&whole, inputs.vector, twice),
            };
        };
        let arguments = Arguments { program: &network.network, ..whole };
        let curvature = match self.product {
            Product::Jacobian => {
                let product = outputs::jacobian_product(&arguments, inputs.vector, tables.twice)?;
                return Ok(vec![product.tangent]);
            }
            Product::Adjoint => {
                let cotangent = outputs::required(inputs.vector.first().cloned())?;
                return outputs::adjoint_product(&arguments, cotangent, tables.once);
            }
            Product::Root(metric) => {
                let vector = outputs::required(inputs.vector.first().cloned())?;
                let metric = (metric, inputs.noise);
                return outputs::root_product(network, metric, &arguments, vector, tables.once);
            }
            Product::Hessian
            | Product::HessianBlock { .. }
            | Product::GaussNewton
            | Product::GaussNewtonBlock(_) => Curvature::Loss,
            Product::Fisher(metric) => Curvature::Metric(metric, inputs.noise),
        };
        outputs::gauss_newton_product(network, curvature, &arguments, inputs.vector, tables)
    }
}

/// The tables that compute at once.
pub(super) fn eager_tables<B: Backend>() -> Tables<B> {
    Tables { once: lower::apply::<Autodiff<B>>, twice: lower::apply_twice::<Autodiff<B>> }
}
