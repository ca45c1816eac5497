//! Collects the Kronecker factors of a network. Knows objectives; the algebra of factors is elsewhere.

use std::sync::Arc;

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{
    KfacApproximation, KfacConfig, KfacFisher,
    coverage::{CoverageEntry, KfacCoverage, Treatment},
    moment::{Eigen, Moment},
    plan::{LayerPlan, upload},
};
use crate::{
    curvature::{Likelihood, fisher::share},
    derive::{Beside, Cotangents, FactorKind, LayerKind},
    error::Error,
    objective::{Directions, MomentSums, NetworkLayers, Objective, Part, Reduction},
    operator::OperatorError,
};

/// The factors of one layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct LayerFactors {
    /// Name of the weight.
    pub name: String,
    /// A = E[ā āᵀ]
    pub a: Moment,
    /// G = c·Σ g gᵀ
    pub g: Moment,
}

/// The layers of a network, with what is left over.
pub(super) struct Network {
    pub plans: Vec<LayerPlan>,
    /// Parameters that belong to no layer but are used, with the reason.
    pub beside: Vec<(usize, String)>,
    pub coverage: KfacCoverage,
}

impl Network {
    pub fn of<B: AutodiffBackend>(objective: &Objective<B>) -> Result<Self, Error> {
        let layers = objective.network_layers()?;
        let plans: Vec<_> = layers.groups.iter().map(LayerPlan::new).collect();
        let blocks = objective.layout().blocks();
        let treatment = |position: usize| {
            let plan = plans
                .iter()
                .find(|plan| plan.weight == position || plan.bias == Some(position));
            if let Some(plan) = plan {
                return Treatment::Kronecker {
                    layer: plan.name().into(),
                    input: plan.d_in,
                    output: plan.d_out,
                    groups: plan.groups,
                    uses: plan.uses,
                };
            }
            let beside = layers.beside.iter().find(|(one, _)| *one == position);
            match beside.map(|(_, reason)| reason) {
                Some(Beside::Unused) | None => Treatment::Unused,
                Some(reason) => Treatment::ExactBlock {
                    reason: explain(reason),
                },
            }
        };
        let entries = blocks
            .iter()
            .enumerate()
            .map(|(position, block)| CoverageEntry {
                parameter: block.name().into(),
                numbers: block.len(),
                treatment: treatment(position),
            });
        let coverage = KfacCoverage {
            entries: entries.collect(),
        };
        let beside = layers
            .beside
            .iter()
            .filter(|(_, reason)| *reason != Beside::Unused);
        let beside = beside.map(|(position, reason)| (*position, explain(reason)));
        Ok(Self {
            beside: beside.collect(),
            plans,
            coverage,
        })
    }
}

/// Refuses what the theory does not cover.
fn check(layers: &NetworkLayers, config: &KfacConfig) -> Result<(), OperatorError> {
    if config.fisher == KfacFisher::Exact && !layers.rows_are_samples {
        return Err(OperatorError::KfacPlaces);
    }
    if config.approximation == KfacApproximation::Reduce && !layers.even_uses {
        return Err(OperatorError::KfacUnevenUses);
    }
    if let KfacFisher::MonteCarlo { draws: 0, .. } = config.fisher {
        return Err(OperatorError::NoDraws);
    }
    Ok(())
}

fn explain(reason: &Beside) -> String {
    match reason {
        Beside::Operation(name) => format!("used by {name}"),
        Beside::Mixed => "used by layers of different kinds".into(),
        Beside::Unused => "not used".into(),
    }
}

/// How the factors of an objective are collected.
pub(super) struct Collection {
    kind: FactorKind,
    fisher: KfacFisher,
    likelihood: Likelihood,
    reduction: Reduction,
}

impl Collection {
    /// Checks that the likelihood, the reduction and the network are such as the configuration needs.
    pub fn checked<B: AutodiffBackend>(
        objective: &Objective<B>,
        config: &KfacConfig,
        likelihood: Likelihood,
        reduction: Reduction,
    ) -> Result<Self, Error> {
        likelihood.check(objective, reduction)?;
        if config.fisher == KfacFisher::Empirical {
            objective.expect_reduction_of_closure(reduction)?;
        }
        check(&objective.network_layers()?, config)?;
        Ok(Self::new(config, likelihood, reduction))
    }

    fn new(config: &KfacConfig, likelihood: Likelihood, reduction: Reduction) -> Self {
        Self {
            kind: FactorKind {
                cotangents: cotangents(config.fisher, likelihood),
                reduce: config.approximation == KfacApproximation::Reduce,
            },
            fisher: config.fisher,
            likelihood,
            reduction,
        }
    }

    /// What second moments of gradients are multiplied by.
    fn factor<B: AutodiffBackend>(&self, part: &Part<B>) -> f64 {
        let share = share(part.samples_of_outputs(), self.reduction);
        match self.fisher {
            KfacFisher::Empirical => share.recip(),
            KfacFisher::Exact => share * self.likelihood.precision(),
            KfacFisher::MonteCarlo { .. } | KfacFisher::ForwardOnly => share,
        }
    }

    /// Draws targets where they are asked for.
    fn draw(&self) -> Option<Box<Directions>> {
        let KfacFisher::MonteCarlo { draws, seed } = self.fisher else {
            return None;
        };
        let likelihood = self.likelihood;
        Some(Box::new(move |batch, outputs: &_| {
            likelihood.draw(outputs, draws, seed, batch)
        }))
    }

    /// The factors of all layers, over all batches.
    pub fn factors<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        plans: &[LayerPlan],
    ) -> Result<Vec<LayerFactors>, Error> {
        let factor = |part: &Part<B>| self.factor(part);
        let sums = objective.layer_moments(self.kind, &factor, self.draw().as_deref())?;
        let blocks = objective.layout().blocks();
        let each = sums.into_iter().zip(plans).map(|(sums, plan)| {
            let name = blocks
                .get(plan.weight)
                .map(|block| block.name().to_string());
            let factors = layer(plan, sums, name.unwrap_or_default());
            factors.a.expect_finite(&factors.name)?;
            factors.g.expect_finite(&factors.name)?;
            Ok(factors)
        });
        each.collect()
    }

    /// The second moments of the gradients' coordinates in the eigenbases of every layer, `[groups, d_in, d_out]`.
    pub fn diagonals<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        bases: &[(Eigen, Eigen)],
    ) -> Result<Vec<Vec<f64>>, Error> {
        if self.fisher == KfacFisher::ForwardOnly {
            return Err(OperatorError::NoDiagonal.into());
        }
        let like = objective.parameters();
        let tensors = bases.iter().flat_map(|(a, g)| [a, g]);
        let tensors = tensors.filter_map(|eigen| {
            let vectors = eigen.vectors.as_ref()?;
            Some(upload(
                vectors,
                [eigen.groups, eigen.size, eigen.size],
                like,
            ))
        });
        let factor = |part: &Part<B>| self.factor(part);
        let draw = self.draw();
        let diagonals =
            objective.layer_diagonals(self.kind, &factor, draw.as_deref(), tensors.collect())?;
        match diagonals.iter().flatten().all(|value| value.is_finite()) {
            true => Ok(diagonals),
            false => Err(OperatorError::NonFiniteFactor {
                layer: "the network (corrected diagonal)".into(),
            }
            .into()),
        }
    }
}

fn cotangents(fisher: KfacFisher, likelihood: Likelihood) -> Cotangents {
    match (fisher, likelihood) {
        (KfacFisher::Exact, Likelihood::Categorical) => Cotangents::Categorical,
        (KfacFisher::Exact, Likelihood::Bernoulli) => Cotangents::Bernoulli,
        (KfacFisher::Exact, Likelihood::Gaussian { .. }) => Cotangents::Gaussian,
        (KfacFisher::MonteCarlo { draws, .. }, _) => Cotangents::Drawn { draws },
        (KfacFisher::Empirical, _) => Cotangents::Empirical,
        (KfacFisher::ForwardOnly, _) => Cotangents::None,
    }
}

/// A = (Σ ā āᵀ) / rows and G.
fn layer(plan: &LayerPlan, sums: MomentSums, name: String) -> LayerFactors {
    let rows = sums.rows.max(1) as f64;
    let groups = plan.groups;
    let a = match plan.kind {
        LayerKind::Embedding => Moment::Diagonal(sums.inputs),
        LayerKind::Linear { .. } | LayerKind::Conv(_) => {
            let size = plan.d_in - usize::from(plan.bias.is_some());
            let moment = Moment::Dense {
                groups,
                size,
                values: sums.inputs,
            };
            match sums.input_sums {
                Some(input_sums) => moment.bordered(&input_sums, rows),
                None => moment,
            }
        }
    };
    let g = match sums.gradients {
        Some(values) => Moment::Dense {
            groups,
            size: plan.d_out,
            values,
        },
        None => Moment::identity(groups, plan.d_out),
    };
    LayerFactors {
        name,
        a: a.scaled(rows.recip()),
        g,
    }
}

/// The plans of a network, shared.
pub(super) type Plans = Arc<[LayerPlan]>;
