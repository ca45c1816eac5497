//! The gradient, the factors and estimated diagonals by one program per batch.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use super::{
    block::Block,
    collector::{Factors, KfacCollector},
    moments::{Collected, Means},
    pass::Given,
    program::{Results, Squares},
    uncovered::{estimates, expect_size},
};
use crate::{
    derive::Metric,
    error::Error,
    objective::{Objective, ObjectiveError, ValueAndGradient},
};

impl KfacCollector {
    /// ℒ(θ), ∇ℒ(θ) and the factors of all layers by one program per batch. Only the loss is read back; the caller must
    /// check the gradient for non-finite values.
    pub(crate) fn gradient_and_factors<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<(ValueAndGradient<B>, Factors<B>), Error> {
        let found = self.own().run(objective, Results::WithGradient(None), Given::Nothing)?;
        let (at, means) = with_gradient(found)?;
        Ok((at, Factors(self.measured(0, means))))
    }

    /// The same with the blocks of [`uncovered`](Self::uncovered). Estimated diagonals are computed by the same program, which
    /// goes forward through the network once, unless they are those of the targets in the data.
    pub(crate) fn gradient_and_all_factors<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<(ValueAndGradient<B>, [Factors<B>; 2]), Error> {
        expect_size(&self.network, &self.config)?;
        let estimated: Vec<&Arc<Block>> =
            self.separate().filter(|block| self.probes(block).is_some()).collect();
        let positions: Vec<usize> = estimated.iter().map(|block| block.position).collect();
        let probes = estimated.first().and_then(|block| self.probes(block));
        let (squares, seed) = match probes {
            Some((probes, seed)) if self.own().kind.metric != Some(Metric::Empirical) => {
                let family = self.own().likelihood.family();
                (Some(Squares { family, probes, parameters: positions.clone() }), seed)
            }
            _ => {
                let uncovered = self.uncovered(objective)?;
                let (at, factors) = self.gradient_and_factors(objective)?;
                return Ok((at, [factors, uncovered]));
            }
        };
        let mut uncovered = self.uncovered_but(&positions, objective)?;
        let found =
            self.own().run(objective, Results::WithGradient(squares), Given::Signs(seed))?;
        let (at, mut means) = with_gradient(found)?;
        let diagonals = means.0.split_off(means.0.len().saturating_sub(positions.len()));
        uncovered.0.extend(estimates(&estimated, Means::<B>(diagonals).finish())?);
        uncovered.0.sort_by_key(|factors| factors.block.index);
        Ok((at, [Factors(self.measured(0, means)), uncovered]))
    }

    /// The program of [`gradient_and_factors`](Self::gradient_and_factors) alone, as it is on host memory or with products in panels.
    #[cfg(test)]
    pub(super) fn program<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        in_panels: bool,
    ) -> Result<crate::graph::Graph, Error> {
        let mut pass = self.own().clone();
        pass.kind.in_panels = in_panels;
        objective.derived_program(&pass.program(Results::WithGradient(None)))
    }

    /// Probes and seed of the estimated diagonal of a block, if it is estimated.
    fn probes(&self, block: &Block) -> Option<(usize, u64)> {
        self.config.uncovered.estimate(block.elements())
    }
}

fn with_gradient<B: AutodiffBackend>(
    found: Collected<B>,
) -> Result<(ValueAndGradient<B>, Means<B>), Error> {
    let gradient = found.gradient.ok_or(ObjectiveError::NoBatches)?;
    Ok((ValueAndGradient { value: found.value, gradient }, found.means))
}
