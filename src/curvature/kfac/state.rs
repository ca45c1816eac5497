//! K-FAC's factors as data: saved, loaded, averaged. Knows names and numbers.

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{
    Kfac,
    blocks::{BlockMap, Side},
    factors::LayerFactors,
    map::KfacMap,
    moment::Moment,
    network::Network,
};
use crate::{error::Error, objective::Objective, operator::OperatorError};

/// A layer's name, and groups and sizes of A and G.
type NamedSizes<'a> = (&'a str, [usize; 4]);

/// The factors of a [`Kfac`], in f64, to be saved with serde.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KfacState {
    layers: Vec<LayerFactors>,
    dense: Vec<(usize, Moment)>,
}

impl KfacState {
    /// The names of the weights that have factors.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().map(|layer| layer.name.as_str())
    }

    /// The exponential moving average ε·self + (1 − ε)·new with ε = `decay`.
    ///
    /// # Errors
    /// [`OperatorError::KfacState`] for factors of another model, [`OperatorError::Factor`] for a decay outside 0 to 1.
    pub fn averaged(&self, new: &Self, decay: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&decay) {
            return Err(OperatorError::Factor { found: decay }.into());
        }
        if self.shape() != new.shape() {
            return Err(OperatorError::KfacState.into());
        }
        let layers = self
            .layers
            .iter()
            .zip(&new.layers)
            .map(|(old, new)| LayerFactors {
                name: new.name.clone(),
                a: old.a.averaged(&new.a, decay),
                g: old.g.averaged(&new.g, decay),
            });
        let dense = self.dense.iter().zip(&new.dense);
        let dense = dense.map(|((position, old), (_, new))| (*position, old.averaged(new, decay)));
        Ok(Self {
            layers: layers.collect(),
            dense: dense.collect(),
        })
    }

    /// Names and sizes.
    fn shape(&self) -> (Vec<NamedSizes<'_>>, Vec<(usize, usize)>) {
        let layers = self.layers.iter().map(|layer| {
            let (a, g) = (&layer.a, &layer.g);
            (
                layer.name.as_str(),
                [a.groups(), a.size(), g.groups(), g.size()],
            )
        });
        let dense = self
            .dense
            .iter()
            .map(|(position, moment)| (*position, moment.size()));
        (layers.collect(), dense.collect())
    }
}

impl<B: AutodiffBackend> Kfac<B> {
    /// The factors as data.
    pub fn state(&self) -> KfacState {
        KfacState {
            layers: self.layers.to_vec(),
            dense: self.dense.to_vec(),
        }
    }

    /// K-FAC with factors that were made before, for the same model.
    ///
    /// # Errors
    /// [`OperatorError::KfacState`] for factors of another model.
    pub fn from_state(objective: &Objective<B>, state: &KfacState) -> Result<Self, Error> {
        let network = Network::of(objective)?;
        let blocks = objective.layout().blocks();
        let fits =
            network.plans.len() == state.layers.len()
                && network
                    .plans
                    .iter()
                    .zip(&state.layers)
                    .all(|(plan, layer)| {
                        blocks
                            .get(plan.weight)
                            .is_some_and(|block| block.name() == layer.name)
                            && [layer.a.size(), layer.g.size()] == [plan.d_in, plan.d_out]
                            && layer.g.groups() == plan.groups
                    })
                && network.beside.len() == state.dense.len()
                && network.beside.iter().zip(&state.dense).all(
                    |((position, _), (other, moment))| {
                        position == other
                            && blocks
                                .get(*position)
                                .is_some_and(|block| block.len() == moment.size())
                    },
                );
        if !fits {
            return Err(OperatorError::KfacState.into());
        }
        let like = objective.parameters().zeros_like();
        let plans = network.plans;
        let maps = state.layers.iter().map(|layer| BlockMap::Sandwich {
            left: Side::moment(&layer.a, &like),
            right: Side::moment(&layer.g, &like),
        });
        Ok(Self {
            map: KfacMap::new(&like, &plans, maps.collect(), &state.dense, 0.0),
            coverage: network.coverage,
            layers: state.layers.clone().into(),
            dense: state.dense.clone().into(),
            plans,
            like,
        })
    }
}
