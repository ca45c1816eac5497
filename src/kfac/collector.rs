//! Collects the Kronecker factors of a network over the batches of an objective.

use std::sync::Arc;

use burn_backend::{AutodiffBackend, ops::FloatTensorOps};

use super::{
    Kfac, KfacConfig, KfacCoverage, KfacError, KfacFisher, KfacLayer, KroneckerFactor,
    UncoveredPolicy,
    network::{self, Network, Uncovered},
    pass::{MomentPass, Moments, Structure, expect_own_rows, network_layers},
    program::{FactorKind, Reduced},
    uncovered::{expect_size, uncovered_factors},
};
use crate::{
    derive::{Likelihood, Metric},
    error::Error,
    objective::{Noise, Objective, Part, Reduction, ValueAndGradient},
    space::{Inner, InnerFloat, read_tensor},
};

/// The factors of all layers, and the blocks of uncovered parameters that come out of the same pass.
#[derive(Clone, Debug)]
pub(crate) struct Factors<B: AutodiffBackend> {
    pub layers: Vec<KfacLayer<B>>,
    pub blocks: UncoveredFactors<B>,
}

/// The factors of uncovered parameters.
pub(crate) type UncoveredFactors<B> = Vec<KroneckerFactor<B>>;

impl<B: AutodiffBackend> Factors<B> {
    /// The moving average decay·self + (1 − decay)·new, on the device.
    ///
    /// # Errors
    /// As [`KroneckerFactor::averaged`].
    pub fn averaged(&self, new: &Self, decay: f64) -> Result<Self, Error> {
        let layers = self.layers.iter().zip(&new.layers);
        let blocks = self.blocks.iter().zip(&new.blocks);
        Ok(Self {
            layers: layers.map(|(old, new)| old.averaged(new, decay)).collect::<Result<_, _>>()?,
            blocks: blocks.map(|(old, new)| old.averaged(new, decay)).collect::<Result<_, _>>()?,
        })
    }
}

/// Collects the factors of one network, checked once, at any of its parameters and batches.
#[derive(Clone, Debug)]
pub(crate) struct KfacCollector {
    config: KfacConfig,
    kind: FactorKind,
    likelihood: Likelihood,
    reduction: Reduction,
    pub(super) network: Arc<Network>,
    /// What a pass computes.
    structure: Arc<Structure>,
    /// The blocks of a pass of their own, where that of the factors propagates nothing back.
    alone: Arc<Structure>,
    /// The first layer whose rows reach several samples, and the operation in which they do.
    mixed: Option<(String, String)>,
}

impl KfacCollector {
    /// Checks that the likelihood, the reduction and the network are such as the configuration needs.
    pub(crate) fn new<B: AutodiffBackend>(
        objective: &Objective<B>,
        likelihood: Likelihood,
        config: &KfacConfig,
    ) -> Result<Self, Error> {
        if let KfacFisher::Exact | KfacFisher::MonteCarlo { .. } = config.fisher {
            objective.expect_likelihood(likelihood)?;
        }
        objective.agreed(Self::of_network(objective, likelihood, config))
    }

    fn of_network<B: AutodiffBackend>(
        objective: &Objective<B>,
        likelihood: Likelihood,
        config: &KfacConfig,
    ) -> Result<Self, Error> {
        likelihood.check(&objective.shape_of_outputs()?)?;
        let reduction = objective.stated_reduction()?;
        let metric = metric(config.fisher, likelihood);
        let mut kind = FactorKind { metric, reduced: Reduced::Nothing };
        let layers = network_layers(objective, kind)?;
        network::check(&layers, objective.layout(), config, kind.separation())?;
        network::check_embeddings(&layers, objective.layout(), config)?;
        expect_own_rows(objective, &layers, kind.separation())?;
        kind.reduced = network::reduced(&layers, config);
        let mut network = Network::of_layers(objective, &layers, kind)?;
        let exact = matches!(config.uncovered, UncoveredPolicy::ExactBlock { .. });
        let structure = network.structure(objective, exact && metric.is_some());
        let mut alone = Structure::default();
        if exact && metric.is_none() {
            let found = network_layers(objective, exact_kind(likelihood))?;
            let own = network.uncovered.iter().map(|one| one.position);
            alone = structure.of_blocks(own.filter(|&at| found.has_block(at)).collect());
        }
        if let UncoveredPolicy::Diagonal { probes, .. } = config.uncovered {
            network.coverage = network.coverage.estimated_by(probes);
        }
        Ok(Self {
            config: *config,
            kind,
            likelihood,
            reduction,
            network: Arc::new(network),
            structure: Arc::new(structure),
            alone: Arc::new(alone),
            mixed: network::mixed(&layers, objective.layout()),
        })
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

    /// The factors, over all batches. Reads nothing back.
    pub(crate) fn factors<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<Factors<B>, Error> {
        Ok(self.measured(self.pass(|pass| pass.moments(objective))?))
    }

    /// ℒ(θ), ∇ℒ(θ) and the factors of all layers by one program per batch. Only the loss is read back; the caller must
    /// check the gradient for non-finite values.
    pub(crate) fn gradient_and_factors<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<(ValueAndGradient<B>, Factors<B>), Error> {
        let (gradient, moments) = self.pass(|pass| pass.gradient_and_moments(objective))?;
        Ok((gradient, self.measured(moments)))
    }

    fn measured<B: AutodiffBackend>(&self, (layers, blocks): Moments<B>) -> Factors<B> {
        let layers = self.network.layers.iter().zip(layers);
        let blocks = self.network.uncovered.iter().filter(|one| self.is_of_pass(one)).zip(blocks);
        Factors {
            layers: layers.map(|(layer, moments)| KfacLayer::measured(layer, moments)).collect(),
            blocks: blocks
                .map(|(one, block)| KroneckerFactor::on_device(one.name(), block))
                .collect(),
        }
    }

    /// Whether the block of a parameter comes out of the pass of the factors.
    fn is_of_pass(&self, one: &Uncovered) -> bool {
        self.structure.blocks.contains(&one.position)
    }

    /// The program of [`gradient_and_factors`](Self::gradient_and_factors).
    #[cfg(test)]
    pub(super) fn program<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<crate::graph::Graph, Error> {
        self.pass(|pass| pass.program(objective))
    }

    /// Exact blocks or estimated diagonals of the uncovered parameters that do not come out of the pass of the factors: one
    /// product for each of their elements, or per probe.
    pub(crate) fn uncovered<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<UncoveredFactors<B>, Error> {
        let target = (self.likelihood, self.reduction);
        expect_size(&self.network, &self.config)?;
        let rest = || self.network.uncovered.iter().filter(move |one| !self.is_of_pass(one));
        let is_alone = |one: &&Uncovered| self.alone.blocks.contains(&one.position);
        let others: Vec<_> = rest().filter(|one| !is_alone(one)).collect();
        let others = uncovered_factors(objective, &others, &self.config, target)?;
        let (mut alone, mut others) =
            (self.blocks_alone(objective)?.into_iter(), others.into_iter());
        let each = rest().filter_map(|one| {
            if !is_alone(&one) {
                return others.next();
            }
            Some(KroneckerFactor::on_device(one.name(), alone.next()?))
        });
        Ok(each.collect())
    }

    /// Blocks of the exact Fisher matrix by a pass of their own.
    fn blocks_alone<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<Vec<InnerFloat<B>>, Error> {
        if self.alone.blocks.is_empty() {
            return Ok(Vec::new());
        }
        let share = |part: &Part<B>| part.share(self.reduction);
        let pass = MomentPass {
            kind: exact_kind(self.likelihood),
            structure: &self.alone,
            factor: &|part| share(part) * self.likelihood.scale(),
            noise: None,
        };
        Ok(pass.moments(objective)?.1)
    }

    /// Checks that all elements of factors that are sums of squares are finite: by their traces, which bound all other
    /// entries. Reads one number back if they are, otherwise the factors.
    pub(crate) fn expect_finite<B: AutodiffBackend>(
        &self,
        factors: &Factors<B>,
    ) -> Result<(), Error> {
        let Factors { layers, blocks } = factors;
        let of_layers = || layers.iter().flat_map(|layer| [&layer.input, &layer.output]);
        let factors = || of_layers().chain(blocks);
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
        Factors { layers, blocks }: Factors<B>,
        uncovered: UncoveredFactors<B>,
    ) -> Result<Kfac<B>, Error> {
        let space = objective.parameters().space().clone();
        let (mut blocks, mut rest) = (blocks.into_iter(), uncovered.into_iter());
        let all = self.network.uncovered.iter();
        let all =
            all.filter_map(|one| if self.is_of_pass(one) { blocks.next() } else { rest.next() });
        Kfac::of_factors(space, Arc::clone(&self.network), layers, all.collect())
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
        let layers = layers.collect::<Result<_, Error>>()?;
        let own = self.network.uncovered.iter().zip(kfac.uncovered.iter().cloned());
        let (blocks, rest): (Vec<_>, Vec<_>) = own.partition(|(one, _)| self.is_of_pass(one));
        let factors = |pairs: Vec<(&Uncovered, _)>| pairs.into_iter().map(|pair| pair.1).collect();
        Ok((Factors { layers, blocks: factors(blocks) }, factors(rest)))
    }

    /// The second moments of the gradients' coordinates in bases `[groups, size, size]` for all factors but diagonals,
    /// `[groups, d_in, d_out]` per layer. Reads nothing back.
    pub(super) fn diagonals<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        bases: &[InnerFloat<B>],
    ) -> Result<Vec<InnerFloat<B>>, Error> {
        self.expect_gradients()?;
        let structure = Arc::new(Structure { blocks: Vec::new(), ..(*self.structure).clone() });
        self.pass(|pass| MomentPass { structure: &structure, ..*pass }.diagonals(objective, bases))
    }

    /// Checks that gradients are propagated back and told apart, as a corrected diagonal needs them.
    pub(crate) fn expect_gradients(&self) -> Result<(), KfacError> {
        if self.config.fisher == KfacFisher::ForwardOnly {
            return Err(KfacError::NoDiagonal);
        }
        match self.mixed.clone() {
            Some((parameter, operation)) => Err(KfacError::Samples { parameter, operation }),
            None => Ok(()),
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
            structure: &self.structure,
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

/// What propagates the columns of the exact Fisher matrix back.
fn exact_kind(likelihood: Likelihood) -> FactorKind {
    let metric = Some(Metric::Exact(likelihood.family()));
    FactorKind { metric, reduced: Reduced::Nothing }
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
