//! The derivative of an outer objective through θ*(η).

use burn_backend::AutodiffBackend;

use super::{
    ErrorBound, HypergradientReport, ImplicitError, ImplicitFunction, InnerCurvature,
    OuterObjective, Verdict, bound, function::MIXED_PRODUCT,
};
use crate::{
    error::Error,
    objective::is_not_finite,
    operator::{Adjoint, LinearOperator, SelfAdjoint},
    solver::{LinearSolver, Solution, SolveOptions},
    space::ParamVector,
    tensor::DefaultBackend,
};

/// Eigenvalues as computed may be too small by this many units of rounding of the largest.
const ROUNDING: f64 = 1e3;

/// dL/dη, with its parts and its report.
#[derive(Clone, Debug)]
pub struct Hypergradient<B: AutodiffBackend = DefaultBackend> {
    /// dL/dη, laid out as the module of hyperparameters: [`add_to`](ParamVector::add_to) takes a gradient step,
    /// [`into_gradients`](ParamVector::into_gradients) passes it to an optimizer of Burn.
    pub gradient: ParamVector<B>,
    /// ∂L/∂η, the direct part.
    pub direct: ParamVector<B>,
    /// w = (A + λI)⁻¹ ∂L/∂θ: an initial guess for the next solve.
    pub solved: ParamVector<B>,
    /// How far to trust it.
    pub report: HypergradientReport,
}

/// The outer objective at the point, with its slope and the solved system.
pub(super) struct Solved<'a, B: AutodiffBackend> {
    pub outer: OuterObjective<B>,
    pub solver: &'a dyn LinearSolver<B>,
    pub preconditioner: Option<&'a dyn SelfAdjoint<B>>,
    /// w
    pub x: ParamVector<B>,
    /// ∂L/∂θ − (H + λI)w
    pub residual: ParamVector<B>,
    pub slope_norm: f64,
    /// ‖∂L/∂η‖ + ‖Mᵀw‖, which rounding is relative to: the two may cancel.
    pub size: f64,
    /// ∂ℒ/∂θ
    pub inner_gradient: ParamVector<B>,
    pub gradient: ParamVector<B>,
}

impl<B: AutodiffBackend> ImplicitFunction<B> {
    /// The hypergradient: the derivative of an outer objective with respect to η, directly and through θ*(η).
    ///
    /// ```text
    /// dL/dη = ∂L/∂η − Mᵀ(A + λI)⁻¹ ∂L/∂θ
    /// ```
    ///
    /// The outer objective is an [`Objective`](crate::Objective) of the model or a
    /// [`HyperObjective`](super::HyperObjective); it is evaluated at the point of the inner one. Any [`LinearSolver`]
    /// can be used, and its solve is reported; for truncated variants see [`truncated`](super::truncated).
    ///
    /// # Cost
    /// A gradient of each objective, one solve, a mixed product and a Hessian product for the residual. The error bound
    /// costs as much again at θ₁ (see below), and a solve with two right-hand sides at θ.
    /// [`with_error_bound(false)`](super::ImplicitConfig) leaves it out; a solver that then knows no eigenvalue costs a
    /// product with A more, for the distance from the minimizer.
    ///
    /// # Error bound
    /// Let θ₁ be one Newton step from θ, F the hypergradient as a function of θ, and F̃ its values with inexact solves. Then
    /// ‖F̃(θ) − F(θ*)‖ ≤ ‖F̃(θ) − F̃(θ₁)‖ + ‖F̃(θ₁) − F(θ*)‖; the first is computed, in the two parts that the report
    /// names. For a μ-strongly convex inner problem ‖θ₁ − θ*‖ ≤ ‖∂ℒ/∂θ(θ₁)‖/(μ + λ) = D, and the second is at most
    /// ```text
    /// ‖M‖‖r₁‖/m + (L_h + L_M·W + (‖M‖ + L_M·D)/m·(L_g + ρ·W))·D      m = μ + λ,  W = ‖w₁‖ + ‖r₁‖/m
    /// ```
    /// with the residual r₁ of the second solve and the [constants](super::LipschitzConstants) ρ, L_M, L_g, L_h. This is a
    /// theorem if the caller states μ and the constants: exact arithmetic apart, and with probability 1 − 10⁻⁸ if ‖M‖ is
    /// bounded by random probes, which it is if M has more than 16 rows and columns. Without them the two computed parts are
    /// extrapolated by how much the second solve and the Newton step reduced residual and gradient, and doubled: an estimate.
    ///
    /// # Errors
    /// [`ImplicitError::OtherParameters`], [`ImplicitError::Unused`]; [`ImplicitError::NotConvex`] for a stated
    /// convexity that the solve contradicts; an outer objective that cannot be moved to the point
    /// ([`Objective::at`](crate::Objective::at)); a loss, gradient or product that is NaN or infinite; those of the
    /// solver. An inner problem that is not at its minimum, an indefinite matrix and a solve that stops early are not
    /// errors but verdicts of the report.
    ///
    /// # References
    /// Pedregosa 2016, *Hyperparameter optimization with approximate gradient*, theorem 2; Ghadimi & Wang 2018,
    /// *Approximation methods for bilevel programming*, lemma 2.2, for bounds of this kind. In Lorraine et al. 2020,
    /// algorithm 3, the Neumann sum must be *added* up and multiplied by the step α.
    ///
    /// # Example
    /// ℒ = ½(w − 1)² + ½ η w² and L = 2w: dL/dη = −2/(1 + η)².
    ///
    /// ```
    /// use burn::{module::Param, prelude::*};
    /// use burn_curvature::{ConjugateGradientConfig, Objective, implicit::{HyperObjective, ImplicitConfig}};
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
    /// let outer = Objective::capture(&model, (), |model, ()| model.value.val() * 2.0)?;
    ///
    /// let solver = ConjugateGradientConfig::new().init()?;
    /// let found = ImplicitConfig::new().init(&inner)?.hypergradient(&outer, &solver)?;
    /// assert!(found.report.is_sound(), "{}", found.report);
    /// assert_eq!(found.gradient.to_vec()?, [-0.5]);
    /// let decay = found.gradient.add_to(&decay, -1.0)?; // a gradient step on η
    /// assert_eq!(decay.value.val().into_scalar::<f32>(), 1.5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn hypergradient(
        &self,
        outer: impl Into<OuterObjective<B>>,
        solver: &dyn LinearSolver<B>,
    ) -> Result<Hypergradient<B>, Error> {
        self.hypergradient_with(outer, solver, SolveOptions::new())
    }

    /// The hypergradient by a solve with an initial guess (the `solved` of the last one), a preconditioner, or an observer.
    ///
    /// # Errors
    /// As [`hypergradient`](Self::hypergradient).
    pub fn hypergradient_with(
        &self,
        outer: impl Into<OuterObjective<B>>,
        solver: &dyn LinearSolver<B>,
        options: SolveOptions<'_, B>,
    ) -> Result<Hypergradient<B>, Error> {
        let (theta, eta) = (self.inner.parameters(), self.inner.hyperparameters());
        let outer = outer.into().at((&theta, &eta), &self.inner)?;
        self.expect_used(&outer)?;
        let slope = outer.gradient(&eta)?;
        let inner = self.inner.gradient()?;
        let preconditioner = options.preconditioner();
        let solution = solver.solve_with(&self.matrix, &slope.model, options)?;
        let pulled = self.mixed.apply_adjoint(&solution.x)?;
        pulled.expect_finite(MIXED_PRODUCT)?;
        let (direct_norm, indirect_norm) = (slope.hyper.norm()?, pulled.norm()?);
        let solved = Solved {
            outer,
            solver,
            preconditioner,
            residual: self.residual(&slope.model, &solution.x)?,
            slope_norm: slope.model.norm()?,
            size: direct_norm + indirect_norm,
            inner_gradient: inner.model,
            gradient: slope.hyper.clone().sub(&pulled)?,
            x: solution.x.clone(),
        };
        self.expect_convex(&solution, preconditioner.is_some())?;
        let bound = self.bounded(&solved, &solution)?;
        let mut report = self.report(&solved, solution)?;
        (report.inner_value, report.outer_value) = (inner.value, slope.value);
        (report.direct_norm, report.indirect_norm) = (direct_norm, indirect_norm);
        if let Some(Some((error, distance))) = bound {
            (report.error, report.distance) = (Some(error), Some(distance));
        } else if report.distance.is_none()
            && report.stationarity > 0.0
            && report.solve.stop.is_success()
        {
            report.distance = self.least_distance(&solved.inner_gradient)?;
        }
        let unbounded = bound.is_some_and(|bound| bound.is_none()) || !report.residual.is_finite();
        let report = report.judged(unbounded);
        Ok(Hypergradient {
            gradient: solved.gradient,
            direct: slope.hyper,
            solved: solved.x,
            report,
        })
    }

    /// b − (H + λI)x
    pub(super) fn residual(
        &self,
        rhs: &ParamVector<B>,
        x: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        Ok(rhs.clone().sub(&self.exact.apply(x)?)?)
    }

    /// The bound with the distance from θ*, if it is asked for; `Some(None)` if it could not be made.
    fn bounded(
        &self,
        solved: &Solved<'_, B>,
        solution: &Solution<B>,
    ) -> Result<Option<Option<(ErrorBound, f64)>>, Error> {
        if !self.config.error_bound || solution.negative_curvature.is_some() {
            return Ok(None);
        }
        match bound::bound(self, solved) {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_not_finite(&error) => Ok(Some(None)),
            Err(error) => Err(error),
        }
    }

    /// At most the length of a Newton step, whatever the signs of the eigenvalues, by the inequality of Cauchy and
    /// Schwarz: ‖g‖² = ⟨(A + λI)⁻¹g, (A + λI)g⟩.
    fn least_distance(&self, gradient: &ParamVector<B>) -> Result<Option<f64>, Error> {
        let (norm, product) = (gradient.norm()?, self.matrix.apply(gradient)?.norm()?);
        // Formats such as JSON cannot hold an infinite number.
        Ok(product.is_finite().then(|| (norm / product * norm).min(f64::MAX)))
    }

    fn report(
        &self,
        solved: &Solved<'_, B>,
        solution: Solution<B>,
    ) -> Result<HypergradientReport, Error> {
        let (residual, stationarity) = (solved.residual.norm()?, solved.inner_gradient.norm()?);
        let spectrum = solution.report.spectrum.filter(|_| solved.preconditioner.is_none());
        let smallest = spectrum.map(|spectrum| spectrum.smallest);
        let negative = solution.report.negative_curvature;
        let smallest = [smallest, negative].into_iter().flatten().reduce(f64::min);
        let distance = smallest.filter(|smallest| *smallest > 0.0).map(|s| stationarity / s);
        let convexity = self.config.convexity();
        Ok(HypergradientReport {
            inner_value: f64::NAN,
            outer_value: f64::NAN,
            damping: self.config.damping,
            stationarity,
            parameter_norm: self.inner.parameters().norm()?,
            distance,
            distance_bound: convexity.map(|convexity| stationarity / convexity),
            residual,
            relative_residual: if residual == 0.0 { 0.0 } else { residual / solved.slope_norm },
            smallest_eigenvalue: smallest,
            direct_norm: 0.0,
            indirect_norm: 0.0,
            constant_in: self.constant.clone(),
            error: None,
            solve: solution.report,
            verdict: Verdict::Sound,
        })
    }

    /// Refuses a stated convexity that contradicts an eigenvalue of the exact Hessian, below which no Ritz value falls.
    fn expect_convex(
        &self,
        solution: &Solution<B>,
        preconditioned: bool,
    ) -> Result<(), ImplicitError> {
        let exact = self.config.curvature == InnerCurvature::Hessian
            && self.matrix.operator().as_given().is_none();
        let (Some(stated), true) = (self.config.convexity(), exact) else {
            return Ok(());
        };
        let report = &solution.report;
        let spectrum = report.spectrum.filter(|_| !preconditioned);
        let smallest = spectrum.map(|spectrum| spectrum.smallest);
        let found = [smallest, report.negative_curvature].into_iter().flatten();
        let largest = spectrum.map_or(0.0, |spectrum| spectrum.largest.abs());
        let rounding = ROUNDING * report.precision.epsilon() * largest;
        match found.reduce(f64::min) {
            Some(found) if found < stated - rounding => {
                Err(ImplicitError::NotConvex { stated, found })
            }
            _ => Ok(()),
        }
    }

    /// Refuses hyperparameters whose derivative is zero by construction.
    fn expect_used(&self, outer: &OuterObjective<B>) -> Result<(), Error> {
        if self.constant.is_empty() {
            return Ok(());
        }
        let split = self.inner.split();
        let blocks = split.hyper.blocks().iter().zip(outer.uses(split)?);
        let unused = blocks
            .filter(|(block, used)| !used && self.constant.iter().any(|name| name == block.name()));
        let hyperparameters: Vec<_> = unused.map(|(block, _)| block.name().to_string()).collect();
        if hyperparameters.is_empty() {
            return Ok(());
        }
        Err(ImplicitError::Unused { hyperparameters }.into())
    }
}
