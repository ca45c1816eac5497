//! Collects the Kronecker factors of a network. Knows objectives and likelihoods; the algebra of factors is elsewhere.

use burn_backend::AutodiffBackend;

use super::{
    Kfac, KfacConfig, KfacCoverage, KfacFisher, KfacMap, UncoveredPolicy,
    beside::{ExactBlocks, exact_blocks},
    blocks::Side,
    factors::{DeviceFactors, HostFactors, on_device},
    moment::Eigen,
    network::{self, Network},
    pass::{LayerMoments, MomentPass, network_layers},
    program::FactorKind,
};
use crate::{
    derive::{Likelihood, Metric},
    error::Error,
    objective::{Noise, Objective, Part, Reduction, ValueAndGradient},
    operator::OperatorError,
    space::{InnerFloat, read_tensor},
};

/// Collects the factors of one network, checked once, at any of its parameters and batches.
#[derive(Clone, Debug)]
pub(crate) struct KfacCollector {
    config: KfacConfig,
    kind: FactorKind,
    likelihood: Likelihood,
    reduction: Reduction,
    network: Network,
}

impl KfacCollector {
    /// Checks that the likelihood, the reduction and the network are such as the configuration needs.
    pub(crate) fn new<B: AutodiffBackend>(
        objective: &Objective<B>,
        likelihood: Likelihood,
        config: &KfacConfig,
    ) -> Result<Self, Error> {
        likelihood.check(&objective.shape_of_outputs()?)?;
        let reduction = objective.stated_reduction()?;
        let layers = network_layers(objective)?;
        network::check(&layers, config)?;
        network::check_embeddings(&layers, objective.layout(), config)?;
        let kind = FactorKind {
            metric: metric(config.fisher, likelihood),
            reduced: network::reduced(&layers, config),
        };
        let mut network = Network::of(objective, kind)?;
        if let UncoveredPolicy::Diagonal { probes, .. } = config.beside {
            network.coverage = network.coverage.estimated_by(probes);
        }
        Ok(Self { config: *config, kind, likelihood, reduction, network })
    }

    /// The same with other draws from now on; as it is where nothing is drawn.
    #[must_use]
    pub(crate) fn with_seed(mut self, seed: u64) -> Self {
        if let KfacFisher::MonteCarlo { seed: own, .. } = &mut self.config.fisher {
            *own = seed;
        }
        if let UncoveredPolicy::Diagonal { seed: own, .. } = &mut self.config.beside {
            *own = seed;
        }
        self
    }

    /// What is made of every parameter.
    pub(crate) fn coverage(&self) -> &KfacCoverage {
        &self.network.coverage
    }

    /// The factors of all layers, over all batches. Reads nothing back.
    pub(crate) fn factors<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<DeviceFactors<B>, Error> {
        let layers = self.pass(|pass| pass.moments(objective))?;
        DeviceFactors::new(&self.network.plans, objective.layout(), layers)
    }

    /// ℒ(θ), ∇ℒ(θ) and the factors of all layers by one program a batch. Reads back the loss only: what is not finite in
    /// the gradient is for the caller to see.
    pub(crate) fn gradient_and_factors<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<(ValueAndGradient<B>, DeviceFactors<B>), Error> {
        let (gradient, layers) = self.pass(|pass| pass.gradient_and_moments(objective))?;
        let factors = DeviceFactors::new(&self.network.plans, objective.layout(), layers)?;
        Ok((gradient, factors))
    }

    /// The program of [`gradient_and_factors`](Self::gradient_and_factors).
    #[cfg(test)]
    pub(super) fn program<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<crate::graph::Graph, Error> {
        self.pass(|pass| pass.program(objective))
    }

    /// The exact blocks of parameters that belong to no layer: one product for each of their numbers.
    pub(crate) fn exact_blocks<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<ExactBlocks, Error> {
        let target = (self.likelihood, self.reduction);
        exact_blocks(objective, &self.network, &self.config, target)
    }

    /// Checks that factors are finite, by one number that is read back.
    pub(crate) fn expect_finite<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        factors: &DeviceFactors<B>,
    ) -> Result<(), Error> {
        factors.expect_finite(&self.network.plans, objective.layout())
    }

    /// The curvature of given factors. Reads nothing back: what is not finite shows where they are first read.
    pub(crate) fn kfac<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        factors: &DeviceFactors<B>,
        beside: ExactBlocks,
    ) -> Result<Kfac<B>, Error> {
        let like = objective.parameters().space().zeros();
        let plans = &self.network.plans;
        Ok(Kfac {
            map: KfacMap::new(&like, plans, factors.maps(plans), &beside.0, 0.0),
            coverage: self.network.coverage.clone(),
            layers: HostFactors::on_device(factors),
            dense: beside.0.into(),
            plans: plans.clone(),
            like,
        })
    }

    /// The factors and blocks of a curvature that was made of saved ones, on the device again.
    pub(crate) fn uploaded<B: AutodiffBackend>(
        &self,
        kfac: &Kfac<B>,
    ) -> Result<(DeviceFactors<B>, ExactBlocks), Error> {
        let plans = self.network.plans.iter().zip(kfac.plans.iter());
        if plans.into_iter().any(|(own, other)| own.diagonal != other.diagonal) {
            return Err(OperatorError::KfacState.into());
        }
        let draws = self.kind.metric.is_some();
        let layers = kfac.factors()?.iter().map(|layer| LayerMoments {
            inputs: on_device(&layer.a, &kfac.like),
            gradients: draws.then(|| on_device(&layer.g, &kfac.like)),
        });
        let layout = kfac.like.layout();
        let factors = DeviceFactors::new(&self.network.plans, layout, layers.collect())?;
        Ok((factors, ExactBlocks(kfac.dense.to_vec())))
    }

    /// The second moments of the gradients' coordinates in the eigenbases of every layer, `[groups, d_in, d_out]`.
    pub(super) fn diagonals<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        bases: &[(Eigen, Eigen)],
    ) -> Result<Vec<Vec<f64>>, Error> {
        let like = objective.parameters();
        let sides = bases.iter().flat_map(|(a, g)| [a, g]);
        let tensors = sides.filter_map(|eigen| Side::basis(eigen, like).matrix());
        let tensors: Vec<_> = tensors.collect();
        let diagonals = self.device_diagonals(objective, &tensors)?.into_iter();
        let diagonals = diagonals.map(read_tensor::<B>);
        let diagonals = diagonals.collect::<Result<Vec<_>, _>>()?;
        match diagonals.iter().flatten().all(|value| value.is_finite()) {
            true => Ok(diagonals),
            false => Err(OperatorError::NonFiniteFactor {
                layer: "the network (corrected diagonal)".into(),
            }
            .into()),
        }
    }

    /// The same on the device, in bases `[groups, size, size]` for all factors but diagonals. Reads nothing back.
    pub(super) fn device_diagonals<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        bases: &[InnerFloat<B>],
    ) -> Result<Vec<InnerFloat<B>>, Error> {
        self.expect_gradients()?;
        self.pass(|pass| pass.diagonals(objective, bases))
    }

    /// Checks that gradients are propagated back, of which a diagonal can be made.
    pub(crate) fn expect_gradients(&self) -> Result<(), OperatorError> {
        match self.config.fisher {
            KfacFisher::ForwardOnly => Err(OperatorError::NoDiagonal),
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

    /// What second moments of gradients are multiplied by.
    fn factor<B: AutodiffBackend>(&self, part: &Part<B>) -> f64 {
        let share = self.reduction.factor(part.samples_of_outputs());
        match self.config.fisher {
            KfacFisher::Empirical => share.recip(),
            KfacFisher::Exact => share * self.likelihood.scale(),
            KfacFisher::MonteCarlo { .. } | KfacFisher::ForwardOnly => share,
        }
    }

    /// What targets are drawn by, where they are.
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
