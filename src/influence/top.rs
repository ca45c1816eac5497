//! The most influential samples of each query, and scores of groups, without the matrix of scores.

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{
    Influence, InfluenceReport, Query,
    scores::{Best, expect_group, sums},
};
use crate::{config::Field, error::Error};

/// The samples with the largest and smallest scores of each query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopScores {
    /// For each query the samples with the largest scores, the largest first. With
    /// [`Prediction::LeftOut`](super::Prediction::LeftOut) those that lower f most.
    pub largest: Vec<Vec<(usize, f64)>>,
    /// For each query the samples with the smallest scores, the smallest first. With
    /// [`Prediction::LeftOut`](super::Prediction::LeftOut) those that raise f most.
    pub smallest: Vec<Vec<(usize, f64)>>,
    /// The report on them.
    pub report: InfluenceReport,
}

impl<B: AutodiffBackend> Influence<B> {
    /// The `count` samples with the largest and with the smallest scores of each query. Of equal scores the earlier sample
    /// comes first.
    ///
    /// Holds the scores of [`at_once`](super::InfluenceConfig::at_once) queries at a time.
    ///
    /// # Errors
    /// [`ConfigError`](crate::errors::ConfigError) for a count of 0; as [`visit_scores`](Self::visit_scores).
    ///
    /// # Example
    /// Of the numbers 1, 1 and 4, whose mean is 2, the third raises ½w² most, and the first lowers it most.
    ///
    /// ```
    /// # use burn::{module::Param, prelude::*};
    /// use burn_curvature::{Loss, Objective, influence::{InfluenceConfig}};
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
    /// let top = InfluenceConfig::default().init(&training)?.top(&test, 1)?;
    /// assert_eq!(top.smallest[0][0].0, 2); // left out, the loss falls
    /// assert_eq!(top.largest[0][0].0, 0); // left out, it rises
    /// # Ok(())
    /// # }
    /// ```
    pub fn top<'a>(&self, query: impl Into<Query<'a, B>>, count: usize) -> Result<TopScores, Error>
    where
        B: 'a,
    {
        Field { config: "Influence::top", name: "count" }.at_least_one(count)?;
        let (mut largest, mut smallest) = (Vec::new(), Vec::new());
        let report = self.visit_scores(query, None, |block| {
            for row in &block.rows {
                let (mut up, mut down) = (Best::new(count), Best::new(count));
                up.extend(row.iter().copied().enumerate());
                down.extend(row.iter().map(|score| -score).enumerate());
                largest.push(up.into_sorted());
                let down = down.into_sorted().into_iter();
                smallest.push(down.map(|(sample, score)| (sample, -score)).collect());
            }
            Ok(())
        })?;
        Ok(TopScores { largest, smallest, report })
    }

    /// Scores of groups of samples: to first order, the sums of those of their samples. A row for each query, a column for
    /// each group. See [`newton_step`](Self::newton_step) for large groups.
    ///
    /// # Errors
    /// [`InfluenceError::NoSuchSample`](super::InfluenceError::NoSuchSample),
    /// [`InfluenceError::EmptyGroup`](super::InfluenceError::EmptyGroup),
    /// [`InfluenceError::Repeated`](super::InfluenceError::Repeated); as [`visit_scores`](Self::visit_scores).
    pub fn group_scores<'a>(
        &self,
        query: impl Into<Query<'a, B>>,
        groups: &[Vec<usize>],
    ) -> Result<(Vec<Vec<f64>>, InfluenceReport), Error>
    where
        B: 'a,
    {
        let samples = self.samples();
        for (index, group) in groups.iter().enumerate() {
            expect_group(index, group, samples)?;
        }
        let mut scores = Vec::new();
        let report = self.visit_scores(query, None, |block| {
            scores.extend(block.rows.iter().map(|row| sums(row, groups)));
            Ok(())
        })?;
        Ok((scores, report))
    }
}
