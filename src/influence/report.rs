//! The report on scores: how A⁻¹ was applied, with what residuals, and whether the training was at a stationary point.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Estimator, InfluenceConfig, Prediction};
use crate::{
    objective::Reduction,
    solver::{MethodDetail, SolveReport, StopReason},
    tensor::Precision,
};

/// A summary of the solves for some scores.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Solves {
    /// Systems A x = b that were solved; 0 where A⁻¹ is applied as a product.
    pub systems: usize,
    /// How many stopped for each reason.
    pub stops: Vec<(StopReason, usize)>,
    /// The largest ‖b − A x‖ / ‖b‖, computed at the end of each solve.
    pub largest_residual: Option<f64>,
    /// Solves that met a direction in which A is negative, or a negative eigenvalue.
    pub negative_curvature: usize,
    /// Solves with a small residual and a condition number that leaves room for an error above 1 %.
    pub uncertain: usize,
    /// Products with A: the sum over the systems, some of which share them.
    pub products: usize,
    /// Products with a single batch's part of A, by LiSSA.
    #[serde(default)]
    pub term_products: usize,
}

impl Solves {
    /// Those of one solve.
    pub(super) fn of(report: &SolveReport) -> Self {
        let mut solves = Self {
            negative_curvature: usize::from(report.is_indefinite()),
            uncertain: usize::from(report.residual_misleads()),
            term_products: match report.detail {
                Some(MethodDetail::Lissa { term_products, .. }) => term_products,
                _ => 0,
            },
            ..Self::default()
        };
        solves.add(report.stop, report.relative_residual, report.applications);
        solves
    }

    pub(super) fn add(&mut self, stop: StopReason, residual: f64, products: usize) {
        self.systems += 1;
        self.products += products;
        self.largest_residual =
            Some(self.largest_residual.map_or(residual, |r| larger(r, residual)));
        self.stopped(stop, 1);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.systems += other.systems;
        self.products += other.products;
        self.term_products += other.term_products;
        self.negative_curvature += other.negative_curvature;
        self.uncertain += other.uncertain;
        let residuals = [self.largest_residual, other.largest_residual].into_iter().flatten();
        self.largest_residual = residuals.reduce(larger);
        other.stops.iter().for_each(|&(stop, count)| self.stopped(stop, count));
    }

    fn stopped(&mut self, stop: StopReason, count: usize) {
        match self.stops.iter_mut().find(|(known, _)| *known == stop) {
            Some((_, known)) => *known += count,
            None => self.stops.push((stop, count)),
        }
    }

    /// Systems that were not solved as asked, and the reason of the first of them.
    pub fn unsolved(&self) -> Option<(usize, StopReason)> {
        let failed = self.stops.iter().filter(|(stop, _)| !stop.is_success());
        let count = failed.clone().map(|(_, count)| count).sum();
        failed.map(|&(stop, _)| (count, stop)).next()
    }
}

/// The larger of two residuals: NaN, if one is.
fn larger(a: f64, b: f64) -> f64 {
    if b.is_nan() || b > a { b } else { a }
}

/// How far the training is from a stationary point, where influences are derived.
///
/// ```text
/// g = ∇(ℒ + ½w‖θ‖²)      s = √(mean ‖∇ℓₙ‖²)      remaining = ‖g‖ / (c·s)      c = 1/N for a mean, 1 for a sum
/// ```
///
/// Leaving one sample out changes ∇ℒ by c·‖∇ℓₙ‖. `remaining` is the number of typical samples that would have to be
/// left out to change the gradient by its remaining norm. Above 1, further training would move θ more than leaving a
/// sample out does, so that scores predict a retraining only if it is stopped as early.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stationarity {
    /// ‖g‖, weight decay included.
    pub gradient_norm: f64,
    /// s, the root mean square of the norms of the samples' gradients, by four random directions: within about a quarter.
    pub sample_gradient: f64,
    /// ‖g‖ / (c·s); `f64::MAX` where the gradients of all samples vanish, but g does not.
    pub remaining: f64,
}

/// A reason why scores may mislead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum InfluenceWarning {
    /// The training is not at a stationary point.
    NotStationary {
        /// [`Stationarity::remaining`].
        remaining: f64,
    },
    /// Some systems were not solved as asked.
    Unsolved {
        /// How many.
        systems: usize,
        /// Why the first of them stopped.
        stop: StopReason,
        /// The largest relative residual.
        residual: f64,
    },
    /// A is not positive definite.
    NegativeCurvature {
        /// Number of solves that met negative curvature.
        systems: usize,
    },
    /// Small residuals that do not guarantee small errors.
    Uncertain {
        /// Number of solves.
        systems: usize,
    },
    /// The curvature is an unbiased estimate by targets drawn from the model.
    DrawnTargets {
        /// Targets drawn for each sample.
        draws: usize,
    },
    /// The curvature of some parameters is an estimate of its diagonal by random draws.
    EstimatedDiagonal {
        /// Their names.
        parameters: Vec<String>,
    },
}

impl fmt::Display for InfluenceWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStationary { remaining } if *remaining == f64::MAX => write!(
                f,
                "the training is not at a stationary point: its gradient does not vanish, but those of all samples do, so that further \
                 training would move the parameters, and leaving a sample out would not; train further with the same `weight_decay`"
            ),
            Self::NotStationary { remaining } => write!(
                f,
                "the training is not at a stationary point: its gradient is as large as that of {remaining:.3} samples, so that further \
                 training would move the parameters more than leaving a sample out; train further, or set `weight_decay` if the closure \
                 leaves it out, or compare with a retraining that stops as early"
            ),
            Self::Unsolved { systems, stop, residual } => write!(
                f,
                "{systems} systems were not solved as asked (relative residual up to {residual:.1e}). {stop}"
            ),
            Self::NegativeCurvature { systems } => write!(
                f,
                "A is not positive definite, as {systems} solves found: raise the damping, or take `Curvature::GaussNewton` in \
                 place of the Hessian"
            ),
            Self::Uncertain { systems } => write!(
                f,
                "the residuals of {systems} solves are small, but the condition number leaves room for errors above 1 %: raise \
                 the damping, lower the tolerance, or compute in f64"
            ),
            Self::DrawnTargets { draws } => write!(
                f,
                "K-FAC estimates the curvature from {draws} drawn targets for each sample: another seed gives other scores; \
                 draw more, or take `KfacFisher::Exact`, which draws none and is refused where places mix"
            ),
            Self::EstimatedDiagonal { parameters } => write!(
                f,
                "K-FAC estimates the curvature of {} by random draws, and its diagonal alone: another seed gives other scores; \
                 take `UncoveredPolicy::ExactBlock` for exact blocks, or freeze them",
                parameters.join(", ")
            ),
        }
    }
}

/// The report on scores: how they were computed, and how far to trust them. Prints as a short table, followed by the
/// warnings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InfluenceReport {
    /// Estimator, curvature, damping and what a score predicts.
    pub config: InfluenceConfig,
    /// Reduction of the training objective.
    pub reduction: Reduction,
    /// Training samples.
    pub samples: usize,
    /// Functions whose change is predicted.
    pub queries: usize,
    /// Elements of θ.
    pub parameters: usize,
    /// Format that everything is computed in.
    pub precision: Precision,
    /// The solves with A.
    pub solves: Solves,
    /// Products with C before the first solve, for the dense matrix or a low-rank approximation.
    pub preparing_products: usize,
    /// Directional derivatives of the losses of all training samples: one forward-mode pass each, several in one run;
    /// for an estimator by layers, also those computed from the layers.
    pub directional_derivatives: usize,
    /// Bytes kept between passes by the products with C and by the directional derivatives.
    pub kept_bytes: usize,
    /// Whether the training is at a stationary point.
    pub stationarity: Stationarity,
    /// Parameters for which K-FAC or EKFAC has an estimate of a diagonal only, by random draws.
    #[serde(default)]
    pub estimated: Vec<String>,
    /// Targets that were drawn for each sample, if K-FAC or EKFAC estimates the curvature from drawn targets.
    #[serde(default)]
    pub drawn_targets: Option<usize>,
}

impl InfluenceReport {
    /// The report on these queries together with others that were scored later.
    pub(super) fn followed_by(mut self, later: Self) -> Self {
        self.queries += later.queries;
        self.solves.merge(&later.solves);
        self.directional_derivatives += later.directional_derivatives;
        self.kept_bytes = self.kept_bytes.max(later.kept_bytes);
        self
    }

    /// Reasons why the scores may mislead; empty if none is known.
    pub fn warnings(&self) -> Vec<InfluenceWarning> {
        let mut warnings = Vec::new();
        let remaining = self.stationarity.remaining;
        if remaining > 1.0 {
            warnings.push(InfluenceWarning::NotStationary { remaining });
        }
        if let Some((systems, stop)) = self.solves.unsolved() {
            let residual = self.solves.largest_residual.unwrap_or(f64::NAN);
            warnings.push(InfluenceWarning::Unsolved { systems, stop, residual });
        }
        let systems = self.solves.negative_curvature;
        if systems > 0 {
            warnings.push(InfluenceWarning::NegativeCurvature { systems });
        }
        if self.solves.uncertain > 0 {
            warnings.push(InfluenceWarning::Uncertain { systems: self.solves.uncertain });
        }
        if let Some(draws) = self.drawn_targets {
            warnings.push(InfluenceWarning::DrawnTargets { draws });
        }
        if !self.estimated.is_empty() {
            let parameters = self.estimated.clone();
            warnings.push(InfluenceWarning::EstimatedDiagonal { parameters });
        }
        warnings
    }
}

impl fmt::Display for InfluenceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, solves, stationarity, .. } = self;
        let curvature = match config.estimator {
            Estimator::Identity => "no curvature".to_string(),
            _ => format!("{} + {:e}·I", config.curvature.name(), config.total_damping()),
        };
        let predicts = match config.prediction {
            Prediction::LeftOut => "change when the sample is left out",
            Prediction::Upweighted => "change per unit of weight on the sample",
        };
        writeln!(f, "influence of {} samples on {} queries", self.samples, self.queries)?;
        writeln!(f, "  estimator          {}, {curvature}", config.estimator.name())?;
        writeln!(f, "  a score predicts   {predicts}")?;
        writeln!(f, "  parameters         {} ({})", self.parameters, self.precision)?;
        if let Some(residual) = solves.largest_residual {
            let of_terms = match solves.term_products {
                0 => String::new(),
                count => format!(" and {count} with single batches"),
            };
            writeln!(
                f,
                "  solves             {} ({} products{of_terms}), relative residual up to {residual:.1e}",
                solves.systems, solves.products
            )?;
        }
        writeln!(f, "  derivatives        {} of all samples", self.directional_derivatives)?;
        writeln!(f, "  kept               {:.1} MB", self.kept_bytes as f64 / 1e6)?;
        write!(
            f,
            "  gradient           {:.2e}, that of {:.2e} samples",
            stationarity.gradient_norm, stationarity.remaining
        )?;
        self.warnings().iter().try_for_each(|warning| write!(f, "\n  warning: {warning}"))
    }
}
