//! Configuration of the K-FAC optimizer and its ranges.

use burn::config::Config;
use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{KfacOptimizer, KfacOptimizerState};
use crate::{
    config::{ConfigError, Field},
    derive::Likelihood,
    error::Error,
    kfac::{KfacConfig, KfacFisher, KfacInversion},
    objective::Objective,
};

/// How the size of a step is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum StepRule {
    /// δ = αΔ + μδ₀ with δ₀ the previous step. α and μ minimize the quadratic model of the objective with the exact Fisher
    /// matrix (Martens & Grosse 2015, sections 6.4 and 7).
    QuadraticModel {
        /// Whether μ is optimized too; otherwise μ = 0.
        momentum: bool,
    },
    /// δ = rate·ν·Δ + momentum·δ₀
    LearningRate {
        /// The learning rate. Zero, as at the end of a schedule, means no step.
        rate: f64,
        /// Share of the previous step, at least zero and below one.
        momentum: f64,
        /// Limit on the change of the predictive distribution: ν = min(1, √(limit / (rate²·|Δᵀ∇h|))). While steps are
        /// long, the limit determines their length, not the rate (Ba et al. 2017, section 5).
        limit: Option<f64>,
    },
}

impl StepRule {
    /// Its name in messages and saved states.
    pub(super) fn name(&self) -> &'static str {
        match self {
            StepRule::QuadraticModel { .. } => "QuadraticModel",
            StepRule::LearningRate { .. } => "LearningRate",
        }
    }
}

/// Which damped inverse of K-FAC multiplies the gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KfacInverse {
    /// (A + πγI)⁻¹ ⊗ (G + γ/π I)⁻¹
    Factored,
    /// (A ⊗ G + γ²I)⁻¹, by eigendecompositions.
    Exact,
    /// (U diag(s) Uᵀ + γ²I)⁻¹ with U = U_A ⊗ U_G: EKFAC ([`Ekfac`](crate::Ekfac)).
    ///
    /// ```text
    /// s ← ε·s + (1 − ε)·c·Σ (Uᵀ∇)²      ε = min(1 − 1/k, decay) at the k-th update of the factors
    /// ```
    ///
    /// The bases are recomputed in the steps in which the other kinds invert. s then starts as K-FAC's own eigenvalues
    /// λ_A λ_G. Whenever factors are collected, the diagonal of the same batch and targets is averaged in. So s follows the
    /// curvature between inversions, and `inverse_period` can be longer.
    ///
    /// A step that collects factors costs about twice as much: the diagonal takes a forward pass, the backward passes, and two
    /// matrix products per layer for the rotations. A layer that is used at several places takes one matrix of its size per
    /// sample. All of it runs on the device. [`KfacFisher::ForwardOnly`] has no gradients and is refused. George et al. 2018,
    /// section 3.
    EigenvalueCorrected,
}

/// Configuration of [`KfacOptimizer`].
///
/// [`new`](Self::new) has the settings of Martens & Grosse, and [`stochastic`](Self::stochastic) those of the light mode.
///
/// | field | `new` | `stochastic` | range | purpose |
/// |---|---|---|---|---|
/// | `rule` | quadratic model with momentum | learning rate, momentum 0.9, limit 1e-3 | | size of the steps |
/// | `kfac` | one sampled target per sample; estimated diagonals of parameters without a layer ([`UncoveredPolicy`](crate::kfac::UncoveredPolicy)) | the same | | how factors are computed |
/// | `damping` | 150 | 1e-2 | > 0 | λ at the start |
/// | `damping_period` | 5 | `None` | ≥ 1 | steps between Levenberg–Marquardt adaptations of λ; `None`: λ stays |
/// | `search_period` | 20 | `None` | ≥ 1 | steps between searches for γ; `None`: γ = √(λ + η) |
/// | `inverse_period` | 20 | 20 | ≥ 1 | steps between inversions; each of the first three steps inverts too |
/// | `factor_period` | 1 | 1 | ≥ 1 | steps between updates of the factors |
/// | `decay` | 0.95 | 0.95 | 0 to 1 | largest share of old factors in the moving averages |
/// | `weight_decay` | 1e-5 | 0 | ≥ 0 | η in h = ℒ + η/2 ‖θ‖² |
/// | `inverse` | factored | factored | | how the curvature is damped |
/// | `inversion` | [`Automatic`](KfacInversion::Automatic) | the same | | where factored inverses are computed |
/// | `background` | no | no | | whether eigendecompositions run in the background |
/// | `gradient_norm` | `None` | `None` | > 0 | norm above which the gradient is clipped |
/// | `check_loss` | yes | yes | | whether the loss is compared with the likelihood |
///
/// # Example
/// ```
/// use burn_curvature::KfacOptimizerConfig;
/// let config = KfacOptimizerConfig::new().with_damping(3.0).with_inverse_period(5);
/// assert!(config.validate().is_ok());
/// assert!(config.with_damping(-1.0).validate().is_err());
/// ```
#[derive(Config, Debug, PartialEq)]
pub struct KfacOptimizerConfig {
    /// Size of the steps.
    #[config(default = "StepRule::QuadraticModel { momentum: true }")]
    pub rule: StepRule,
    /// How factors are computed.
    #[config(
        default = "KfacConfig::new().with_fisher(KfacFisher::MonteCarlo { draws: 1, seed: 0 })"
    )]
    pub kfac: KfacConfig,
    /// λ at the start.
    #[config(default = 150.0)]
    pub damping: f64,
    /// Steps between adaptations of λ.
    #[config(default = "Some(5)")]
    pub damping_period: Option<usize>,
    /// Steps between searches for γ.
    #[config(default = "Some(20)")]
    pub search_period: Option<usize>,
    /// Steps between inversions.
    #[config(default = 20)]
    pub inverse_period: usize,
    /// Steps between updates of the factors.
    #[config(default = 1)]
    pub factor_period: usize,
    /// Largest share of old factors in the moving averages.
    #[config(default = 0.95)]
    pub decay: f64,
    /// η in h = ℒ + η/2 ‖θ‖².
    #[config(default = 1e-5)]
    pub weight_decay: f64,
    /// How the curvature is damped.
    #[config(default = "KfacInverse::Factored")]
    pub inverse: KfacInverse,
    /// Where the inverses of [`KfacInverse::Factored`] are computed.
    #[config(default = "KfacInversion::Automatic")]
    pub inversion: KfacInversion,
    /// Whether the eigendecompositions of the other kinds run on a thread of their own, while steps continue with the
    /// previous inverse. The first step waits for its inverse.
    ///
    /// When a decomposition is finished depends on the machine, so two runs take different steps unless both call
    /// [`KfacOptimizer::wait`]. [`KfacStep::inverted`](super::KfacStep::inverted) marks the steps that switched to a
    /// new one. A decomposition that is still running is not saved with the state; a resumed run starts another when it
    /// is next due. On a [shared](Objective::shared) objective all ranks switch in the same step, once the last one has
    /// finished; each step until then takes a small message more.
    #[config(default = false)]
    pub background: bool,
    /// Norm above which the gradient is clipped.
    pub gradient_norm: Option<f64>,
    /// Whether the loss is compared with the likelihood.
    #[config(default = true)]
    pub check_loss: bool,
}

impl KfacOptimizerConfig {
    /// The light mode for mini-batches: a given learning rate, a limit on the change of the predictions, and fixed damping.
    pub fn stochastic(rate: f64) -> Self {
        Self::new()
            .with_rule(StepRule::LearningRate { rate, momentum: 0.9, limit: Some(1e-3) })
            .with_damping(1e-2)
            .with_damping_period(None)
            .with_search_period(None)
            .with_weight_decay(0.0)
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`ConfigError`] for the first field out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let field = |name| Field { config: "KfacOptimizerConfig", name };
        if let StepRule::LearningRate { rate, momentum, limit } = self.rule {
            field("rate").not_negative(rate)?;
            field("momentum").check(
                momentum,
                (0.0..1.0).contains(&momentum),
                "at least 0 and below 1",
            )?;
            limit.map_or(Ok(()), |limit| field("limit").positive(limit))?;
        }
        field("damping").positive(self.damping)?;
        let by_rate = matches!(self.rule, StepRule::LearningRate { .. });
        for (name, period) in
            [("damping_period", self.damping_period), ("search_period", self.search_period)]
        {
            if let Some(period) = period {
                let expected = "`None` with a learning rate, since the quadratic model decides";
                field(name).check(period as f64, !by_rate, expected)?;
                field(name).at_least_one(period)?;
            }
        }
        field("inverse_period").at_least_one(self.inverse_period)?;
        field("factor_period").at_least_one(self.factor_period)?;
        field("decay").check(self.decay, (0.0..=1.0).contains(&self.decay), "0 to 1")?;
        field("weight_decay").not_negative(self.weight_decay)?;
        self.inversion.validate()?;
        self.gradient_norm.map_or(Ok(()), |norm| field("gradient_norm").positive(norm))
    }

    /// Checks the ranges and builds the optimizer for a captured model.
    ///
    /// The loss must be the negative log-likelihood, reduced as the objective states. This is checked as for
    /// [`Fisher`](crate::Fisher), also with [`KfacFisher::Empirical`](crate::kfac::KfacFisher::Empirical).
    ///
    /// # Errors
    /// [`ConfigError`] for the first field out of range;
    /// [`LikelihoodError::LossIsNotLikelihood`](crate::errors::LikelihoodError::LossIsNotLikelihood);
    /// [`KfacError::NoDiagonal`](crate::errors::KfacError::NoDiagonal) for an eigenvalue correction without gradients; those of
    /// [`Fisher::exact`](crate::Fisher::exact).
    pub fn init<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        likelihood: Likelihood,
    ) -> Result<KfacOptimizer<B>, Error> {
        self.validate()?;
        KfacOptimizer::new(self.clone(), objective, likelihood)
    }

    /// As [`init`](Self::init), from the saved state of an optimizer: the steps continue exactly.
    ///
    /// # Errors
    /// As [`init`](Self::init); [`OptimizerError::State`](crate::errors::OptimizerError::State) and
    /// [`KfacError::State`](crate::errors::KfacError::State) for the state of another architecture, rule, initial λ or kind of
    /// inverse;
    /// [`OptimizerError::Instance`](crate::errors::OptimizerError::Instance) for that of another instance of the model.
    pub fn resume<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        likelihood: Likelihood,
        state: &KfacOptimizerState,
    ) -> Result<KfacOptimizer<B>, Error> {
        let mut optimizer = self.init(objective, likelihood)?;
        optimizer.load(state)?;
        Ok(optimizer)
    }
}

impl Default for KfacOptimizerConfig {
    fn default() -> Self {
        Self::new()
    }
}
