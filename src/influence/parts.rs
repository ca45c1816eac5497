//! Scores by parameters: how much of a score goes through each layer.

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{Influence, InfluenceError, InfluenceReport, Query};
use crate::{
    error::Error,
    space::{ParamSubset, ParamVector},
};

/// Scores split by parameters.
///
/// ```text
/// score(f, n) = Σ over parts p of c·(A⁻¹∇f)ₚᵀ(∇ℓₙ)ₚ
/// ```
///
/// The parts of all parameters add up to the total. With a weight decay ∇ℓₙ is replaced as in
/// [`Prediction`](super::Prediction).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartScores {
    /// Names of the parts.
    pub parts: Vec<String>,
    /// `values[q][p][n]`: query, part, sample.
    pub values: Vec<Vec<Vec<f64>>>,
    /// The report on them.
    pub report: InfluenceReport,
}

impl PartScores {
    /// The sums over the parts: the scores themselves if the parts are all parameters. `totals()[q][n]`.
    pub fn totals(&self) -> Vec<Vec<f64>> {
        let total = |parts: &Vec<Vec<f64>>| {
            let mut sum = vec![0.0; parts.first().map_or(0, Vec::len)];
            for part in parts {
                sum.iter_mut().zip(part).for_each(|(sum, score)| *sum += score);
            }
            sum
        };
        self.values.iter().map(total).collect()
    }
}

impl<B: AutodiffBackend> Influence<B> {
    /// Scores split by parameters: one part for each, named as in the layout.
    ///
    /// # Cost
    /// As [`scores`](Self::scores), with a forward-mode pass over the training data per query and parameter.
    ///
    /// # Errors
    /// As [`visit_scores`](Self::visit_scores).
    ///
    /// # Example
    /// A model of a single parameter has a single part.
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
    /// let influence = InfluenceConfig::default().init(&training)?;
    /// let test = training.on(y(&[0.0]))?;
    /// let parts = influence.scores_by_parameter(&test)?;
    /// assert_eq!(parts.parts, ["w"]);
    /// let scores = influence.scores(&test)?;
    /// assert_eq!(parts.totals()[0], scores.row(0).unwrap_or_default());
    /// # Ok(())
    /// # }
    /// ```
    pub fn scores_by_parameter<'a>(
        &self,
        query: impl Into<Query<'a, B>>,
    ) -> Result<PartScores, Error>
    where
        B: 'a,
    {
        let layout = self.training.layout();
        let name = |block: usize| layout.blocks().get(block).map(|block| block.name().to_string());
        let names: Vec<String> = (0..layout.blocks().len()).filter_map(name).collect();
        let subsets = names.iter().map(|name| layout.select_by(|block| block.name() == name));
        let subsets: Vec<ParamSubset> = subsets.collect::<Result<_, _>>()?;
        let parts: Vec<_> = names.iter().map(String::as_str).zip(&subsets).collect();
        self.scores_by_part(query, &parts)
    }

    /// Scores split by parts of the parameters, such as those of a layer, each with a name. Parts that do not overlap and
    /// hold all parameters add up to the total.
    ///
    /// # Cost
    /// As [`scores`](Self::scores), with a forward-mode pass over the training data per query and part.
    ///
    /// # Errors
    /// [`VectorError::LayoutMismatch`](crate::errors::VectorError::LayoutMismatch) for a subset of other parameters,
    /// [`InfluenceError::NoPart`] without any; as [`visit_scores`](Self::visit_scores).
    pub fn scores_by_part<'a>(
        &self,
        query: impl Into<Query<'a, B>>,
        parts: &[(&str, &ParamSubset)],
    ) -> Result<PartScores, Error>
    where
        B: 'a,
    {
        if parts.is_empty() {
            return Err(InfluenceError::NoPart.into());
        }
        let (mut derivatives, mut values) = (0, Vec::new());
        let solved = self.each_solved(query.into(), |solved| {
            for vector in solved {
                let of_part =
                    |(_, subset): &(&str, &ParamSubset)| -> Result<ParamVector<B>, Error> {
                        Ok(subset.embed(&subset.restrict(vector)?)?)
                    };
                let split: Vec<_> = parts.iter().map(of_part).collect::<Result<_, _>>()?;
                let rows = self.scored(&split)?;
                derivatives += rows.len();
                values.push(rows);
            }
            Ok(())
        })?;
        let parts = parts.iter().map(|(name, _)| (*name).to_string()).collect();
        let report = self.report(solved.queries, solved.solves, derivatives);
        Ok(PartScores { parts, values, report })
    }
}
