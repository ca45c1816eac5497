//! Collects the Kronecker factors of a network over the batches of an objective.

use std::sync::Arc;

use burn_backend::{AutodiffBackend, ops::FloatTensorOps};

use super::{
    Kfac, KfacConfig, KfacCoverage, KfacError, KfacFisher, KfacLayer, KroneckerFactor,
    UncoveredPolicy,
    network::{self, Network},
    pass::{LayerMoments, MomentPass, network_layers},
    program::FactorKind,
    uncovered::uncovered_factors,
};
use crate::{
    derive::{Likelihood, Metric},
    error::Error,
    objective::{Noise, Objective, Part, Reduction, ValueAndGradient},
    space::{Inner, InnerFloat, read_tensor},
};

/// The factors of all layers.
pub(crate) type Factors<B> = Vec<KfacLayer<B>>;

/// The factors of uncovered parameters.
pub(crate) type UncoveredFactors<B> = Vec<KroneckerFactor<B>>;

/// Collects the factors of one network, checked once, at any of its parameters and batches.
#[derive(Clone, Debug)]
pub(crate) struct KfacCollector {
    config: KfacConfig,
    kind: FactorKind,
    likelihood: Likelihood,
    reduction: Reduction,
    pub(super) network: Arc<Network>,
}

impl KfacCollector {
    /// Checks that the likelihood, the reduction and the network are such as the configuration needs.
    pub(crate) fn new<B: AutodiffBackend>(
        objective: &Objective<B>,
        likelihood: Likelihood,
        config: &KfacConfig,
    ) -> Result<Self, Error> {
        match config.fisher {
            KfacFisher::Exact | KfacFisher::MonteCarlo { .. } => {
                objective.expect_likelihood(likelihood)?
            }
            KfacFisher::Empirical | KfacFisher::ForwardOnly => {
                likelihood.check(&objective.shape_of_outputs()?)?;
            }
        }
        let reduction = objective.stated_reduction()?;
        let layers = network_layers(objective)?;
        network::check(&layers, config)?;
        network::check_embeddings(&layers, objective.layout(), config)?;
        let kind = FactorKind {
            metric: metric(config.fisher, likelihood),
            reduced: network::reduced(&layers, config),
        };
        let mut network = Network::of(objective, kind)?;
        if let UncoveredPolicy::Diagonal { probes, .. } = config.uncovered {
            network.coverage = network.coverage.estimated_by(probes);
        }
        Ok(Self { config: *config, kind, likelihood, reduction, network: Arc::new(network) })
    }

    /// The same with another seed; unchanged if nothing is drawn.
    #[must_use]
    pub(crate) fn with_seed(mut self, seed: u64) -> Self {
        if let KfacFisher::MonteCarlo { seed: own, .. } = &mut self.config.fisher {
            *own = seed;
        }
        if let UncoveredPolicy::Diagonal { seed: own, .. } = &mut self.config.uncovered {
            *own = seed;
        }
        self
    }

    /// How each parameter is approximated.
    pub(crate) fn coverage(&self) -> &KfacCoverage {
        &self.network.coverage
    }

    /// The factors of all layers, over all batches. Reads nothing back.
    pub(crate) fn factors<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<Factors<B>, Error> {
        Ok(self.layers(self.pass(|pass| pass.moments(objective))?))
    }

    /// ℒ(θ), ∇ℒ(θ) and the factors of all layers by one program per batch. Only the loss is read back; the caller must
    /// check the gradient for non-finite values.
    pub(crate) fn gradient_and_factors<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<(ValueAndGradient<B>, Factors<B>), Error> {
        let (gradient, layers) = self.pass(|pass| pass.gradient_and_moments(objective))?;
        Ok((gradient, self.layers(layers)))
    }

    fn layers<B: AutodiffBackend>(&self, moments: Vec<LayerMoments<B>>) -> Factors<B> {
        let pairs = self.network.layers.iter().zip(moments);
        pairs.map(|(layer, moments)| KfacLayer::measured(layer, moments)).collect()
    }

    /// The program of [`gradient_and_factors`](Self::gradient_and_factors).
    #[cfg(test)]
    pub(super) fn program<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<crate::graph::Graph, Error> {
        self.pass(|pass| pass.program(objective))
    }

    /// Exact blocks or estimated diagonals of the uncovered parameters: one product for each of their elements, or per
    /// probe.
    pub(crate) fn uncovered<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<UncoveredFactors<B>, Error> {
        let target = (self.likelihood, self.reduction);
        uncovered_factors(objective, &self.network, &self.config, target)
    }

    /// Checks that all elements of factors that are sums of squares are finite: by their traces, which bound all other
    /// entries. Reads one number back if they are, otherwise the factors.
    pub(crate) fn expect_finite<B: AutodiffBackend>(
        &self,
        layers: &[KfacLayer<B>],
    ) -> Result<(), Error> {
        let factors = || layers.iter().flat_map(|layer| [&layer.input, &layer.output]);
        let traces: Vec<_> = factors().filter_map(KroneckerFactor::device_trace).collect();
        if traces.is_empty() {
            return Ok(());
        }
        let total = Inner::<B>::float_sum(Inner::<B>::float_cat(traces, 0));
        if read_tensor::<B>(total)?.iter().all(|sum| sum.is_finite()) {
            return Ok(());
        }
        factors().try_for_each(|factor| factor.host().map(drop))
    }

    /// The curvature of given factors. Reads nothing back: non-finite entries are found when the factors are first read.
    pub(crate) fn kfac<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        layers: Factors<B>,
        uncovered: UncoveredFactors<B>,
    ) -> Result<Kfac<B>, Error> {
        let space = objective.parameters().space().clone();
        Kfac::of_factors(space, Arc::clone(&self.network), layers, uncovered)
    }

    /// The factors of a curvature loaded from a state, as [`factors`](Self::factors) returns them.
    pub(crate) fn resumed<B: AutodiffBackend>(
        &self,
        kfac: &Kfac<B>,
    ) -> Result<(Factors<B>, UncoveredFactors<B>), Error> {
        let draws = self.kind.metric.is_some();
        let pairs = self.network.layers.iter().zip(&*kfac.layers);
        let layers = pairs.map(|(layer, saved)| {
            if layer.diagonal != saved.input.is_diagonal() {
                return Err(KfacError::State.into());
            }
            let (groups, size) = (saved.output.groups(), saved.output.size());
            let identity = || KroneckerFactor::identity(layer.weight(), groups, size);
            Ok(KfacLayer {
                layer: Arc::clone(layer),
                input: saved.input.clone(),
                output: if draws { saved.output.clone() } else { identity() },
            })
        });
        Ok((layers.collect::<Result<_, Error>>()?, kfac.uncovered.to_vec()))
    }

    /// The second moments of the gradients' coordinates in bases `[groups, size, size]` for all factors but diagonals,
    /// `[groups, d_in, d_out]` per layer. Reads nothing back.
    pub(super) fn diagonals<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        bases: &[InnerFloat<B>],
    ) -> Result<Vec<InnerFloat<B>>, Error> {
        self.expect_gradients()?;
        self.pass(|pass| pass.diagonals(objective, bases))
    }

    /// Checks that gradients are propagated back, as a corrected diagonal needs them.
    pub(crate) fn expect_gradients(&self) -> Result<(), KfacError> {
        match self.config.fisher {
            KfacFisher::ForwardOnly => Err(KfacError::NoDiagonal),
            _ => Ok(()),
        }
    }

    /// Runs a pass over the batches.
    fn pass<B: AutodiffBackend, T>(
        &self,
        run: impl FnOnce(&MomentPass<'_, B>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let noise = self.noise();
        run(&MomentPass {
            kind: self.kind,
            factor: &|part| self.factor(part),
            noise: noise.as_deref(),
        })
    }

    /// The factor of second moments of gradients.
    fn factor<B: AutodiffBackend>(&self, part: &Part<B>) -> f64 {
        let share = part.share(self.reduction);
        match self.config.fisher {
            KfacFisher::Empirical => share.recip(),
            KfacFisher::Exact => share * self.likelihood.scale(),
            KfacFisher::MonteCarlo { .. } | KfacFisher::ForwardOnly => share,
        }
    }

    /// The noise for sampled targets, if any are sampled.
    fn noise(&self) -> Option<Box<Noise>> {
        let KfacFisher::MonteCarlo { draws, seed } = self.config.fisher else {
            return None;
        };
        let likelihood = self.likelihood;
        Some(Box::new(move |batch, outputs: &_| Ok(likelihood.noise(outputs, draws, seed, batch)?)))
    }
}

fn metric(fisher: KfacFisher, likelihood: Likelihood) -> Option<Metric> {
    let family = likelihood.family();
    match fisher {
        KfacFisher::Exact => Some(Metric::Exact(family)),
        KfacFisher::MonteCarlo { draws, .. } => Some(Metric::Drawn { family, draws }),
        KfacFisher::Empirical => Some(Metric::Empirical),
        KfacFisher::ForwardOnly => None,
    }
}
