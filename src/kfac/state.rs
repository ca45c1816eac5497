//! K-FAC's factors and EKFAC's bases as data: saved, loaded, averaged.

use std::sync::Arc;

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{
    Ekfac, EkfacLayer, Kfac, KfacCoverage, KfacError, KfacLayer, KroneckerFactor, Treatment,
    block::Network,
    factor::expect_share,
    layer::{Diagonal, Eigenbasis},
    matrix::{Eigen, FactorMatrix, FactorShape},
    pass::network_layers,
    program::{FactorKind, Reduced},
    saved::{expect_factor, expect_spectrum},
};
use crate::{
    derive::Metric,
    error::Error,
    objective::Objective,
    state::{Packed, Visit, numbers, saved},
};

/// The factors of one block: of a layer, or of a parameter that belongs to none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct BlockState {
    /// Name of the weight or the parameter.
    name: String,
    a: FactorMatrix,
    g: FactorMatrix,
}

/// The eigendecompositions of the factors of one block, with the corrected diagonal, `[groups, d_in, d_out]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SpectrumState {
    /// Name of the weight or the parameter.
    name: String,
    a: Eigen,
    g: Eigen,
    #[serde(with = "numbers")]
    diagonal: Vec<f64>,
}

/// The factors of a [`Kfac`], in f64, to be saved to a file of Burn's format or with serde.
///
/// Values are restored bit by bit from every format. Readable formats, such as JSON, store them as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KfacState {
    /// Of layers, then of uncovered parameters.
    blocks: Vec<BlockState>,
    coverage: KfacCoverage,
}

/// The eigenbases and diagonals of an [`Ekfac`], in f64, to be saved to a file of Burn's format or with serde.
///
/// Values are restored bit by bit from every format, so that a run that resumes from a state continues exactly.
///
/// # Example
///
/// ```
/// use burn::{nn, prelude::*};
/// use burn_curvature::{Ekfac, KfacConfig, Likelihood, LinearOperator, Objective, Reduction, kfac::EkfacState};
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
/// let ekfac = KfacConfig::new().init_ekfac(&objective, likelihood)?;
/// let saved = serde_json::to_string(&ekfac.state()?)?;
///
/// let state: EkfacState = serde_json::from_str(&saved)?;
/// let loaded = Ekfac::from_state(&objective, &state)?;
/// let v = objective.parameters().space().ones();
/// assert_eq!(loaded.apply(&v)?.to_vec()?, ekfac.apply(&v)?.to_vec()?);
///
/// let file = std::env::temp_dir().join(format!("ekfac-{}.bpk", std::process::id()));
/// ekfac.state()?.save(&file)?;
/// assert_eq!(EkfacState::load(&file)?, state);
/// # std::fs::remove_file(&file)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EkfacState {
    /// Of layers, then of uncovered parameters.
    blocks: Vec<SpectrumState>,
    coverage: KfacCoverage,
}

/// Name, left and right factor of a block.
type Signed<'a> = (&'a str, FactorShape, FactorShape);

impl EkfacState {
    /// The names of the weights that have bases.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        layers(&self.coverage, self.blocks.iter().map(|block| block.name.as_str()))
    }

    /// `None` if numbers of entries contradict the sizes.
    fn signature(&self) -> Option<Vec<Signed<'_>>> {
        let blocks = self.blocks.iter().map(|SpectrumState { name, a, g, diagonal }| {
            let width = a.shape.size.checked_mul(g.shape.size);
            let total = width.and_then(|width| width.checked_mul(g.shape.groups));
            (total == Some(diagonal.len()) && a.is_whole() && g.is_whole()).then_some((
                name.as_str(),
                a.shape,
                g.shape,
            ))
        });
        blocks.collect()
    }
}

impl KfacState {
    /// The names of the weights that have factors.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        layers(&self.coverage, self.blocks.iter().map(|block| block.name.as_str()))
    }

    /// The exponential moving average ε·self + (1 − ε)·new with ε = `decay`.
    ///
    /// # Errors
    /// [`KfacError::State`] for factors of another model, [`OperatorError::Factor`](crate::errors::OperatorError::Factor) for a decay outside 0 to 1.
    pub fn averaged(&self, new: &Self, decay: f64) -> Result<Self, Error> {
        expect_share(decay)?;
        let (old, other) = (self.signature(), new.signature());
        if old.is_none() || old != other {
            return Err(KfacError::State.into());
        }
        let blocks = self.blocks.iter().zip(&new.blocks).map(|(old, new)| BlockState {
            name: new.name.clone(),
            a: old.a.averaged(&new.a, decay),
            g: old.g.averaged(&new.g, decay),
        });
        Ok(Self { blocks: blocks.collect(), coverage: new.coverage.clone() })
    }

    /// `None` if numbers of entries contradict the sizes.
    fn signature(&self) -> Option<Vec<Signed<'_>>> {
        let blocks = self.blocks.iter().map(|BlockState { name, a, g }| {
            let whole = |matrix: &FactorMatrix| matrix.shape.holds(matrix.values.len());
            (whole(a) && whole(g)).then_some((name.as_str(), a.shape, g.shape))
        });
        blocks.collect()
    }
}

/// The names that are those of layers.
fn layers<'a>(
    coverage: &KfacCoverage,
    names: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = &'a str> {
    names.filter(|name| matches!(coverage.of(name), Some(Treatment::Kronecker { .. })))
}

saved!(KfacState);
saved!(EkfacState);

impl Packed for KfacState {
    const KIND: &'static str = "K-FAC";

    fn visit(&mut self, visit: &mut Visit<'_>) {
        for BlockState { name, a, g } in &mut self.blocks {
            for (place, FactorMatrix { shape, values }) in [("input", a), ("output", g)] {
                visit(&format!("{name}/{place}"), &shape.dims(), values);
            }
        }
    }
}

impl Packed for EkfacState {
    const KIND: &'static str = "EKFAC";

    fn visit(&mut self, visit: &mut Visit<'_>) {
        for SpectrumState { name, a, g, diagonal } in &mut self.blocks {
            let whole = [g.shape.groups, a.shape.size, g.shape.size];
            visit(&format!("{name}/diagonal"), &whole, diagonal);
            for (place, Eigen { shape, vectors, values, .. }) in [("input", a), ("output", g)] {
                if !shape.diagonal {
                    visit(&format!("{name}/{place}/vectors"), &shape.dims(), vectors);
                }
                visit(&format!("{name}/{place}/values"), &[shape.groups, shape.size], values);
            }
        }
    }
}

/// The network that factors are of.
fn network_of<B: AutodiffBackend>(
    objective: &Objective<B>,
    signature: Option<Vec<Signed<'_>>>,
    coverage: &KfacCoverage,
) -> Result<Arc<Network>, Error> {
    let signature = signature.ok_or(KfacError::State)?;
    // Embeddings have a diagonal A or, reduced, a full one; and targets of the data keep other rows apart than draws.
    let kinds = [Reduced::Nothing, Reduced::Everything]
        .into_iter()
        .flat_map(|reduced| [None, Some(Metric::Empirical)].map(|metric| (metric, reduced)));
    for (metric, reduced) in kinds {
        let kind = FactorKind { metric, reduced, in_panels: false };
        let network = Network::of_layers(objective, &network_layers(objective, kind)?, kind)?;
        let mut pairs = network.blocks.iter().zip(&signature);
        if network.blocks.len() == signature.len()
            && pairs.all(|(block, (name, a, g))| block.name == *name && block.fits(*a, *g))
            && network.coverage.has_the_parameters_of(coverage)
        {
            return Ok(Arc::new(network.with_coverage(coverage)));
        }
    }
    Err(KfacError::State.into())
}

impl<B: AutodiffBackend> Kfac<B> {
    /// The factors as data. Those that are still on the device are read.
    ///
    /// # Errors
    /// Factors that cannot be read from the device.
    pub fn state(&self) -> Result<KfacState, Error> {
        self.read()?;
        let blocks = self.0.blocks.iter().map(|block| {
            let (a, g) = (block.input.host()?.clone(), block.output.host()?.clone());
            Ok(BlockState { name: block.weight().into(), a, g })
        });
        let blocks = blocks.collect::<Result<_, Error>>()?;
        Ok(KfacState { blocks, coverage: self.coverage().clone() })
    }

    /// K-FAC with factors from a state of the same model.
    ///
    /// # Errors
    /// [`KfacError::State`] for factors of another model.
    pub fn from_state(objective: &Objective<B>, state: &KfacState) -> Result<Self, Error> {
        let network = network_of(objective, state.signature(), &state.coverage)?;
        let space = objective.parameters().space().clone();
        for BlockState { name, a, g } in &state.blocks {
            [a, g].into_iter().try_for_each(|own| expect_factor(name, own, space.precision()))?;
        }
        let pairs = network.blocks.iter().zip(&state.blocks);
        let blocks = pairs.map(|(block, BlockState { name, a, g })| {
            let [a, g] = [a, g].map(|factor| KroneckerFactor::known(name, factor.clone(), &space));
            KfacLayer::new(block, a, block.uncovered.is_none().then_some(g))
        });
        let blocks = blocks.collect();
        Self::of_blocks(space, network, blocks)
    }
}

impl<B: AutodiffBackend> Ekfac<B> {
    /// The bases and diagonals as data. Diagonals that are still on the device are read.
    ///
    /// # Errors
    /// A diagonal that cannot be read from the device.
    pub fn state(&self) -> Result<EkfacState, Error> {
        let blocks = self.0.blocks.iter().map(|block| {
            Ok(SpectrumState {
                name: block.weight().into(),
                a: block.input.host().clone(),
                g: block.output.host().clone(),
                diagonal: block.diagonal()?.to_vec(),
            })
        });
        let blocks = blocks.collect::<Result<_, Error>>()?;
        Ok(EkfacState { blocks, coverage: self.coverage().clone() })
    }

    /// EKFAC with bases and diagonals from a state of the same model.
    ///
    /// # Errors
    /// [`KfacError::State`] for those of another model.
    pub fn from_state(objective: &Objective<B>, state: &EkfacState) -> Result<Self, Error> {
        let network = network_of(objective, state.signature(), &state.coverage)?;
        let space = objective.parameters().space().clone();
        for SpectrumState { name, a, g, diagonal } in &state.blocks {
            expect_spectrum(name, [a, g], diagonal, space.precision())?;
        }
        let pairs = network.blocks.iter().zip(&state.blocks);
        let blocks = pairs.map(|(block, saved)| EkfacLayer {
            block: Arc::clone(block),
            input: Eigenbasis::new(saved.a.clone()),
            output: Eigenbasis::new(saved.g.clone()),
            diagonal: Diagonal::known(saved.diagonal.clone(), block.shape(), &space),
        });
        let blocks = blocks.collect();
        Self::of_blocks(space, network, blocks)
    }
}
