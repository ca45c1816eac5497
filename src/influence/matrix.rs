//! The curvature matrix C of a training objective, by its products.

use burn_backend::AutodiffBackend;

use super::Curvature;
use crate::{
    curvature::{EmpiricalFisher, Fisher, GaussNewton, Hessian},
    derive::Product,
    error::Error,
    objective::Objective,
    operator::FiniteSum,
};

/// C in the reduction of the objective.
pub(super) enum Matrix<B: AutodiffBackend> {
    Hessian(Hessian<B>),
    GaussNewton(GaussNewton<B>),
    Fisher(Fisher<B>),
    EmpiricalFisher(EmpiricalFisher<B>),
}

impl<B: AutodiffBackend> Matrix<B> {
    /// C of an objective. For the empirical Fisher matrix the samples' losses are the outputs, so that the closure need not
    /// return any.
    pub fn new(curvature: Curvature, objective: &Objective<B>) -> Result<Self, Error> {
        Ok(match curvature {
            Curvature::Hessian => Self::Hessian(Hessian::new(objective)?),
            Curvature::GaussNewton => Self::GaussNewton(GaussNewton::new(objective)?),
            Curvature::Fisher(likelihood) => Self::Fisher(Fisher::exact(objective, likelihood)?),
            Curvature::EmpiricalFisher => {
                Self::EmpiricalFisher(EmpiricalFisher::new(&objective.returning_losses()?)?)
            }
        })
    }

    /// C of what remains of an objective whose samples have weights 0 and 1. The Fisher matrix is that of the Gauss-Newton
    /// matrix there, which it equals for every [`Likelihood`](crate::Likelihood).
    pub fn of_rest(curvature: Curvature, rest: &Objective<B>) -> Result<Self, Error> {
        match curvature {
            Curvature::Fisher(_) => Self::new(Curvature::GaussNewton, rest),
            other => Self::new(other, rest),
        }
    }

    pub fn operator(&self) -> &dyn FiniteSum<B> {
        match self {
            Self::Hessian(matrix) => matrix,
            Self::GaussNewton(matrix) => matrix,
            Self::Fisher(matrix) => matrix,
            Self::EmpiricalFisher(matrix) => matrix,
        }
    }

    /// The product that it is known by, in the program of the objective.
    pub fn product(&self) -> Product {
        match self {
            Self::Hessian(_) => Product::Hessian,
            // Those of likelihoods differ in the outputs alone.
            Self::GaussNewton(_) | Self::Fisher(_) | Self::EmpiricalFisher(_) => {
                Product::GaussNewton
            }
        }
    }

    /// Bytes kept between products.
    pub fn kept_bytes(&self) -> usize {
        match self {
            Self::Hessian(matrix) => matrix.kept_bytes(),
            Self::GaussNewton(matrix) => matrix.kept_bytes(),
            Self::Fisher(matrix) => matrix.kept_bytes(),
            Self::EmpiricalFisher(matrix) => matrix.kept_bytes(),
        }
    }
}
