//! K-FAC's factors and EKFAC's bases as data: saved, loaded, averaged. Knows names and numbers.

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{
    Ekfac, Kfac, KfacCoverage,
    blocks::{BlockMap, Side},
    factors::{HostFactors, LayerFactors},
    map::KfacMap,
    moment::Moment,
    network::Network,
    outline::{Outline, Shape},
    program::{FactorKind, Reduced},
    spectra::Spectra,
};
use crate::{
    error::Error,
    objective::Objective,
    operator::OperatorError,
    state::{Packed, Visit, saved},
};

/// The factors of a [`Kfac`], in f64, to be saved to a file of Burn's format or with serde.
///
/// Numbers come back bit by bit from every format: readable ones, such as JSON, hold them as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KfacState {
    layers: Vec<LayerFactors>,
    dense: Vec<(usize, Moment)>,
    coverage: KfacCoverage,
}

/// The eigenbases and diagonals of an [`Ekfac`], in f64, to be saved to a file of Burn's format or with serde.
///
/// Numbers come back bit by bit from every format, so that a run that goes on from a state is the one that was
/// interrupted.
///
/// # Example
///
/// ```
/// use burn::{nn, prelude::*};
/// use burn_curvature::{Ekfac, EkfacState, KfacConfig, Likelihood, LinearOperator, Objective, Reduction};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let device = Device::default().autodiff();
/// let model = nn::LinearConfig::new(3, 2).init(&device);
/// let x = Tensor::<2>::from_floats([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], &device);
/// let objective = Objective::capture(&model, x, |model, x| {
///     let z = model.forward(x);
///     (z.clone(), z.powf_scalar(2.0).sum() * 0.5)
/// })?;
/// let likelihood = Likelihood::Gaussian { variance: 1.0 };
/// let objective = objective.reduced_by(Reduction::Sum)?;
/// let ekfac = Ekfac::new(&objective, likelihood, &KfacConfig::new())?;
/// let saved = serde_json::to_string(&ekfac.state())?;
///
/// let state: EkfacState = serde_json::from_str(&saved)?;
/// let loaded = Ekfac::from_state(&objective, &state)?;
/// let v = objective.parameters().space().ones();
/// assert_eq!(loaded.apply(&v)?.to_vec()?, ekfac.apply(&v)?.to_vec()?);
///
/// let file = std::env::temp_dir().join(format!("ekfac-{}.bpk", std::process::id()));
/// ekfac.state().save(&file)?;
/// assert_eq!(EkfacState::load(&file)?, state);
/// # std::fs::remove_file(&file)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EkfacState {
    spectra: Spectra,
    coverage: KfacCoverage,
}

impl EkfacState {
    pub(super) fn new(spectra: Spectra, coverage: KfacCoverage) -> Self {
        Self { spectra, coverage }
    }

    /// The names of the weights that have bases.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.spectra.layers.iter().map(|layer| layer.name.as_str())
    }

    fn outline(&self) -> Option<Outline<'_>> {
        let layers = self.spectra.layers.iter().map(|layer| {
            let (a, g) = (Shape::of_eigen(&layer.a)?, Shape::of_eigen(&layer.g)?);
            let whole = layer.diagonal.len() == g.groups * a.size * g.size;
            whole.then_some((layer.name.as_str(), a, g))
        });
        let beside = self.spectra.dense.iter();
        let beside = beside.map(|(position, eigen)| Some((*position, Shape::of_eigen(eigen)?)));
        Some(Outline {
            layers: layers.collect::<Option<_>>()?,
            beside: beside.collect::<Option<_>>()?,
        })
    }
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
        let (old, other) = (self.outline(), new.outline());
        if old.is_none() || old != other {
            return Err(OperatorError::KfacState.into());
        }
        let layers = self.layers.iter().zip(&new.layers).map(|(old, new)| LayerFactors {
            name: new.name.clone(),
            a: old.a.averaged(&new.a, decay),
            g: old.g.averaged(&new.g, decay),
        });
        let dense = self.dense.iter().zip(&new.dense);
        let dense = dense.map(|((position, old), (_, new))| (*position, old.averaged(new, decay)));
        Ok(Self {
            layers: layers.collect(),
            dense: dense.collect(),
            coverage: new.coverage.clone(),
        })
    }

    fn outline(&self) -> Option<Outline<'_>> {
        let layers = self.layers.iter().map(|layer| {
            let (a, g) = (Shape::of(&layer.a)?, Shape::of(&layer.g)?);
            Some((layer.name.as_str(), a, g))
        });
        let beside = self.dense.iter();
        let beside = beside.map(|(position, moment)| Some((*position, Shape::of(moment)?)));
        Some(Outline {
            layers: layers.collect::<Option<_>>()?,
            beside: beside.collect::<Option<_>>()?,
        })
    }
}

saved!(KfacState);
saved!(EkfacState);

impl Packed for KfacState {
    const KIND: &'static str = "K-FAC";

    fn visit(&mut self, visit: &mut Visit<'_>) {
        for LayerFactors { name, a, g } in &mut self.layers {
            a.visit(&format!("{name}/input"), visit);
            g.visit(&format!("{name}/output"), visit);
        }
        for (position, moment) in &mut self.dense {
            moment.visit(&format!("beside/{position}"), visit);
        }
    }
}

impl Packed for EkfacState {
    const KIND: &'static str = "EKFAC";

    fn visit(&mut self, visit: &mut Visit<'_>) {
        for layer in &mut self.spectra.layers {
            let name = &layer.name;
            layer.a.visit(&format!("{name}/input"), visit);
            layer.g.visit(&format!("{name}/output"), visit);
            let shape = [layer.g.groups, layer.a.size, layer.g.size];
            visit(&format!("{name}/diagonal"), &shape, &mut layer.diagonal);
        }
        for (position, eigen) in &mut self.spectra.dense {
            eigen.visit(&format!("beside/{position}"), visit);
        }
    }
}

/// The network that factors are of.
fn network_of<B: AutodiffBackend>(
    objective: &Objective<B>,
    outline: Option<Outline<'_>>,
    coverage: &KfacCoverage,
) -> Result<Network, Error> {
    let outline = outline.ok_or(OperatorError::KfacState)?;
    // Embeddings have a diagonal A or, reduced, a full one.
    for reduced in [Reduced::Nothing, Reduced::Everything] {
        let kind = FactorKind { metric: None, reduced };
        let network = Network::of(objective, kind)?;
        if outline.is_of(&network, objective.layout())
            && network.coverage.has_the_parameters_of(coverage)
        {
            return Ok(network);
        }
    }
    Err(OperatorError::KfacState.into())
}

impl<B: AutodiffBackend> Kfac<B> {
    /// The factors as data, read from the device if they were not before.
    ///
    /// # Errors
    /// Factors that cannot be read from the device.
    pub fn state(&self) -> Result<KfacState, Error> {
        Ok(KfacState {
            layers: self.factors()?.to_vec(),
            dense: self.dense.to_vec(),
            coverage: self.coverage.clone(),
        })
    }

    /// K-FAC with factors that were made before, for the same model.
    ///
    /// # Errors
    /// [`OperatorError::KfacState`] for factors of another model.
    pub fn from_state(objective: &Objective<B>, state: &KfacState) -> Result<Self, Error> {
        let network = network_of(objective, state.outline(), &state.coverage)?;
        let like = objective.parameters().space().zeros();
        let plans = network.plans;
        let maps = state.layers.iter().map(|layer| BlockMap::Sandwich {
            left: Side::moment(&layer.a, &like),
            right: Side::moment(&layer.g, &like),
        });
        Ok(Self {
            map: KfacMap::new(&like, &plans, maps.collect(), &state.dense, 0.0),
            coverage: state.coverage.clone(),
            layers: HostFactors::known(state.layers.clone()),
            dense: state.dense.clone().into(),
            plans,
            like,
        })
    }
}

impl<B: AutodiffBackend> Ekfac<B> {
    /// The bases and diagonals as data.
    pub fn state(&self) -> EkfacState {
        EkfacState::new(self.spectra().clone(), self.coverage().clone())
    }

    /// EKFAC with bases and diagonals that were made before, for the same model.
    ///
    /// # Errors
    /// [`OperatorError::KfacState`] for those of another model.
    pub fn from_state(objective: &Objective<B>, state: &EkfacState) -> Result<Self, Error> {
        let network = network_of(objective, state.outline(), &state.coverage)?;
        let like = objective.parameters().space().zeros();
        let (coverage, spectra) = (state.coverage.clone(), state.spectra.clone());
        Ok(Self::of_spectra(like, network.plans, coverage, spectra))
    }
}
