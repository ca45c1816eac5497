//! Blocks of the Hessian of ℒ(θ, η) as operators: the inner matrix A = ∂²ℒ/∂θ², and the mixed derivative ∂²ℒ/∂θ∂η.

use std::{fmt, sync::Arc};

use burn_backend::AutodiffBackend;

use super::{HyperObjective, InnerCurvature};
use crate::{
    derive::Product,
    error::Error,
    graph::Graph,
    objective::{Objective, PreparedProduct},
    operator::{Adjoint, FiniteSum, LinearOperator, OperatorError, SelfAdjoint},
    space::{ParamSpace, ParamVector},
    tensor::DefaultBackend,
};

/// A product of an objective from some of its parameters to others, prepared once.
#[derive(Clone)]
struct Block<B: AutodiffBackend> {
    objective: Objective<B>,
    product: PreparedProduct<B>,
    columns: ParamSpace<B>,
    rows: ParamSpace<B>,
}

impl<B: AutodiffBackend> Block<B> {
    fn new(
        objective: &Objective<B>,
        kind: Product,
        (rows, columns): (ParamSpace<B>, ParamSpace<B>),
    ) -> Result<Self, Error> {
        let product = objective.product(kind)?;
        Ok(Self { objective: objective.clone(), product, columns, rows })
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        self.objective.block_products(&self.product, (&self.rows, &self.columns), vectors)
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let product = self.apply_many(std::slice::from_ref(vector))?.into_iter().next();
        product.ok_or_else(|| crate::objective::ObjectiveError::NoBatches.into())
    }
}

/// A: the Hessian, or the Gauss-Newton matrix, of an inner objective in the model's parameters alone.
///
/// ```text
/// A = ∂²ℒ/∂θ²(θ, η)
/// ```
///
/// η is treated as data, so that a product costs as much as for an [`Objective`] with η in its batch. The example of
/// [`MixedDerivative`] has both.
#[derive(Clone)]
pub struct InnerMatrix<B: AutodiffBackend = DefaultBackend> {
    kind: Kind<B>,
}

/// An operator given by the user.
type UserMatrix<B> = Arc<dyn SelfAdjoint<B> + Send + Sync>;

#[derive(Clone)]
enum Kind<B: AutodiffBackend> {
    Block(Box<Block<B>>),
    Given(UserMatrix<B>),
}

impl<B: AutodiffBackend> fmt::Debug for InnerMatrix<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InnerMatrix").field("parameters", &self.domain().len()).finish()
    }
}

impl<B: AutodiffBackend> InnerMatrix<B> {
    pub(super) fn new(inner: &HyperObjective<B>, curvature: InnerCurvature) -> Result<Self, Error> {
        let own = inner.split().of_model();
        let kind = match curvature {
            InnerCurvature::Hessian => Product::HessianBlock { rows: own, columns: own },
            InnerCurvature::GaussNewton => Product::GaussNewtonBlock(own),
        };
        let space = inner.parameters().space().clone();
        let block = Block::new(inner.joint(), kind, (space.clone(), space))?;
        Ok(Self { kind: Kind::Block(Box::new(block)) })
    }

    pub(super) fn given(operator: UserMatrix<B>) -> Self {
        Self { kind: Kind::Given(operator) }
    }

    /// The user's operator, if it is one.
    pub(super) fn as_given(&self) -> Option<&UserMatrix<B>> {
        match &self.kind {
            Kind::Given(operator) => Some(operator),
            Kind::Block(_) => None,
        }
    }

    /// Bytes kept between products at present.
    pub fn kept_bytes(&self) -> usize {
        match &self.kind {
            Kind::Block(block) => block.product.kept_bytes(),
            Kind::Given(_) => 0,
        }
    }
}

impl<B: AutodiffBackend> LinearOperator<B> for InnerMatrix<B> {
    fn domain(&self) -> &ParamSpace<B> {
        match &self.kind {
            Kind::Block(block) => &block.columns,
            Kind::Given(operator) => operator.domain(),
        }
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        match &self.kind {
            Kind::Block(block) => block.apply(vector),
            Kind::Given(operator) => operator.apply(vector),
        }
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        match &self.kind {
            Kind::Block(block) => block.apply_many(vectors),
            Kind::Given(operator) => operator.apply_many(vectors),
        }
    }
}

impl<B: AutodiffBackend> SelfAdjoint<B> for InnerMatrix<B> {}

/// One term for each batch of the inner objective; a matrix given by the user is one term.
impl<B: AutodiffBackend> FiniteSum<B> for InnerMatrix<B> {
    fn terms(&self) -> usize {
        match &self.kind {
            Kind::Block(block) => block.objective.terms(),
            Kind::Given(_) => 1,
        }
    }

    fn apply_term(&self, index: usize, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let terms = self.terms();
        if index >= terms {
            return Err(OperatorError::NoSuchTerm { index, terms }.into());
        }
        match &self.kind {
            Kind::Block(block) => {
                block.columns.expect_same(vector.space())?;
                block.objective.block_term(&block.product, &block.rows, index, vector)
            }
            Kind::Given(operator) => operator.apply(vector),
        }
    }
}

/// The mixed derivative of an inner objective, from hyperparameters to parameters, and its transpose.
///
/// ```text
/// M = ∂²ℒ/∂θ∂η      u ↦ M u,  w ↦ Mᵀw
/// ```
///
/// # Cost
/// A product in either direction costs at most about one Hessian product of the same objective, whatever the number of
/// hyperparameters: M u is the gradient in θ of ⟨∂ℒ/∂η, u⟩, Mᵀw the gradient in η of ⟨∂ℒ/∂θ, w⟩.
///
/// # Example
/// ℒ = ½(w − 1)² + ½ η w² at w = 2 and η = 3: A = 1 + η and M = w.
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::{Adjoint, LinearOperator, implicit::{HyperObjective, ImplicitConfig}};
///
/// #[derive(Module, Debug)]
/// struct Scalar {
///     value: Param<Tensor<1>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let scalar = |value: f32| Scalar { value: Param::from_tensor(Tensor::from_floats([value], &device)) };
/// let inner = HyperObjective::capture(&scalar(2.0), &scalar(3.0), (), |model, decay, ()| {
///     let (w, decay) = (model.value.val(), decay.value.val());
///     (w.clone() - 1.0).powi_scalar(2) * 0.5 + decay * w.powi_scalar(2) * 0.5
/// })?;
/// let function = ImplicitConfig::new().init(&inner)?;
/// let (matrix, mixed) = (function.matrix(), function.mixed());
/// assert_eq!(matrix.apply(&matrix.domain().ones())?.to_vec()?, [4.0]);
/// assert_eq!(mixed.apply(&mixed.domain().ones())?.to_vec()?, [2.0]);
/// assert_eq!(mixed.apply_adjoint(&mixed.codomain().ones())?.to_vec()?, [2.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MixedDerivative<B: AutodiffBackend = DefaultBackend> {
    forward: Block<B>,
    adjoint: Block<B>,
}

impl<B: AutodiffBackend> fmt::Debug for MixedDerivative<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MixedDerivative")
            .field("hyperparameters", &self.domain().len())
            .field("parameters", &self.codomain().len())
            .finish()
    }
}

impl<B: AutodiffBackend> MixedDerivative<B> {
    pub(super) fn new(inner: &HyperObjective<B>) -> Result<Self, Error> {
        let of = |rows, columns| Product::HessianBlock { rows, columns };
        let (model, hyper) = (inner.split().of_model(), inner.split().of_hyper());
        let (theta, eta) = (inner.parameters(), inner.hyperparameters());
        let spaces = (theta.space().clone(), eta.space().clone());
        let swapped = (spaces.1.clone(), spaces.0.clone());
        Ok(Self {
            forward: Block::new(inner.joint(), of(model, hyper), spaces)?,
            adjoint: Block::new(inner.joint(), of(hyper, model), swapped)?,
        })
    }

    /// The names of the hyperparameters in which the mixed derivative is zero by construction.
    pub(super) fn vanishing(inner: &HyperObjective<B>) -> Result<Vec<String>, Error> {
        let (rows, columns) = (inner.split().of_hyper(), inner.split().of_model());
        let vary = inner.joint().parts_that_vary(Product::HessianBlock { rows, columns })?;
        let names = inner.split().hyper.blocks().iter().zip(vary);
        Ok(names.filter(|(_, varies)| !varies).map(|(block, _)| block.name().into()).collect())
    }

    /// The derived programs of w ↦ Mᵀw on the first batch: what runs once, and what runs per vector.
    ///
    /// # Errors
    /// A failure to derive them.
    pub fn adjoint_programs(&self) -> Result<(Graph, Graph), Error> {
        self.adjoint.objective.product_programs(self.adjoint.product.kind())
    }

    /// Bytes kept between products at present, in both directions.
    pub fn kept_bytes(&self) -> usize {
        self.forward.product.kept_bytes() + self.adjoint.product.kept_bytes()
    }
}

impl<B: AutodiffBackend> LinearOperator<B> for MixedDerivative<B> {
    fn domain(&self) -> &ParamSpace<B> {
        &self.forward.columns
    }

    fn codomain(&self) -> &ParamSpace<B> {
        &self.forward.rows
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.forward.apply(vector)
    }

    fn apply_many(&self, vectors: &[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error> {
        self.forward.apply_many(vectors)
    }
}

impl<B: AutodiffBackend> Adjoint<B> for MixedDerivative<B> {
    fn apply_adjoint(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.adjoint.apply(vector)
    }
}

impl<B: AutodiffBackend> MixedDerivative<B> {
    /// Mᵀw for several w; each batch is prepared once.
    pub(super) fn apply_adjoint_many(
        &self,
        vectors: &[ParamVector<B>],
    ) -> Result<Vec<ParamVector<B>>, Error> {
        self.adjoint.apply_many(vectors)
    }
}
