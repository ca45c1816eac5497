//! The optimizer's state as data: saved and loaded.

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{
    KfacInverse, KfacOptimizer,
    running::{Inverted, Source, SourceState},
};
use crate::{
    error::Error,
    kfac::{Kfac, KfacState},
    optim::{
        OptimizerError,
        instance::{self, Origin},
    },
    space::ParamVector,
    state::{Packed, Visit, numbers, saved},
};

/// Everything that a [`KfacOptimizer`] carries from one step to the next, to be saved to a file of Burn's format or with serde.
///
/// Values are restored bit by bit from any format, so that a run that resumes from a state continues exactly. Burn saves the
/// model and the learning-rate scheduler in files of their own. Load the model before you capture its loss again:
/// parameters are identified by their ids, which come from the model's file. A state is refused for any other instance of
/// the model.
///
/// # Example
///
/// ```
/// use burn::{nn, prelude::*};
/// use burn_curvature::{KfacOptimizerConfig, Likelihood, Objective, Reduction, optim::KfacOptimizerState};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let device = Device::default().autodiff();
/// let model = nn::LinearConfig::new(1, 1).with_bias(false);
/// let model = model.with_initializer(nn::Initializer::Zeros).init(&device);
/// let x = Tensor::<2>::from_floats([[1.0], [2.0]], &device);
/// let loss = |model: &nn::Linear, x: Tensor<2>| {
///     let z = model.forward(x.clone());
///     (z.clone(), (z - x * 3.0).powf_scalar(2.0).sum() * 0.5)
/// };
/// let objective = Objective::capture(&model, x.clone(), loss)?;
/// let objective = objective.reduced_by(Reduction::Sum)?;
/// let likelihood = Likelihood::Gaussian { variance: 1.0 };
/// let config = KfacOptimizerConfig::new();
/// let mut optimizer = config.init(&objective, likelihood)?;
/// let (model, _) = optimizer.step(&model, x.clone())?;
///
/// let folder = std::env::temp_dir().join(format!("kfac-{}", std::process::id()));
/// std::fs::create_dir_all(&folder)?;
/// optimizer.state()?.save(folder.join("optimizer"))?; // optimizer.bpk
/// model.clone().into_record().save(folder.join("model"))?;
///
/// let fresh = nn::LinearConfig::new(1, 1).with_bias(false);
/// let fresh = fresh.with_initializer(nn::Initializer::Ones).init(&device);
/// let loaded = fresh.load_record(burn::store::ModuleRecord::load(folder.join("model"))?);
/// let objective = Objective::capture(&loaded, x.clone(), loss)?.reduced_by(Reduction::Sum)?;
/// let state = KfacOptimizerState::load(folder.join("optimizer"))?;
/// let mut resumed = config.resume(&objective, likelihood, &state)?;
/// assert_eq!(resumed.step(&loaded, x.clone())?.1, optimizer.step(&model, x)?.1);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KfacOptimizerState {
    step: usize,
    origin: Origin,
    #[serde(with = "numbers::one")]
    damping: f64,
    #[serde(with = "numbers::one")]
    gamma: f64,
    /// The previous step.
    #[serde(with = "numbers::optional")]
    previous: Option<Vec<f64>>,
    /// The moving average, and its numbers of updates: of layers, and of uncovered parameters.
    average: Option<KfacState>,
    updates: [usize; 2],
    inverted: Option<InvertedState>,
}

/// The source of the inverse in use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct InvertedState {
    kind: KfacInverse,
    source: SourceState,
    #[serde(with = "numbers::one")]
    gamma: f64,
}

impl KfacOptimizerState {
    /// Steps so far.
    pub fn step(&self) -> usize {
        self.step
    }
}

saved!(KfacOptimizerState);

impl Packed for KfacOptimizerState {
    const KIND: &'static str = "the K-FAC optimizer";

    fn visit(&mut self, visit: &mut Visit<'_>) {
        if let Some(previous) = &mut self.previous {
            visit("previous", &[], previous);
        }
        let mut inside = |place: &str, state: &mut dyn FnMut(&mut Visit<'_>)| {
            state(&mut |name, shape, numbers| visit(&format!("{place}/{name}"), shape, numbers));
        };
        if let Some(average) = &mut self.average {
            inside("average", &mut |visit| average.visit(visit));
        }
        if let Some(inverted) = &mut self.inverted {
            inside("inverted", &mut |visit| match &mut inverted.source {
                SourceState::Factors(factors) => factors.visit(visit),
                SourceState::Spectra(spectra) => spectra.visit(visit),
            });
        }
    }
}

impl<B: AutodiffBackend> KfacOptimizer<B> {
    /// The state carried from one step to the next. Reads the averaged factors from the device. Eigendecompositions
    /// that run in the background are not part of it.
    ///
    /// # Errors
    /// A step that cannot be read from the device.
    pub fn state(&self) -> Result<KfacOptimizerState, Error> {
        let progress = &self.progress;
        let running = &progress.running;
        let previous = progress.previous.as_ref();
        let inverted = running.inverted.as_ref().map(|Inverted { source, gamma, .. }| {
            let (kind, source) = (self.config.inverse, source.state()?);
            Ok::<_, Error>(InvertedState { kind, source, gamma: *gamma })
        });
        Ok(KfacOptimizerState {
            step: progress.step,
            origin: self.origin(),
            damping: progress.damping,
            gamma: progress.gamma,
            previous: previous.map(ParamVector::to_vec).transpose()?,
            average: running
                .kfac(&self.collector, &self.objective)?
                .map(|kfac| kfac.state())
                .transpose()?,
            updates: [running.factors.updates, running.uncovered.updates],
            inverted: inverted.transpose()?,
        })
    }

    fn origin(&self) -> Origin {
        Origin::new(self.objective.layout(), self.config.rule.name(), self.config.damping)
    }

    /// Resumes from a saved state. The optimizer is unchanged if the state does not fit.
    pub(super) fn load(&mut self, state: &KfacOptimizerState) -> Result<(), Error> {
        let origin = self.origin();
        origin.expect(&state.origin)?;
        let wrong = |reason| Err(Error::from(OptimizerError::State { reason }));
        if !(state.damping > 0.0 && state.damping.is_finite()) {
            return wrong("its damping is not a finite number above zero");
        }
        if !(state.gamma > 0.0 && state.gamma.is_finite()) {
            return wrong("its γ is not a finite number above zero");
        }
        let space = self.objective.parameters().space();
        let mut progress = self.progress.clone();
        progress.step = state.step;
        progress.damping = state.damping;
        progress.gamma = state.gamma;
        let reasons = [
            "its previous step has another number of parameters",
            "its previous step is not finite",
        ];
        progress.previous = instance::vector(space, state.previous.as_ref(), reasons)?;
        let running = &mut progress.running;
        running.pending = None;
        [running.factors.updates, running.uncovered.updates] = state.updates;
        [running.factors.value, running.uncovered.value] = match &state.average {
            Some(average) => {
                let kfac = Kfac::from_state(&self.objective, average)?;
                self.collector.resumed(&kfac)?.map(Some)
            }
            None => [None, None],
        };
        running.inverted = match &state.inverted {
            Some(inverted) if inverted.kind != self.config.inverse => {
                return wrong("its inverse is of another kind");
            }
            Some(InvertedState { source, gamma, .. }) => {
                let source = Source::from_state(&self.objective, source)?;
                Some(Inverted::new(source, *gamma, self.config.inversion)?)
            }
            None => None,
        };
        origin.expect_instance(&state.origin)?;
        self.progress = progress;
        Ok(())
    }
}
