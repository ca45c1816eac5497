//! Configuration of influences: estimator, curvature, damping, and what a score predicts.

use burn::config::Config;
use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{Influence, InfluenceError};
use crate::{
    config::Field,
    derive::Likelihood,
    error::Error,
    kfac::KfacConfig,
    objective::Objective,
    solver::{
        ConjugateGradientConfig, DirectConfig, LinearSolver, LissaConfig, MinresConfig,
        NystromConfig,
    },
};

/// A solver that threads may share.
pub(super) type BoxedSolver<B> = Box<dyn LinearSolver<B> + Send + Sync>;

/// How A⁻¹ is applied, with the solver's own configuration.
///
/// | estimator | A⁻¹ | cost |
/// |---|---|---|
/// | `Dense` | exact, A as a matrix | one product per parameter, once |
/// | `ConjugateGradient` | to the tolerance of the solve, A positive definite | products per query, shared by those solved at once |
/// | `Minres` | the same for an indefinite A | the same |
/// | `Lissa` | estimated from random batches | products with single batches |
/// | `Nystrom` | of a low-rank approximation of A | as many products as its rank, once |
/// | `Kfac`, `Ekfac` | exact inverse of an approximation of the Fisher matrix | factors and eigendecompositions, once |
/// | `Identity` | A = I: products of gradients | none |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Estimator {
    /// The dense matrix, factorized.
    Dense(DirectConfig),
    /// Conjugate gradients.
    ConjugateGradient(ConjugateGradientConfig),
    /// The minimum residual method.
    Minres(MinresConfig),
    /// The stochastic Neumann series; its terms are the batches of the training objective.
    Lissa(LissaConfig),
    /// A randomized low-rank approximation; its damping must be that of the influence.
    Nystrom(NystromConfig),
    /// Kronecker factors of [`Curvature::Fisher`]. [`Estimator::kfac`] has the configuration for influences; with that of
    /// [`KfacConfig::new`], targets are drawn where exact factors take more than three backward passes, and the report has
    /// an [`InfluenceWarning::DrawnTargets`](super::InfluenceWarning::DrawnTargets).
    ///
    /// Parameters without a layer have their exact block or, by default, an estimate of its diagonal by random draws
    /// where the block is expensive ([`UncoveredPolicy`](crate::kfac::UncoveredPolicy)). The report then has an
    /// [`InfluenceWarning::EstimatedDiagonal`](super::InfluenceWarning::EstimatedDiagonal).
    Kfac(KfacConfig),
    /// Kronecker factors with a corrected diagonal, of [`Curvature::Fisher`]. [`Estimator::ekfac`] has the configuration for
    /// influences. Targets and parameters without a layer are treated as by [`Kfac`](Self::Kfac).
    Ekfac(KfacConfig),
    /// No curvature: A = I, with neither damping nor weight decay. Scores are products of gradients, in units of the loss
    /// times a step size.
    Identity,
}

impl Estimator {
    /// [`Kfac`](Self::Kfac) with exact factors where these take at most 128 backward passes, that is for up to 128 outputs or
    /// 129 classes, and drawn targets elsewhere.
    pub fn kfac() -> Self {
        Self::Kfac(KfacConfig::for_a_trained_model())
    }

    /// [`Ekfac`](Self::Ekfac) with exact factors and corrections, as [`kfac`](Self::kfac).
    pub fn ekfac() -> Self {
        Self::Ekfac(KfacConfig::for_a_trained_model())
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Estimator::Dense(_) => "Dense",
            Estimator::ConjugateGradient(_) => "ConjugateGradient",
            Estimator::Minres(_) => "Minres",
            Estimator::Lissa(_) => "Lissa",
            Estimator::Nystrom(_) => "Nystrom",
            Estimator::Kfac(_) => "Kfac",
            Estimator::Ekfac(_) => "Ekfac",
            Estimator::Identity => "Identity",
        }
    }

    /// The estimator of separate systems: conjugate gradients for those that solve none.
    pub(super) fn of_systems(&self) -> Self {
        match self {
            Estimator::Lissa(_)
            | Estimator::Kfac(_)
            | Estimator::Ekfac(_)
            | Estimator::Identity => Self::default(),
            solver => solver.clone(),
        }
    }

    /// The solver for a separate system.
    pub(super) fn solver<B: AutodiffBackend>(&self) -> Result<BoxedSolver<B>, Error> {
        Ok(match self {
            Estimator::Dense(config) => Box::new(config.init()?),
            Estimator::ConjugateGradient(config) => Box::new(config.init()?),
            Estimator::Minres(config) => Box::new(config.init()?),
            Estimator::Nystrom(config) => Box::new(config.init()?),
            Estimator::Lissa(_)
            | Estimator::Kfac(_)
            | Estimator::Ekfac(_)
            | Estimator::Identity => Box::new(ConjugateGradientConfig::new().init()?),
        })
    }
}

impl Default for Estimator {
    /// Conjugate gradients.
    fn default() -> Self {
        Self::ConjugateGradient(ConjugateGradientConfig::new())
    }
}

/// The curvature matrix C of the training objective, in its own reduction; A = C + λI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Curvature {
    /// ∇²ℒ; indefinite away from a minimum.
    #[default]
    Hessian,
    /// The generalized Gauss-Newton matrix; the closure returns the outputs before the loss.
    GaussNewton,
    /// The Fisher matrix of a likelihood, which must be that of the loss.
    Fisher(Likelihood),
    /// The second moment of the samples' gradients, with the targets of the data.
    EmpiricalFisher,
}

impl Curvature {
    pub(super) fn name(self) -> &'static str {
        match self {
            Curvature::Hessian => "Hessian",
            Curvature::GaussNewton => "GaussNewton",
            Curvature::Fisher(_) => "Fisher",
            Curvature::EmpiricalFisher => "EmpiricalFisher",
        }
    }
}

/// What a score predicts of f, the loss of a test sample or another function of θ.
///
/// ```text
/// LeftOut        f(θ without n) − f(θ) ≈ +c·∇fᵀA⁻¹∇ℓₙ        c = 1/N for a mean, 1 for a sum
/// Upweighted     d f(θ) / dε           =   −∇fᵀA⁻¹∇ℓₙ        for ℒ + ε·ℓₙ
/// ```
///
/// With a [`weight_decay`](InfluenceConfig::weight_decay) w and a mean, `LeftOut` has ∇ℓₙ + w·θ in place of ∇ℓₙ: the penalty
/// keeps its weight when a sample leaves the mean. [`Estimator::Identity`] has neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Prediction {
    /// The change of f when the sample is left out of the training: positive for a sample that lowers f.
    #[default]
    LeftOut,
    /// The change of f per unit of ε when ε times the sample's loss is added to ℒ: negative for a sample that lowers f.
    Upweighted,
}

/// Configuration of [`Influence`].
///
/// | field | default | range | purpose |
/// |---|---|---|---|
/// | `estimator` | | | how A⁻¹ is applied |
/// | `curvature` | [`Curvature::Hessian`] | | C in A = C + λI |
/// | `damping` | 0 | ≥ 0 | added to the diagonal of A |
/// | `weight_decay` | 0 | ≥ 0 | w of ½w‖θ‖² in the training, if the closure leaves it out |
/// | `prediction` | [`Prediction::LeftOut`] | | what a score predicts |
/// | `at_once` | 16 | ≥ 1 | queries that are solved and scored together |
///
/// λ = damping + weight decay, on the scale of the training objective: for a mean over samples, λ belongs to the mean.
///
/// # Example
/// ```
/// use burn_curvature::{ConjugateGradientConfig, influence::{Curvature, Estimator, InfluenceConfig}};
///
/// let cg = ConjugateGradientConfig::new().with_relative_tolerance(1e-4);
/// let config = InfluenceConfig::new(Estimator::ConjugateGradient(cg))
///     .with_curvature(Curvature::GaussNewton) // positive semidefinite for convex losses
///     .with_weight_decay(1e-2) // of the training
///     .with_damping(1e-3); // for the solver
/// assert_eq!(config.total_damping(), 0.011);
/// ```
#[derive(Config, Debug, PartialEq)]
pub struct InfluenceConfig {
    /// How A⁻¹ is applied.
    pub estimator: Estimator,
    /// The curvature C in A = C + λI.
    #[config(default = "Curvature::Hessian")]
    pub curvature: Curvature,
    /// Added to the diagonal of A; not part of the training.
    #[config(default = 0.0)]
    pub damping: f64,
    /// The w of a penalty ½w‖θ‖² that the training has and the closure leaves out. It enters A, the test for a stationary
    /// point, and, for a mean, [`Prediction::LeftOut`].
    #[config(default = 0.0)]
    pub weight_decay: f64,
    /// What a score predicts.
    #[config(default = "Prediction::LeftOut")]
    pub prediction: Prediction,
    /// Queries that are solved and scored together. Memory grows with it, by a few vectors of the size of θ for each.
    #[config(default = 16)]
    pub at_once: usize,
}

impl Default for InfluenceConfig {
    fn default() -> Self {
        Self::new(Estimator::default())
    }
}

impl InfluenceConfig {
    /// λ of A = C + λI.
    pub fn total_damping(&self) -> f64 {
        self.damping + self.weight_decay
    }

    /// Influences over a training objective, at its parameters.
    ///
    /// The closure of the objective returns the losses of samples: [`Loss::mean_of`](crate::Loss::mean_of) or
    /// [`Loss::sum_of`](crate::Loss::sum_of), alone or after the outputs. The loss of a sample must depend on that
    /// sample only, which is checked on the first batch: from the program where it shows the samples, otherwise
    /// numerically.
    ///
    /// # Cost
    /// A gradient and four directional derivatives of the training objective, which show whether it is at a stationary
    /// point; and what the estimator computes once.
    ///
    /// # Errors
    /// [`ConfigError`](crate::errors::ConfigError) for a field out of range; [`InfluenceError::NotFisher`],
    /// [`InfluenceError::OtherDamping`];
    /// [`ObjectiveError::NoSampleLosses`](crate::errors::ObjectiveError::NoSampleLosses),
    /// [`ObjectiveError::LossCount`](crate::errors::ObjectiveError::LossCount),
    /// [`ObjectiveError::SharedLosses`](crate::errors::ObjectiveError::SharedLosses); those of the curvature and the estimator; a loss
    /// or gradient that is NaN or infinite.
    pub fn init<B: AutodiffBackend>(&self, training: &Objective<B>) -> Result<Influence<B>, Error> {
        self.check()?;
        let (total, largest) = (self.total_damping(), training.precision().largest());
        if self.estimator != Estimator::Identity {
            Field { config: "InfluenceConfig", name: "damping" }.check(
                total,
                total <= largest,
                "a sum with `weight_decay` within the range of the objective's numbers",
            )?;
        }
        Influence::new(self.clone(), training)
    }

    fn check(&self) -> Result<(), Error> {
        let field = |name| Field { config: "InfluenceConfig", name };
        field("damping").not_negative(self.damping)?;
        field("weight_decay").not_negative(self.weight_decay)?;
        field("at_once").at_least_one(self.at_once)?;
        let (estimator, expected) = (self.estimator.name(), self.total_damping());
        match (&self.estimator, self.curvature) {
            (Estimator::Kfac(_) | Estimator::Ekfac(_), Curvature::Fisher(_)) => Ok(()),
            (Estimator::Kfac(_) | Estimator::Ekfac(_), other) => {
                Err(InfluenceError::NotFisher { estimator, curvature: other.name() }.into())
            }
            (Estimator::Nystrom(nystrom), _) if nystrom.damping != expected => {
                Err(InfluenceError::OtherDamping { found: nystrom.damping, expected }.into())
            }
            _ => Ok(()),
        }
    }
}
