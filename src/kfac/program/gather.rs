//! The passes forward and back that the moments are taken from. Knows probes and cotangents, no moments.

use burn_autodiff::Autodiff;
use burn_backend::{Backend, tensor::FloatTensor};

use super::{FactorKind, Given, Probed, cotangents::cotangents, rows::Rows};
use crate::{
    derive::{Apply, Arguments, adjoint_product, gradient_at, required},
    error::Error,
    execute::ExecuteError,
    kfac::layers::{LayerKind, Tap},
    tensor::Operand,
};

/// What a pass forward and the pass back from the loss leave.
pub(super) struct Forward<B: Backend> {
    pub loss: FloatTensor<B>,
    /// By the parameters.
    pub gradient: Vec<FloatTensor<B>>,
    /// Inputs of the taps that have one, in order.
    pub inputs: std::vec::IntoIter<Operand<B>>,
    z: FloatTensor<B>,
    /// The gradient of the loss by the probes.
    by_probes: Vec<FloatTensor<B>>,
}

/// The passes of the loss; what nobody reads of them is dead code.
pub(super) fn forward<B: Backend>(
    probed: &Probed,
    given: &Given<'_, B>,
    apply: Apply<Autodiff<B>>,
) -> Result<Forward<B>, Error> {
    let parameters = with_probes(probed, given);
    let whole = gradient_at(&arguments(probed, given, &parameters), apply)?;
    let mut inputs = whole.outputs.into_iter();
    let mut next = || -> Result<_, ExecuteError> { Ok(required(inputs.next())?.into_float()?) };
    let (loss, z) = (next()?, next()?);
    let mut gradient = whole.gradient;
    let by_probes = gradient.split_off(given.parameters.len());
    Ok(Forward { loss, gradient, inputs, z, by_probes })
}

/// The gradients of all taps in order, for one cotangent after another.
pub(super) fn backward<B: Backend>(
    kind: FactorKind,
    probed: &Probed,
    given: &Given<'_, B>,
    (z, by_probes): (&FloatTensor<B>, Vec<FloatTensor<B>>),
    apply: Apply<Autodiff<B>>,
    mut visit: impl FnMut(Vec<FloatTensor<B>>) -> Result<(), Error>,
) -> Result<(), Error> {
    let parameters = with_probes(probed, given);
    let arguments = arguments(probed, given, &parameters);
    let Some(metric) = kind.metric else {
        return Ok(());
    };
    match cotangents::<B>(metric, z, given.noise.clone(), given.scale.clone())? {
        None => visit(by_probes),
        Some(cotangents) => cotangents.into_iter().try_for_each(|cotangent| {
            let own = given.parameters.len();
            visit(pull_back(&arguments, cotangent, own, apply)?)
        }),
    }
}

impl<B: Backend> Forward<B> {
    /// What goes back.
    pub fn take_back(&mut self) -> (FloatTensor<B>, Vec<FloatTensor<B>>) {
        (self.z.clone(), std::mem::take(&mut self.by_probes))
    }
}

/// The gradients of all layers, joined over their uses, and the rest of the gradients.
pub(super) fn of_layers<B: Backend>(
    kind: FactorKind,
    probed: &Probed,
    gradients: &mut std::vec::IntoIter<FloatTensor<B>>,
) -> Result<Vec<Rows<B>>, ExecuteError> {
    let layers = probed.layers.iter().map(|group| {
        let uses = group.uses.iter().zip(gradients.by_ref());
        let rows = uses.map(|(tap, g)| of_tap(probed, tap, &group.kind, g));
        let rows = required(Rows::joined(rows.collect()))?;
        Ok(if kind.reduces(group) { rows.over_places(false) } else { rows })
    });
    layers.collect()
}

/// The gradients of a tap of a layer by samples and places.
pub(super) fn of_tap<B: Backend>(
    probed: &Probed,
    tap: &Tap,
    kind: &LayerKind,
    g: FloatTensor<B>,
) -> Rows<B> {
    let conv = matches!(kind, LayerKind::Conv(_));
    Rows::of_gradient(kind, g).by_sample(probed.row_axis(tap, conv))
}

/// Parameters and zeros at all taps.
fn with_probes<B: Backend>(probed: &Probed, given: &Given<'_, B>) -> Vec<FloatTensor<B>> {
    let zeros = probed.taps().map(|tap| {
        let ty = probed.ty(tap);
        B::float_zeros(ty.shape.clone(), given.device, ty.dtype.into())
    });
    given.parameters.iter().cloned().chain(zeros).collect()
}

fn arguments<'a, B: Backend>(
    probed: &'a Probed,
    given: &Given<'a, B>,
    parameters: &'a [FloatTensor<B>],
) -> Arguments<'a, B> {
    Arguments { program: &probed.program, device: given.device, parameters, batch: given.batch }
}

/// The gradients of all taps in order, for one cotangent.
pub(super) fn pulled_back<B: Backend>(
    probed: &Probed,
    given: &Given<'_, B>,
    cotangent: FloatTensor<B>,
    apply: Apply<Autodiff<B>>,
) -> Result<Vec<FloatTensor<B>>, Error> {
    let parameters = with_probes(probed, given);
    pull_back(&arguments(probed, given, &parameters), cotangent, given.parameters.len(), apply)
}

/// The gradients of ⟨z, u⟩ with respect to the probes.
fn pull_back<B: Backend>(
    arguments: &Arguments<'_, B>,
    cotangent: FloatTensor<B>,
    own: usize,
    apply: Apply<Autodiff<B>>,
) -> Result<Vec<FloatTensor<B>>, Error> {
    let outputs = arguments.program.outputs().get(1).copied();
    let program = arguments.program.returning(outputs.into_iter().collect());
    let network = Arguments { program: &program, ..*arguments };
    let mut gradients = adjoint_product(&network, cotangent, apply)?;
    Ok(gradients.split_off(own))
}
