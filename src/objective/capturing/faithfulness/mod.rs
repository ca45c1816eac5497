//! Whether a recording is the loss that Burn trains: its gradient against that of Burn's own `backward()`.
//!
//! This is a property of the program, not of a point or a device. At θ it cannot be seen where the gradient is rounding
//! alone, as at the optimum of a converged model, nor where the device rounds coarsely, nor where an element lies so close
//! to a kink that rounding decides on which side. Then the gradients are compared in f64, near θ, and on the processor. The
//! loss of a model on another device is compared on the processor first, where it is small enough: there it is cheap, and
//! no kernel has to be compiled or tuned for it.

mod compare;
mod copies;
mod error;
mod place;

pub use error::FaithfulnessError;

use burn::{
    backend::{Autodiff, Dispatch},
    module::Module,
    tensor::Device,
};
use burn_backend::AutodiffBackend;

use super::{source::differentiated, structure::taken_apart};
use crate::{
    capture::{Batch, Captured},
    error::Error,
    graph::{Graph, Op, Unary},
    objective::{Objective, ObjectiveError, ValueAndGradient},
    panics::caught,
    space::{Buffers, ParamVector},
    tensor::{Precision, TensorBridge},
};
use compare::{Difference, Gradients};
use copies::Destination;
use place::{Moved, Place};

/// The loss and gradient that Burn's `backward()` computes.
pub(super) fn by_burn<B, M, X, O>(
    model: &M,
    batch: X,
    loss: &impl Fn(&M, X) -> O,
) -> Result<ValueAndGradient<B>, Error>
where
    B: AutodiffBackend,
    B::InnerBackend: TensorBridge,
    M: Module,
    X: Batch,
    O: Captured,
{
    let failed = |message| Error::from(FaithfulnessError::BurnPanicked { message });
    let loss = caught(|| loss(model, batch).into_parts().1).map_err(failed)?;
    let (value, gradients) = differentiated(loss).map_err(failed)??;
    let gradient = caught(|| ParamVector::from_backward(model, gradients)).map_err(failed)??;
    Ok(ValueAndGradient { value, gradient })
}

/// Multiply-adds of a loss up to which its gradient on the processor is cheap.
const CHEAP: usize = 1 << 30;

/// What Burn computes a loss on: the model in the mode that is meant, and the batch.
pub(super) struct BurnLoss<'a, M, X> {
    pub model: &'a M,
    pub batch: &'a X,
}

impl<M, X> BurnLoss<'_, M, X>
where
    M: Module + 'static,
    X: Batch + 'static,
{
    /// The loss of an objective and Burn's gradient at parameters.
    fn backward_at<A, B>(
        &self,
        objective: &Objective<A>,
        parameters: &ParamVector<B>,
    ) -> Result<ValueAndGradient<B>, Error>
    where
        A: AutodiffBackend,
        A::InnerBackend: TensorBridge,
        B: AutodiffBackend,
        B::InnerBackend: TensorBridge,
    {
        let model = parameters.write_to(self.model)?;
        let batch = Box::new(self.batch.clone());
        let (value, gradients) = objective.recorder.backward(&model, batch)?;
        Ok(ValueAndGradient { value, gradient: ParamVector::from_backward(&model, gradients)? })
    }

    /// The loss of a copy.
    fn copied<'a, B>(
        &self,
        destination: &Destination,
        objective: &'a Objective<B>,
    ) -> Result<Moved<'a>, Error>
    where
        M: 'a,
        X: 'a,
        B: AutodiffBackend,
        B::InnerBackend: TensorBridge,
    {
        let copied = caught(|| (destination.model(self.model), destination.batch(self.batch)));
        let (model, batch) =
            copied.map_err(|message| FaithfulnessError::BurnPanicked { message })?;
        let parameters = ParamVector::from_module(&model)?;
        let buffers = Buffers::of(parameters.layout(), &model)?;
        let (values, (_, tensors)) = ((parameters, buffers), taken_apart(batch.clone()));
        let backward = move |parameters: &ParamVector<_>| {
            BurnLoss { model: &model, batch: &batch }.backward_at(objective, parameters)
        };
        Moved::new(values, tensors, Box::new(backward))
    }

    /// Compares the recorded gradient of an objective with Burn's at its parameters, if that has been computed.
    pub fn expect_recorded<B>(
        &self,
        objective: &Objective<B>,
        burn: Option<ValueAndGradient<B>>,
        tolerance: f64,
    ) -> Result<(), Error>
    where
        B: AutodiffBackend,
        B::InnerBackend: TensorBridge,
    {
        let check = Check { objective, burn, tolerance };
        let here = |parameters: &ParamVector<B>| self.backward_at(objective, parameters);
        let copies = |copy: Copy| {
            let destination = copy.destination(&self.model.devices(), objective)?;
            self.copied(&destination, objective).ok()
        };
        check.run(&here, &copies)
    }
}

/// A copy to compare gradients on where those of the model leave a doubt.
#[derive(Clone, Copy, Debug)]
enum Copy {
    /// On the same device in f64, if that is a processor and the model is in f32.
    Precise,
    /// On the processor whose arithmetic is trusted, if this build has it and the model is not there.
    Elsewhere,
}

impl Copy {
    fn destination<B: AutodiffBackend>(
        self,
        devices: &[Device],
        objective: &Objective<B>,
    ) -> Option<Destination> {
        let parameters = objective.parameters();
        let is_there = |device: &Device| devices.iter().any(|it| it.clone().inner() == *device);
        match self {
            Self::Precise => {
                let refined = parameters.precision() == Precision::F32
                    && parameters.space().is_on_processor();
                let device = devices.first().filter(|_| refined)?.clone().inner();
                Some(Destination { device, in_f64: true })
            }
            Self::Elsewhere => {
                let device = processor().filter(|device| !is_there(device))?;
                Some(Destination { device, in_f64: false })
            }
        }
    }
}

fn processor() -> Option<Device> {
    #[cfg(feature = "flex")]
    return Some(Device::flex());
    #[cfg(not(feature = "flex"))]
    None
}

/// Makes copies that can be made.
type Copies<'a, 'b> = &'b dyn Fn(Copy) -> Option<Moved<'a>>;

/// The comparison of one recording.
struct Check<'a, B: AutodiffBackend> {
    objective: &'a Objective<B>,
    /// Burn's own, if it has been computed.
    burn: Option<ValueAndGradient<B>>,
    tolerance: f64,
}

impl<B: AutodiffBackend> Check<'_, B> {
    #[inline(never)]
    fn run<'a>(
        &self,
        backward: &place::Backward<'_, B>,
        copies: Copies<'a, '_>,
    ) -> Result<(), Error> {
        if self.burn.is_none() && self.is_cheap()? && self.holds_elsewhere(copies) {
            return Ok(());
        }
        let by_burn = || {
            backward(self.objective.parameters()).map_err(|error| match error.downcast_ref() {
                Some(ObjectiveError::Backward { message }) => {
                    FaithfulnessError::BurnPanicked { message: message.clone() }.into()
                }
                _ => error,
            })
        };
        let burn = self.burn.clone().map_or_else(by_burn, Ok)?;
        let recorded = self.objective.value_and_gradient()?;
        let place = Place::of(self.objective, backward)?;
        let point = place::gradients(&recorded.gradient, &burn.gradient)?;
        if self.settles(&point) || self.holds_in_f64(copies) {
            return Ok(());
        }
        let difference = place.difference(point, self.tolerance)?;
        if difference.is_within(self.tolerance) || self.holds_elsewhere(copies) {
            return Ok(());
        }
        Err(refusal((recorded.value, burn.value), difference))
    }

    /// Whether the recording agrees with Burn at θ in f64. A closure that makes tensors of f32 does not run there.
    fn holds_in_f64<'a>(&self, copies: Copies<'a, '_>) -> bool {
        let holds = |moved: &Moved<'a>| -> Result<bool, Error> {
            let place = Place::<Autodiff<Dispatch>>::moved(self.objective, moved)?;
            let point = place.gradients(place.values())?;
            Ok(self.settles(&point))
        };
        copies(Copy::Precise).is_some_and(|moved| holds(&moved).unwrap_or(false))
    }

    /// Whether the recording agrees with Burn on another device. A loss that does not run there does not.
    fn holds_elsewhere<'a>(&self, copies: Copies<'a, '_>) -> bool {
        let holds = |moved: &Moved<'a>| -> Result<bool, Error> {
            let place = Place::<Autodiff<Dispatch>>::moved(self.objective, moved)?;
            let point = place.gradients(place.values())?;
            if self.settles(&point) {
                return Ok(true);
            }
            Ok(place.difference(point, self.tolerance)?.is_within(self.tolerance))
        };
        copies(Copy::Elsewhere).is_some_and(|moved| holds(&moved).unwrap_or(false))
    }

    /// Whether two gradients agree, and are not both zero.
    fn settles(&self, point: &Gradients) -> bool {
        point.difference(self.objective.layout()).is_within(self.tolerance) && !point.vanish()
    }

    /// Whether a few gradients take the processor less than about a second.
    fn is_cheap(&self) -> Result<bool, Error> {
        self.objective.of_first(|part| Ok(part.programs.recorded().multiply_adds() <= CHEAP))
    }
}

fn refusal((recorded_loss, burn_loss): (f64, f64), difference: Difference) -> Error {
    FaithfulnessError::Unfaithful {
        parameter: difference.parameter,
        difference: difference.relative,
        recorded_loss,
        burn_loss,
    }
    .into()
}

/// The default for the relative difference from Burn's gradient that counts as rounding.
///
/// Burn's default gradient of GELU, which ndarray uses, is that of the tanh approximation: off by up to 4e-4 for each
/// activation, and by 2e-3 of the norm in parameters behind several layers.
pub(super) fn tolerance(loss: &Graph) -> f64 {
    let has_gelu = loss.nodes.iter().any(|node| node.op == Op::Unary(Unary::Gelu));
    if has_gelu { 1e-2 } else { 1e-3 }
}
