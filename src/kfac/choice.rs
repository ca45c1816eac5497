//! Chooses between exact factors and drawn targets, by the number of backward passes and by what a network allows.

use burn_backend::AutodiffBackend;

use super::{KfacCollector, KfacConfig, KfacError, KfacFisher};
use crate::{
    derive::{Likelihood, LikelihoodError},
    error::Error,
    objective::Objective,
};

impl KfacCollector {
    /// Checks that the likelihood, the reduction and the network meet the needs of the configuration.
    pub(crate) fn new<B: AutodiffBackend>(
        objective: &Objective<B>,
        likelihood: Likelihood,
        config: &KfacConfig,
    ) -> Result<Self, Error> {
        match config.fisher {
            KfacFisher::Exact
            | KfacFisher::ExactWhereCheap { .. }
            | KfacFisher::MonteCarlo { .. } => objective.expect_likelihood(likelihood)?,
            KfacFisher::Empirical | KfacFisher::ForwardOnly => {}
        }
        let of_network =
            |config: &_| objective.agreed(Self::of_network(objective, likelihood, config));
        let KfacFisher::ExactWhereCheap { passes, draws, seed } = config.fisher else {
            return of_network(config);
        };
        let exact =
            objective.agreed(Self::exact(objective, likelihood, (config, passes, draws)))?;
        // All ranks compute the same matrix.
        let exact = if objective.everywhere(exact.is_some())? { exact } else { None };
        match exact {
            Some(exact) => Ok(exact),
            None => of_network(&KfacConfig {
                fisher: KfacFisher::MonteCarlo { draws, seed },
                ..*config
            }),
        }
    }

    /// The collector of exact factors, unless these take too many passes or places mix.
    fn exact<B: AutodiffBackend>(
        objective: &Objective<B>,
        likelihood: Likelihood,
        (config, passes, draws): (&KfacConfig, usize, usize),
    ) -> Result<Option<Self>, Error> {
        if draws == 0 {
            return Err(LikelihoodError::NoDraws.into());
        }
        let outputs = objective.shape_of_outputs()?;
        likelihood.check(&outputs)?;
        if likelihood.family().number_of_columns(&outputs) > passes {
            return Ok(None);
        }
        let config = KfacConfig { fisher: KfacFisher::Exact, ..*config };
        match Self::of_network(objective, likelihood, &config) {
            Err(error) if matches!(error.downcast_ref(), Some(KfacError::Places { .. })) => {
                Ok(None)
            }
            found => found.map(Some),
        }
    }
}
