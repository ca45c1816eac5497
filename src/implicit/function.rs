//! θ*(η), differentiated at one point: tangents and adjoints.

use std::{fmt, sync::Arc};

use burn_backend::AutodiffBackend;

use super::{HyperObjective, ImplicitConfig, ImplicitError, InnerMatrix, MixedDerivative};
use crate::{
    error::Error,
    operator::{Adjoint, Damped, LinearOperator, SelfAdjoint},
    solver::{LinearSolver, SolveReport},
    space::ParamVector,
    tensor::DefaultBackend,
};

/// What a product with M or its transpose is called.
pub(super) const MIXED_PRODUCT: &str = "the product with the mixed derivative";

/// The minimizer of an inner objective as a function of hyperparameters, differentiated at one (θ, η).
///
/// ```text
/// ∂ℒ/∂θ(θ*(η), η) = 0      dθ*/dη = −(A + λI)⁻¹ M      A = ∂²ℒ/∂θ²,  M = ∂²ℒ/∂θ∂η
/// ```
///
/// [`tangent`](Self::tangent) multiplies by dθ*/dη, [`adjoint`](Self::adjoint) by its transpose, and
/// [`hypergradient`](Self::hypergradient) is the derivative of an outer objective through θ*(η), with a report on how
/// far to trust it. How θ was found does not matter: memory and cost do not depend on the number of inner steps. Made
/// by [`ImplicitConfig::init`].
///
/// With a damping λ, everything refers to the inner problem ℒ + λ/2·‖θ − θ̂‖², where θ̂ is the given point.
///
/// # Cost
/// A tangent or an adjoint is one solve with A and one mixed product. The part that does not depend on vectors is
/// prepared once for all of them: about half a gradient for A, and the same for each direction of M.
///
/// # References
/// Krantz & Parks 2002, *The implicit function theorem*. Larsen et al. 1996, *Design and regularization of neural networks*;
/// Bengio 2000, *Gradient-based optimization of hyperparameters*; Lorraine, Vicol & Duvenaud 2020, *Optimizing millions of
/// hyperparameters by implicit differentiation*, section 3.
///
/// # Example
/// ℒ = ½(w − 1)² + ½ η w² has its minimum at w* = 1/(1 + η): dw*/dη = −1/(1 + η)² = −¼ at η = 1.
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::{ConjugateGradientConfig, implicit::{HyperObjective, ImplicitConfig}};
///
/// #[derive(Module, Debug)]
/// struct Scalar {
///     value: Param<Tensor<1>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let scalar = |value: f32| Scalar { value: Param::from_tensor(Tensor::from_floats([value], &device)) };
/// let (model, decay) = (scalar(0.5), scalar(1.0));
/// let inner = HyperObjective::capture(&model, &decay, (), |model, decay, ()| {
///     let (w, decay) = (model.value.val(), decay.value.val());
///     (w.clone() - 1.0).powi_scalar(2) * 0.5 + decay * w.powi_scalar(2) * 0.5
/// })?;
/// let solver = ConjugateGradientConfig::new().init()?;
/// let function = ImplicitConfig::new().init(&inner)?;
/// let tangent = function.tangent(&inner.hyperparameters().space().ones(), &solver)?;
/// assert_eq!(tangent.vector.to_vec()?, [-0.25]);
/// # Ok(())
/// # }
/// ```
pub struct ImplicitFunction<B: AutodiffBackend = DefaultBackend> {
    pub(super) config: ImplicitConfig,
    pub(super) inner: HyperObjective<B>,
    pub(super) matrix: Damped<InnerMatrix<B>>,
    pub(super) exact: Damped<InnerMatrix<B>>,
    pub(super) mixed: MixedDerivative<B>,
    /// The hyperparameters that θ* does not depend on.
    pub(super) constant: Vec<String>,
}

impl<B: AutodiffBackend> fmt::Debug for ImplicitFunction<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImplicitFunction")
            .field("config", &self.config)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// A product with dθ*/dη or its transpose.
#[derive(Clone, Debug)]
pub struct ImplicitProduct<B: AutodiffBackend = DefaultBackend> {
    /// The product: of a tangent in θ, of an adjoint in η.
    pub vector: ParamVector<B>,
    /// The report of the solve with A + λI.
    pub solve: SolveReport,
}

impl<B: AutodiffBackend> ImplicitFunction<B> {
    pub(super) fn new(config: &ImplicitConfig, inner: &HyperObjective<B>) -> Result<Self, Error> {
        let constant = MixedDerivative::vanishing(inner)?;
        if constant.len() == inner.split().hyper.blocks().len() {
            return Err(ImplicitError::Independent { hyperparameters: constant }.into());
        }
        let matrix = InnerMatrix::new(inner, config.curvature)?;
        Self::with(config, inner, matrix, constant)
    }

    #[inline(never)]
    fn with(
        config: &ImplicitConfig,
        inner: &HyperObjective<B>,
        matrix: InnerMatrix<B>,
        constant: Vec<String>,
    ) -> Result<Self, Error> {
        let exact = InnerMatrix::new(inner, super::InnerCurvature::Hessian)?;
        Ok(Self {
            config: config.clone(),
            inner: inner.clone(),
            matrix: matrix.damped(config.damping)?,
            exact: exact.damped(config.damping)?,
            mixed: MixedDerivative::new(inner)?,
            constant,
        })
    }

    /// The same function with a matrix given by the caller in place of A, such as a Gauss-Newton matrix plus the second
    /// derivative of a penalty. The damping is added to it; residual and error bound stay those of the exact Hessian.
    ///
    /// # Errors
    /// A matrix on a space other than that of the model's parameters.
    pub fn with_matrix(
        &self,
        matrix: impl SelfAdjoint<B> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        matrix.domain().expect_same(self.inner.parameters().space())?;
        let matrix = InnerMatrix::given(Arc::new(matrix));
        Self::with(&self.config, &self.inner, matrix, self.constant.clone())
    }

    /// The same function at other θ, keeping its running statistics.
    pub(super) fn at_keeping_buffers(&self, model: &ParamVector<B>) -> Result<Self, Error> {
        let inner = self.inner.at_keeping_buffers(model)?;
        let matrix = match self.inner_matrix().as_given() {
            Some(given) => InnerMatrix::given(Arc::clone(given)),
            None => InnerMatrix::new(&inner, self.config.curvature)?,
        };
        Self::with(&self.config, &inner, matrix, self.constant.clone())
    }

    fn inner_matrix(&self) -> &InnerMatrix<B> {
        self.matrix.operator()
    }

    /// The inner objective.
    pub fn inner(&self) -> &HyperObjective<B> {
        &self.inner
    }

    /// A + λI, for methods that are called separately: [`Lissa`](crate::solver::Lissa), Lanczos' process.
    pub fn matrix(&self) -> &Damped<InnerMatrix<B>> {
        &self.matrix
    }

    /// M = ∂²ℒ/∂θ∂η.
    pub fn mixed(&self) -> &MixedDerivative<B> {
        &self.mixed
    }

    /// The hyperparameters that θ* does not depend on, by construction of the inner objective.
    pub fn constant_in(&self) -> &[String] {
        &self.constant
    }

    /// dθ*/dη·u = −(A + λI)⁻¹ M u: how the minimizer moves with η.
    ///
    /// # Errors
    /// A vector outside the space of hyperparameters; those of the solver.
    #[inline(never)]
    pub fn tangent(
        &self,
        direction: &ParamVector<B>,
        solver: &dyn LinearSolver<B>,
    ) -> Result<ImplicitProduct<B>, Error> {
        let solution = solver.solve(&self.matrix, &self.mixed.apply(direction)?)?;
        Ok(ImplicitProduct { vector: solution.x.neg(), solve: solution.report })
    }

    /// dθ*/dη·u for several u, which share the solver's work where it can.
    ///
    /// # Errors
    /// As [`tangent`](Self::tangent).
    #[inline(never)]
    pub fn tangents(
        &self,
        directions: &[ParamVector<B>],
        solver: &dyn LinearSolver<B>,
    ) -> Result<Vec<ImplicitProduct<B>>, Error> {
        let solutions = solver.solve_many(&self.matrix, &self.mixed.apply_many(directions)?)?;
        let products = solutions.into_iter();
        Ok(products
            .map(|solution| ImplicitProduct { vector: solution.x.neg(), solve: solution.report })
            .collect())
    }

    /// (dθ*/dη)ᵀw = −Mᵀ(A + λI)⁻¹w: the derivative of ⟨w, θ*(η)⟩ with respect to η.
    ///
    /// # Errors
    /// A vector outside the space of the model's parameters; those of the solver; a product with M that is NaN or infinite.
    #[inline(never)]
    pub fn adjoint(
        &self,
        cotangent: &ParamVector<B>,
        solver: &dyn LinearSolver<B>,
    ) -> Result<ImplicitProduct<B>, Error> {
        let solution = solver.solve(&self.matrix, cotangent)?;
        let vector = self.mixed.apply_adjoint(&solution.x)?.neg();
        vector.expect_finite(MIXED_PRODUCT)?;
        Ok(ImplicitProduct { vector, solve: solution.report })
    }

    /// (dθ*/dη)ᵀw for several w, which share the solver's work where it can.
    ///
    /// # Errors
    /// As [`adjoint`](Self::adjoint).
    #[inline(never)]
    pub fn adjoints(
        &self,
        cotangents: &[ParamVector<B>],
        solver: &dyn LinearSolver<B>,
    ) -> Result<Vec<ImplicitProduct<B>>, Error> {
        let solutions = solver.solve_many(&self.matrix, cotangents)?;
        let solved: Vec<_> = solutions.iter().map(|solution| solution.x.clone()).collect();
        let vectors = self.mixed.apply_adjoint_many(&solved)?;
        vectors.iter().try_for_each(|vector| vector.expect_finite(MIXED_PRODUCT))?;
        let reports = solutions.into_iter().map(|solution| solution.report);
        let products = vectors.into_iter().zip(reports);
        Ok(products
            .map(|(vector, solve)| ImplicitProduct { vector: vector.neg(), solve })
            .collect())
    }
}
