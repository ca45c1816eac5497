//! Influences averaged over several checkpoints of a training.

use burn_backend::AutodiffBackend;

use serde::{Deserialize, Serialize};

use super::{Estimator, Influence, InfluenceConfig, InfluenceError, InfluenceReport, Query};
use crate::{error::Error, objective::Objective, space::ParamVector, tensor::DefaultBackend};

/// The mean of the scores at several checkpoints of a training, each with its own A⁻¹ and its own gradients.
///
/// ```text
/// score(f, n) = 1/K Σₖ c·∇f(θₖ)ᵀ A(θₖ)⁻¹ ∇ℓₙ(θₖ)
/// ```
///
/// With [`Estimator::Identity`](super::Estimator::Identity) it is TracIn with equal step sizes, in units of one.
///
/// # References
/// Pruthi et al. 2020, *Estimating training data influence by tracing gradient descent*, section 3. Bae et al. 2024,
/// *Training data attribution via approximate unrolled differentiation*, which weighs the segments of a training
/// differently.
#[derive(Debug)]
pub struct AveragedInfluence<B: AutodiffBackend = DefaultBackend> {
    points: Vec<Influence<B>>,
}

/// Scores averaged over checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AveragedScores {
    /// `rows[q][n]`: query, training sample.
    pub rows: Vec<Vec<f64>>,
    /// The report on the scores at each checkpoint.
    pub reports: Vec<InfluenceReport>,
}

impl InfluenceConfig {
    /// Influences averaged over several parameters, at which the training objective is evaluated.
    ///
    /// # Errors
    /// [`InfluenceError::NoCheckpoint`]; those of [`Objective::at`]; as [`init`](Self::init).
    ///
    /// # Example
    /// TracIn at w = 2 and w = 3: the mean of c·∇f·∇ℓₙ = w·(w − yₙ)/3 for f = ½w².
    ///
    /// ```
    /// # use burn::{module::Param, prelude::*};
    /// use burn_curvature::{Loss, Objective, influence::{Estimator, InfluenceConfig}};
    ///
    /// # #[derive(Module, Debug)]
    /// # struct Mean {
    /// #     w: Param<Tensor<1>>,
    /// # }
    /// # fn main() -> Result<(), burn_curvature::Error> {
    /// # let device = Device::default().autodiff();
    /// # let model = Mean { w: Param::from_tensor(Tensor::from_floats([2.0], &device)) };
    /// # let y = |y: &[f32]| Tensor::<1>::from_floats(y, &device);
    /// let training = Objective::capture(&model, y(&[1.0, 1.0, 4.0]), |model, y| {
    ///     Loss::mean_of((model.w.val() - y).powf_scalar(2.0) * 0.5)
    /// })?;
    /// let test = training.on(y(&[0.0]))?;
    /// let space = training.parameters().space();
    /// let checkpoints = [space.vector(&[2.0])?, space.vector(&[3.0])?];
    /// let tracin = InfluenceConfig::new(Estimator::Identity).init_averaged(&training, &checkpoints)?;
    /// let scores = tracin.scores(&test)?;
    /// assert!((scores.rows[0][2] + 7.0 / 6.0).abs() < 1e-6); // (2·(−2) + 3·(−1)) / 6
    /// # Ok(())
    /// # }
    /// ```
    pub fn init_averaged<B: AutodiffBackend>(
        &self,
        training: &Objective<B>,
        checkpoints: &[ParamVector<B>],
    ) -> Result<AveragedInfluence<B>, Error> {
        let at = |parameters: &ParamVector<B>| self.init(&training.at(parameters)?);
        AveragedInfluence::new(checkpoints.iter().map(at).collect::<Result<_, _>>()?)
    }
}

impl<B: AutodiffBackend> Influence<B> {
    /// What its scores are, by which they may be added to others.
    fn scale(&self) -> String {
        let reduction = self.training.reduction().map(|it| it.to_string()).unwrap_or_default();
        let units = match self.config.estimator {
            Estimator::Identity => ", products of gradients",
            _ => "",
        };
        format!("{:?}, {reduction}{units}", self.config.prediction)
    }
}

impl<B: AutodiffBackend> AveragedInfluence<B> {
    /// The average of influences made at several checkpoints, over the same training samples.
    ///
    /// # Errors
    /// [`InfluenceError::NoCheckpoint`]; [`InfluenceError::OtherSamples`] for another number of samples;
    /// [`InfluenceError::OtherScale`] for other predictions or reductions, or products of gradients
    /// ([`Estimator::Identity`](super::Estimator::Identity)) among changes of f; parameters of another layout, precision or device.
    pub fn new(points: Vec<Influence<B>>) -> Result<Self, Error> {
        let first = points.first().ok_or(InfluenceError::NoCheckpoint)?;
        let (space, samples) = (first.training.parameters().space(), first.samples());
        for point in &points {
            space.expect_same(point.training.parameters().space())?;
            let found = point.samples();
            if found != samples {
                return Err(InfluenceError::OtherSamples { expected: samples, found }.into());
            }
            let (expected, found) = (first.scale(), point.scale());
            if found != expected {
                return Err(InfluenceError::OtherScale { expected, found }.into());
            }
        }
        Ok(Self { points })
    }

    /// The influences at the checkpoints.
    pub fn points(&self) -> &[Influence<B>] {
        &self.points
    }

    /// The mean scores of all training samples. Objectives of the query are evaluated at the parameters of each checkpoint;
    /// vectors are the same for all.
    ///
    /// # Errors
    /// Those of [`Objective::at`]; as [`Influence::visit_scores`].
    pub fn scores<'a>(&self, query: impl Into<Query<'a, B>>) -> Result<AveragedScores, Error>
    where
        B: 'a,
    {
        let query = query.into();
        self.averaged(|_, point| point.scores(query.clone()))
    }

    /// The same with a separate query for each checkpoint: for models with running statistics, made by
    /// [`Objective::at_model`].
    ///
    /// # Errors
    /// [`InfluenceError::QueryCount`] for another number of queries than checkpoints, or of rows of scores; as
    /// [`Influence::visit_scores`].
    pub fn scores_at(&self, queries: &[Query<'_, B>]) -> Result<AveragedScores, Error> {
        let (expected, found) = (self.points.len(), queries.len());
        if found != expected {
            return Err(InfluenceError::QueryCount { expected, found }.into());
        }
        self.averaged(|index, point| point.scores(queries[index].clone()))
    }

    fn averaged(
        &self,
        scores: impl Fn(usize, &Influence<B>) -> Result<super::Scores, Error>,
    ) -> Result<AveragedScores, Error> {
        let (mut rows, mut reports) = (Vec::<Vec<f64>>::new(), Vec::new());
        let weight = 1.0 / self.points.len() as f64;
        for (index, point) in self.points.iter().enumerate() {
            let scores = scores(index, point)?;
            if index == 0 {
                rows = vec![vec![0.0; scores.samples()]; scores.queries()];
            }
            let (expected, found) = (rows.len(), scores.queries());
            if found != expected {
                return Err(InfluenceError::QueryCount { expected, found }.into());
            }
            for (row, found) in rows.iter_mut().zip(scores.rows()) {
                row.iter_mut().zip(found).for_each(|(sum, score)| *sum += weight * score);
            }
            reports.push(scores.report);
        }
        Ok(AveragedScores { rows, reports })
    }
}
