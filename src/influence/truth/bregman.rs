//! The proximal Bregman response function: what influence functions of networks with the damped Gauss-Newton matrix
//! predict.

use burn::config::Config;
use burn_backend::AutodiffBackend;

use super::{Changes, retraining::values};
use crate::{
    config::Field,
    curvature::{GaussNewton, Jacobian},
    error::Error,
    influence::{InfluenceError, Query, scores::expect_group},
    objective::{Objective, ValueAndGradient},
    operator::{Adjoint, Damped, LinearOperator},
    solver::ConjugateGradientConfig,
    space::ParamVector,
    tensor::DefaultBackend,
};

/// Configuration of the proximal Bregman response function.
///
/// | field | default | range | purpose |
/// |---|---|---|---|
/// | `damping` | | > 0 | λ, that of the influence it is compared with |
/// | `relative_tolerance` | 1e-6 | (0, 1) | ‖∇‖ at the minimum, relative to that at the start |
/// | `max_steps` | 50 | ≥ 1 | Newton steps |
/// | `solver` | conjugate gradients | | of the Newton steps |
#[derive(Config, Debug, PartialEq)]
pub struct ProximalBregmanConfig {
    /// λ, in units of the training objective; that of the influence it is compared with.
    pub damping: f64,
    /// ‖∇‖ at the minimum, relative to that at the start.
    #[config(default = 1e-6)]
    pub relative_tolerance: f64,
    /// Newton steps.
    #[config(default = 50)]
    pub max_steps: usize,
    /// Solves for the Newton steps.
    #[config(default = "ConjugateGradientConfig::new()")]
    pub solver: ConjugateGradientConfig,
}

impl ProximalBregmanConfig {
    /// The response function of a training objective at its parameters θₛ. The closure returns the outputs and the losses of
    /// samples: `(z, Loss::mean_of(losses))`.
    ///
    /// # Errors
    /// [`ConfigError`](crate::errors::ConfigError) for a field out of range;
    /// [`DeriveError::NoOutputs`](crate::errors::DeriveError::NoOutputs),
    /// [`ObjectiveError::Bypass`](crate::errors::ObjectiveError::Bypass) for a loss that depends on parameters other
    /// than through the outputs; [`ObjectiveError::NoSampleLosses`](crate::errors::ObjectiveError::NoSampleLosses).
    pub fn init<B: AutodiffBackend>(
        &self,
        training: &Objective<B>,
    ) -> Result<ProximalBregman<B>, Error> {
        let field = |name| Field { config: "ProximalBregmanConfig", name };
        field("damping").positive(self.damping)?;
        field("relative_tolerance").fraction(self.relative_tolerance)?;
        field("max_steps").at_least_one(self.max_steps)?;
        self.solver.init()?;
        let samples = training.rows()?.total;
        training.weighing_losses(&vec![1.0; samples])?; // refuses a loss whose samples it does not know
        let cotangent = training.output_gradient(&training.outputs()?)?;
        Ok(ProximalBregman { config: self.clone(), training: training.clone(), cotangent, samples })
    }
}

/// The proximal Bregman response function (PBRF) of a trained network: where the parameters move when a sample is left
/// out, while a penalty holds the outputs and the parameters close to where they are.
///
/// ```text
/// θ(S) = argmin  c·Σₙ D(zₙ(θ), zₙ(θₛ)) − c·Σ_{n∈S} ℓₙ(θ) + ½λ‖θ − θₛ‖²
/// D(z, zₛ) = ℓ(z) − ℓ(zₛ) − ∇ℓ(zₛ)ᵀ(z − zₛ)                                 c = 1/N for a mean, 1 for a sum
/// ```
///
/// Influences with the Gauss-Newton matrix and the same damping are its first-order expansion, even if the training was
/// stopped early. Retrained networks also depend on where training starts and stops.
///
/// # References
/// Bae et al. 2022, *If influence functions are the answer, then what is the question?*, section 4.
///
/// # Example
/// ½(z − y)² with z = w at w = 2, three samples, λ = 1: without y = 4 the minimum of ½Δ² − ⅓·½(Δ − 2)² + ½Δ² is at
/// Δ = −⅖.
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::{Loss, Objective, influence::truth::ProximalBregmanConfig};
///
/// #[derive(Module, Debug)]
/// struct Mean {
///     w: Param<Tensor<1>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let model = Mean { w: Param::from_tensor(Tensor::from_floats([2.0], &device)) };
/// let y = Tensor::<1>::from_floats([1.0, 1.0, 4.0], &device);
/// let training = Objective::capture(&model, y, |model, y| {
///     let z = model.w.val().expand([3]);
///     (z.clone(), Loss::mean_of((z - y).powf_scalar(2.0) * 0.5))
/// })?;
/// let response = ProximalBregmanConfig::new(1.0).init(&training)?;
/// let moved = response.without(&[2])?.minimize()?.parameters.to_vec()?;
/// assert!((moved[0] - 1.6).abs() < 1e-5);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ProximalBregman<B: AutodiffBackend = DefaultBackend> {
    config: ProximalBregmanConfig,
    training: Objective<B>,
    /// ∂ℒ/∂z at θₛ.
    cotangent: ParamVector<B>,
    samples: usize,
}

impl<B: AutodiffBackend> ProximalBregman<B> {
    /// The objective that is minimized when some samples are left out.
    ///
    /// # Errors
    /// [`InfluenceError::NoSuchSample`], [`InfluenceError::EmptyGroup`], [`InfluenceError::Repeated`],
    /// [`InfluenceError::NothingLeft`].
    pub fn without(&self, group: &[usize]) -> Result<BregmanObjective<B>, Error> {
        let samples = self.samples;
        expect_group(0, group, samples)?;
        if group.len() == samples {
            return Err(InfluenceError::NothingLeft { group: 0, samples }.into());
        }
        let mut weights = vec![1.0; samples];
        group.iter().for_each(|&sample| weights[sample] = 0.0);
        let rest = self.training.weighing_losses(&weights)?;
        Ok(BregmanObjective {
            config: self.config.clone(),
            rest,
            training: self.training.clone(),
            cotangent: self.cotangent.clone(),
        })
    }

    /// The changes of f when each of some groups is left out: f at the response minus f at θₛ.
    ///
    /// # Cost
    /// A minimization for each group.
    ///
    /// # Errors
    /// As [`without`](Self::without) and [`BregmanObjective::minimize`].
    pub fn leave_out<'a>(
        &self,
        groups: &[Vec<usize>],
        query: impl Into<Query<'a, B>>,
    ) -> Result<Changes, Error>
    where
        B: 'a,
    {
        let query = query.into();
        let before = values(&query, self.training.parameters())?;
        let after = groups.iter().map(|group| {
            let response = self.without(group)?.minimize()?;
            values(&query, &response.parameters)
        });
        let after = after.collect::<Result<Vec<_>, Error>>()?;
        Ok(Changes::new(self.samples, groups, before, &after))
    }
}

/// The objective of a [`ProximalBregman`] response, up to a constant, for [`minimize`](Self::minimize) or an optimizer
/// of your own.
#[derive(Clone, Debug)]
pub struct BregmanObjective<B: AutodiffBackend = DefaultBackend> {
    config: ProximalBregmanConfig,
    /// c·Σ ℓₙ over the samples that stay.
    rest: Objective<B>,
    training: Objective<B>,
    cotangent: ParamVector<B>,
}

impl<B: AutodiffBackend> BregmanObjective<B> {
    /// θₛ, where the minimization starts.
    pub fn start(&self) -> &ParamVector<B> {
        self.training.parameters()
    }

    pub(super) fn config(&self) -> &ProximalBregmanConfig {
        &self.config
    }

    /// The objective without its constant, and its gradient.
    ///
    /// ```text
    /// c·Σ_{n∉S} ℓₙ(θ) − ⟨∂ℒ/∂z(θₛ), z(θ)⟩ + ½λ‖θ − θₛ‖²
    /// ```
    ///
    /// # Errors
    /// A vector of another layout, precision or device; a loss or gradient that is not finite.
    pub fn value_and_gradient(&self, at: &ParamVector<B>) -> Result<ValueAndGradient<B>, Error> {
        let rest = self.rest.at_keeping_buffers(at)?.value_and_gradient()?;
        let outputs = self.training.at_keeping_buffers(at)?;
        let linear = self.cotangent.dot(&outputs.outputs()?)?;
        let pulled = Jacobian::new(&outputs)?.apply_adjoint(&self.cotangent)?;
        let moved = at.clone().sub(self.start())?;
        let (damping, distance) = (self.config.damping, moved.norm()?);
        Ok(ValueAndGradient {
            value: rest.value - linear + 0.5 * damping * distance * distance,
            gradient: rest.gradient.sub(&pulled)?.axpy(damping, &moved)?,
        })
    }

    /// The Gauss-Newton matrix of the samples that stay, plus λI.
    pub(super) fn curvature(&self, at: &ParamVector<B>) -> Result<Damped<GaussNewton<B>>, Error> {
        GaussNewton::new(&self.rest.at_keeping_buffers(at)?)?.damped(self.config.damping)
    }
}
