//! Collects the Kronecker factors of a network over the batches of an objective.

use std::sync::Arc;

use burn_backend::{AutodiffBackend, ops::FloatTensorOps};

use super::{
    Kfac, KfacConfig, KfacCoverage, KfacError, KfacFisher, KfacLayer, KroneckerFactor,
    UncoveredPolicy,
    block::{Block, Network},
    moments::Means,
    network,
    pass::{Given, MomentPass, Structure, network_layers},
    program::{FactorKind, Reduced, Results},
    reach::expect_own_rows,
    uncovered::{expect_size, uncovered_factors},
};
use crate::{
    derive::{Likelihood, LikelihoodError},
    error::Error,
    execute::runs_on_host,
    objective::Objective,
    space::{Inner, InnerFloat, read_tensor},
};

/// The factors of some of the blocks.
#[derive(Clone, Debug)]
pub(crate) struct Factors<B: AutodiffBackend>(pub(super) Vec<KfacLayer<B>>);

impl<B: AutodiffBackend> Factors<B> {
    /// The moving average decay·self + (1 − decay)·new, on the device.
    ///
    /// # Errors
    /// As [`KroneckerFactor::averaged`].
    pub fn averaged(&self, new: &Self, decay: f64) -> Result<Self, Error> {
        let pairs = self.0.iter().zip(&new.0);
        pairs.map(|(old, new)| old.averaged(new, decay)).collect::<Result<_, _>>().map(Self)
    }
}

/// Collects the factors of one network, checked once, at any of its parameters and batches.
#[derive(Clone, Debug)]
pub(crate) struct KfacCollector {
    pub(super) config: KfacConfig,
    pub(super) network: Arc<Network>,
    /// The pass of the factors, with the blocks that come with them; then one for blocks alone, if the first propagates
    /// nothing back.
    pub(super) passes: Vec<MomentPass>,
    /// The refusal of what needs samples, if the rows of a layer reach several.
    mixed: Option<KfacError>,
}

impl KfacCollector {
    /// Checks that the likelihood, the reduction and the network meet the needs of the configuration. Chooses between exact
    /// factors and drawn targets, by the number of backward passes and by what a network allows.
    pub(crate) fn new<B: AutodiffBackend>(
        objective: &Objective<B>,
        likelihood: Likelihood,
        config: &KfacConfig,
    ) -> Result<Self, Error> {
        if !matches!(config.fisher, KfacFisher::Empirical | KfacFisher::ForwardOnly) {
            objective.expect_likelihood(likelihood)?;
        }
        let of =
            |fisher| Self::of_network(objective, likelihood, &KfacConfig { fisher, ..*config });
        let KfacFisher::ExactWhereCheap { passes, draws, seed } = config.fisher else {
            return objective.agreed(of(config.fisher));
        };
        // `None` if exact factors take too many passes, or places mix.
        let exact = || {
            if draws == 0 {
                return Err(LikelihoodError::NoDraws.into());
            }
            let outputs = objective.shape_of_outputs()?;
            likelihood.check(&outputs)?;
            if likelihood.family().number_of_columns(&outputs) > passes {
                return Ok(None);
            }
            match of(KfacFisher::Exact) {
                Err(error) if matches!(error.downcast_ref(), Some(KfacError::Places { .. })) => {
                    Ok(None)
                }
                found => found.map(Some),
            }
        };
        let exact = objective.agreed(exact())?;
        // All ranks compute the same matrix.
        let everywhere = objective.everywhere(exact.is_some())?;
        match exact.filter(|_| everywhere) {
            Some(exact) => Ok(exact),
            None => objective.agreed(of(KfacFisher::MonteCarlo { draws, seed })),
        }
    }

    /// The collector of a configuration that says what is computed.
    fn of_network<B: AutodiffBackend>(
        objective: &Objective<B>,
        likelihood: Likelihood,
        config: &KfacConfig,
    ) -> Result<Self, Error> {
        likelihood.check(&objective.shape_of_outputs()?)?;
        let reduction = objective.stated_reduction()?;
        if let Some((draws, _)) = config.fisher.drawn() {
            // Before a program is made that would hold a pass for each.
            objective.of_first(|part| Ok(likelihood.expect_room(part.outputs_type()?, draws)?))?;
        }
        let metric = config.fisher.metric(likelihood.family());
        let mut kind = FactorKind { metric, reduced: Reduced::Nothing, in_panels: false };
        let layers = network_layers(objective, kind)?;
        network::check(&layers, objective.layout(), config, kind.separation())?;
        expect_own_rows(objective, &layers, kind.separation())?;
        kind.reduced = network::reduced(config);
        kind.in_panels = !runs_on_host::<Inner<B>>(objective.parameters().device());
        let mut network = Network::of_layers(objective, &layers, kind)?;
        network.coverage.fisher = Some(config.fisher);
        let exact = !matches!(config.uncovered, UncoveredPolicy::Diagonal { .. });
        let structure = Arc::new(network.structure(objective, exact && metric.is_some()));
        let seed = config.fisher.drawn().map_or(0, |(_, seed)| seed);
        let mut passes = vec![MomentPass { kind, structure, likelihood, reduction, seed }];
        if exact && metric.is_none() {
            passes.extend(passes[0].of_blocks(objective, &network)?);
        }
        for block in network.blocks.iter().filter(|block| pass_of(&passes, block).is_none()) {
            if let Some((probes, _)) = config.uncovered.estimate(block.elements()) {
                network.coverage.estimate(&block.name, probes);
            }
        }
        let mixed = network::mixed(&layers, objective.layout())
            .map(|(parameter, operation)| KfacError::Samples { parameter, operation });
        Ok(Self { config: *config, network: Arc::new(network), passes, mixed })
    }

    /// The pass of the factors.
    pub(super) fn own(&self) -> &MomentPass {
        &self.passes[0]
    }

    /// The same with draws of their own for one of several steps.
    #[must_use]
    pub(crate) fn at_step(mut self, step: usize) -> Self {
        self.config = self.config.at_step(step);
        if let Some((_, seed)) = self.config.fisher.drawn() {
            self.passes.iter_mut().for_each(|pass| pass.seed = seed);
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
        Ok(Factors(
            self.measured(0, self.own().run(objective, Results::Moments, Given::Nothing)?.means),
        ))
    }

    /// The factors of the blocks of a pass.
    pub(super) fn measured<B: AutodiffBackend>(
        &self,
        pass: usize,
        means: Means<B>,
    ) -> Vec<KfacLayer<B>> {
        let mut moments = means.finish().into_iter();
        let blocks = self.network.blocks.iter();
        let blocks = blocks.filter(|block| pass_of(&self.passes, block) == Some(pass));
        let factors = blocks.map_while(|block| {
            let mut next = || Some(KroneckerFactor::on_device(&block.name, moments.next()?));
            let input = next()?;
            Some(KfacLayer::new(block, input, if self.has_output(block) { next() } else { None }))
        });
        factors.collect()
    }

    /// Whether a block has a right factor besides the identity.
    pub(super) fn has_output(&self, block: &Block) -> bool {
        block.uncovered.is_none() && self.own().kind.metric.is_some()
    }

    /// Whether the left factor of a block is a diagonal.
    pub(super) fn has_diagonal(&self, block: &Block) -> bool {
        let is_estimated = || self.config.uncovered.estimate(block.elements()).is_some();
        match block.uncovered {
            None => block.diagonal,
            Some(_) => pass_of(&self.passes, block).is_none() && is_estimated(),
        }
    }

    /// Exact blocks or estimated diagonals of the uncovered parameters whose blocks the pass of the factors does not
    /// compute: one product for each of their elements, or per probe.
    pub(crate) fn uncovered<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<Factors<B>, Error> {
        expect_size(&self.network, &self.config)?;
        self.uncovered_but(&[], objective)
    }

    /// The same but for blocks at some positions.
    pub(super) fn uncovered_but<B: AutodiffBackend>(
        &self,
        known: &[usize],
        objective: &Objective<B>,
    ) -> Result<Factors<B>, Error> {
        let rest = self.separate().filter(|block| !known.contains(&block.position));
        let rest: Vec<_> = rest.collect();
        let mut factors = uncovered_factors(objective, &rest, &self.config, self.own())?;
        for (position, pass) in self.passes.iter().enumerate().skip(1) {
            let found = pass.run(objective, Results::Moments, Given::Nothing)?;
            factors.extend(self.measured(position, found.means));
        }
        factors.sort_by_key(|factors| factors.block.index);
        Ok(Factors(factors))
    }

    /// The blocks that no pass computes.
    pub(super) fn separate(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.network.blocks.iter().filter(|block| pass_of(&self.passes, block).is_none())
    }

    /// Checks that all elements of factors that are sums of squares are finite: by their traces, which bound all other
    /// entries. Reads one number back, and the factors only if one is not finite.
    pub(crate) fn expect_finite<B: AutodiffBackend>(
        &self,
        factors: &Factors<B>,
    ) -> Result<(), Error> {
        let factors = || factors.0.iter().flat_map(|block| block.factors());
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
        factors: Factors<B>,
        uncovered: Factors<B>,
    ) -> Result<Kfac<B>, Error> {
        let mut blocks = factors.0;
        blocks.extend(uncovered.0);
        blocks.sort_by_key(|factors| factors.block.index);
        let space = objective.parameters().space().clone();
        Kfac::of_blocks(space, Arc::clone(&self.network), blocks)
    }

    /// The second moments of the gradients' coordinates in bases `[groups, size, size]` for all factors but diagonals,
    /// `[groups, d_in, d_out]` per layer. Reads nothing back.
    pub(super) fn diagonals<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        bases: &[InnerFloat<B>],
    ) -> Result<Vec<InnerFloat<B>>, Error> {
        self.expect_gradients()?;
        let layers = Structure { blocks: Vec::new(), ..(*self.own().structure).clone() };
        let pass = MomentPass { structure: Arc::new(layers), ..self.own().clone() };
        Ok(pass.run(objective, Results::Diagonals, Given::Bases(bases))?.means.finish())
    }

    /// Checks that gradients are propagated back and are separate for each sample, as a corrected diagonal needs them.
    pub(crate) fn expect_gradients(&self) -> Result<(), KfacError> {
        if self.config.fisher == KfacFisher::ForwardOnly {
            return Err(KfacError::NoDiagonal);
        }
        self.mixed.clone().map_or(Ok(()), Err)
    }
}

/// Which of the passes has the factors of a block.
pub(super) fn pass_of(passes: &[MomentPass], block: &Block) -> Option<usize> {
    match block.uncovered {
        None => Some(0),
        Some(_) => passes.iter().position(|pass| pass.structure.blocks.contains(&block.position)),
    }
}
