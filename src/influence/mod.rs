//! Influence functions: how the predictions of a trained model depend on each training sample. Depends on curvature,
//! K-FAC, solvers and objectives; no room depends on it.
//!
//! ```text
//! score(f, n) = c·∇fᵀ A⁻¹ ∇ℓₙ        A = C + λI        ℒ = c·Σₙ ℓₙ,  c = 1/N for a mean, 1 for a sum
//! ```
//!
//! is the change of f(θ), the quantity asked about, that the implicit function theorem predicts when sample n is left
//! out of the training: positive for a sample that lowers f. C is the Hessian, the Gauss-Newton or a Fisher matrix of
//! ℒ; the [estimator](Estimator) applies A⁻¹. A weight decay that the closure leaves out adds a term: see
//! [`Prediction`].
//!
//! For one solved s = A⁻¹∇f the scores of *all* training samples are one directional derivative of the vector of their
//! losses, J_ℓ s: one forward-mode pass over the training data per query, or for several queries at once. No gradient of a
//! single sample is formed. Any model that can be recorded has influences, whatever its layers. Those of K-FAC and
//! EKFAC are computed from the layers, in the eigenbases in which A⁻¹ is a diagonal.
//!
//! It is based on Koh & Liang 2017, *Understanding black-box predictions via influence functions* (influences, groups,
//! perturbed inputs); Cook & Weisberg 1982, *Residuals and influence in regression* (leave-one-out by one Newton step);
//! Pruthi et al. 2020, *Estimating training data influence by tracing gradient descent* (averages over checkpoints);
//! Grosse et al. 2023, *Studying large language model generalization with influence functions* (EKFAC). It does not
//! retrain. Whether scores predict retrainings of a given model is a separate question, which [`truth`] answers; they
//! do so less well for networks that are not trained to a stationary point than for convex models. Scores that do not
//! fit in memory go to a file: see [`store`]. Every result carries a [report](InfluenceReport) with its warnings.

mod checkpoints;
mod config;
mod error;
mod inputs;
mod inverse;
mod layers;
mod losses;
mod matrix;
mod own;
mod pairs;
mod parts;
mod passes;
mod query;
mod removal;
mod report;
mod scores;
mod stationarity;
pub mod store;
mod top;
pub mod truth;

pub use checkpoints::{AveragedInfluence, AveragedScores};
pub use config::{Curvature, Estimator, InfluenceConfig, Prediction};
pub use error::InfluenceError;
pub use inputs::InputInfluence;
pub use own::SelfInfluence;
pub use parts::PartScores;
pub use query::Query;
pub use removal::Removal;
pub use report::{InfluenceReport, InfluenceWarning, Solves, Stationarity};
pub use scores::Scores;
pub use top::TopScores;

use std::{fmt, ops::Range, sync::Arc};

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    kfac::SampleGradients,
    objective::{Objective, Progress, Reduction},
    solver::Iteration,
    tensor::DefaultBackend,
};
use inverse::Inverse;
use losses::SampleLosses;

/// The influences of the samples of a training objective at its parameters. Made by [`InfluenceConfig::init`].
///
/// # Example
/// The mean of three numbers as a model: ½(w − y)² at w = 2. Leaving y = 4 out moves w by −1 (exactly; −⅔ to first order),
/// and the loss ½w² of a test sample at 0 by −2·⅔.
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::{ConjugateGradientConfig, Loss, Objective, influence::{Estimator, InfluenceConfig}};
///
/// #[derive(Module, Debug)]
/// struct Mean {
///     w: Param<Tensor<1>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let model = Mean { w: Param::from_tensor(Tensor::from_floats([2.0], &device)) };
/// let y = |y: &[f32]| Tensor::<1>::from_floats(y, &device);
///
/// let training = Objective::capture(&model, y(&[1.0, 1.0, 4.0]), |model, y| {
///     Loss::mean_of((model.w.val() - y).powf_scalar(2.0) * 0.5) // one loss per sample
/// })?;
/// let test = training.on(y(&[0.0]))?;
///
/// let influence = InfluenceConfig::default().init(&training)?;
/// let scores = influence.scores(&test)?;
/// let row = scores.row(0).unwrap_or_default();
/// assert!((row[2] + 4.0 / 3.0).abs() < 1e-5 && (row[0] - 2.0 / 3.0).abs() < 1e-5);
/// assert!(scores.report.warnings().is_empty()); // at the minimum, and solved
///
/// let step = influence.newton_step(&[2])?; // with the curvature of the two that remain
/// assert!((step.step.to_vec()?[0] + 1.0).abs() < 1e-5);
/// # Ok(())
/// # }
/// ```
pub struct Influence<B: AutodiffBackend = DefaultBackend> {
    config: InfluenceConfig,
    training: Objective<B>,
    reduction: Reduction,
    losses: SampleLosses<B>,
    /// The gradients of samples from the layers, for estimators by layers, if all parameters are covered.
    layers: Option<SampleGradients>,
    inverse: Inverse<B>,
    stationarity: Stationarity,
    observer: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
}

impl<B: AutodiffBackend> fmt::Debug for Influence<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Influence")
            .field("config", &self.config)
            .field("training", &self.training)
            .finish_non_exhaustive()
    }
}

/// The scores of some neighboring queries, as [`Influence::visit_scores`] passes them on.
#[derive(Clone, Debug)]
pub struct ScoreRows {
    /// Index of the first query.
    pub first: usize,
    /// The scores of all training samples, a row for each query.
    pub rows: Vec<Vec<f64>>,
}

impl<B: AutodiffBackend> Influence<B> {
    #[inline(never)]
    fn new(config: InfluenceConfig, training: &Objective<B>) -> Result<Self, Error> {
        let losses = SampleLosses::new(training)?;
        let reduction = training.stated_reduction()?;
        let share = reduction.factor(losses.len());
        let decay = config.weight_decay;
        let stationarity = stationarity::measure(training, &losses, (decay, share))?;
        let inverse = Inverse::new(&config, training)?;
        let layers = layers::covering(&config.estimator, training)?;
        let (training, observer) = (training.clone(), None);
        Ok(Self { config, training, reduction, losses, layers, inverse, stationarity, observer })
    }

    /// The same with an observer that is called after every block of queries (of samples for
    /// [`self_influence`](Self::self_influence)) with the number done. For progress by batches, see
    /// [`Objective::with_progress`].
    #[must_use]
    pub fn with_progress(self, observer: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self { observer: Some(Arc::new(observer)), ..self }
    }

    /// The same with an observer that is called after every iteration of a solve by conjugate gradients, MINRES or LiSSA with
    /// one right-hand side: of a single query, or of each with [`at_once`](InfluenceConfig::at_once) = 1. Several queries
    /// share their products and are not observed. [`Convergence`](crate::solver::Convergence) computes the residual, the rate
    /// and the number of steps left from what it sees.
    #[must_use]
    pub fn with_iterations(
        self,
        observer: impl Fn(&Iteration<'_, B>) + Send + Sync + 'static,
    ) -> Self {
        Self { inverse: self.inverse.observed(Arc::new(observer)), ..self }
    }

    /// The configuration.
    pub fn config(&self) -> &InfluenceConfig {
        &self.config
    }

    /// The training objective.
    pub fn training(&self) -> &Objective<B> {
        &self.training
    }

    /// Number of training samples.
    pub fn samples(&self) -> usize {
        self.losses.len()
    }

    /// How far the training is from a stationary point.
    pub fn stationarity(&self) -> Stationarity {
        self.stationarity
    }

    /// The losses of the training samples at θ.
    ///
    /// # Errors
    /// [`InfluenceError::NotFinite`].
    #[inline(never)]
    pub fn training_losses(&self) -> Result<Vec<f64>, Error> {
        self.losses.values()
    }

    /// The scores of all training samples for every query, held in memory at 8 bytes each. See
    /// [`visit_scores`](Self::visit_scores) and [`top`](Self::top) where they do not fit.
    ///
    /// # Cost
    /// A backward pass, a solve and a forward-mode pass over the training data per query (0.2 to 0.4 gradients). K-FAC and
    /// EKFAC take a forward and a backward pass over both for a block of queries that are samples, and, for each pair
    /// of a query and a training sample, as many multiplications as a forward pass of one sample.
    ///
    /// # Errors
    /// As [`visit_scores`](Self::visit_scores).
    pub fn scores<'a>(&self, query: impl Into<Query<'a, B>>) -> Result<Scores, Error>
    where
        B: 'a,
    {
        let mut values = Vec::new();
        let report = self.visit_scores(query, None, |block| {
            block.rows.iter().for_each(|row| values.extend(row));
            Ok(())
        })?;
        Ok(Scores::new(values, report)?)
    }

    /// Passes on the scores of some queries, [`at_once`](InfluenceConfig::at_once) of them at a time, so that the whole
    /// matrix is never held. `None` is all queries.
    ///
    /// Up to rounding, scores depend on which queries are computed together. A pass that resumes at a multiple of
    /// `at_once` gives the same bits as an uninterrupted one.
    ///
    /// # Errors
    /// [`VectorError::LayoutMismatch`](crate::errors::VectorError::LayoutMismatch) and others for a query of other
    /// parameters, precision or device; [`InfluenceError::NoQuery`], [`InfluenceError::QueryRange`]; a gradient that is
    /// not finite; those of the solver, of the data and of `visit`. A solve that stops early is not an error but a
    /// [warning](InfluenceReport::warnings).
    pub fn visit_scores<'a>(
        &self,
        query: impl Into<Query<'a, B>>,
        range: Option<Range<usize>>,
        mut visit: impl FnMut(ScoreRows) -> Result<(), Error>,
    ) -> Result<InfluenceReport, Error>
    where
        B: 'a,
    {
        let (asked, mut derivatives) = (self.asked(query.into())?, 0);
        let solved = self.each_block(asked.gradients.len(), range, |block| {
            let (first, mut solves) = (block.start, Solves::default());
            let own = self.scores_here(&asked, &block, &mut solves);
            let rows = self.losses.by_row(block.len(), own)?;
            scores::expect_finite(rows.iter().map(Vec::as_slice), 0, f64::is_finite)?;
            derivatives += rows.len();
            visit(ScoreRows { first, rows })?;
            Ok(solves)
        })?;
        Ok(self.report(solved.queries, solved.solves, derivatives))
    }

    fn report(&self, queries: usize, solves: Solves, derivatives: usize) -> InfluenceReport {
        InfluenceReport {
            config: self.config.clone(),
            reduction: self.reduction,
            samples: self.losses.len(),
            queries,
            parameters: self.training.layout().len(),
            precision: self.training.precision(),
            solves,
            preparing_products: self.inverse.products(),
            directional_derivatives: derivatives,
            kept_bytes: self.inverse.kept_bytes() + self.losses.kept_bytes(),
            stationarity: self.stationarity,
            estimated: self.inverse.estimated().diagonals.clone(),
            drawn_targets: self.inverse.estimated().draws,
        }
    }
}
