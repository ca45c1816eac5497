//! The passes forward and back that the moments are taken from. Knows probes and cotangents, no moments.

use burn_autodiff::Autodiff;
use burn_backend::{Backend, tensor::FloatTensor};

use super::{FactorKind, Given, Probed, cotangents::cotangents, rows::Rows};
use crate::{
    derive::{Apply, Arguments, adjoint_product, gradient_at, required},
    error::Error,
    execute::ExecuteError,
    tensor::Operand,
};

/// What a pass forward and the pass back from the loss leave.
pub(super) struct Forward<B: Backend> {
    pub loss: FloatTensor<B>,
    /// By the parameters.
    pub gradient: Vec<FloatTensor<B>>,
    /// Inputs of every use, group by group.
    pub inputs: Vec<Vec<Operand<B>>>,
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
    let mut outputs = whole.outputs.into_iter();
    let mut next = || -> Result<_, ExecuteError> { Ok(required(outputs.next())?.into_float()?) };
    let (loss, z) = (next()?, next()?);
    let inputs =
        probed.groups.iter().map(|group| outputs.by_ref().take(group.uses.len()).collect());
    let inputs = inputs.collect();
    let mut gradient = whole.gradient;
    let by_probes = gradient.split_off(given.parameters.len());
    Ok(Forward { loss, gradient, inputs, z, by_probes })
}

/// The gradients of the outputs of every group, joined over its uses, for one cotangent after another.
pub(super) fn backward<B: Backend>(
    kind: FactorKind,
    probed: &Probed,
    given: &Given<'_, B>,
    forward: &mut Forward<B>,
    apply: Apply<Autodiff<B>>,
    mut visit: impl FnMut(usize, Rows<B>),
) -> Result<(), Error> {
    let mut hand_over = |gradients: Vec<FloatTensor<B>>| {
        let mut gradients = gradients.into_iter();
        for (position, group) in probed.groups.iter().enumerate() {
            let uses = gradients.by_ref().take(group.uses.len());
            let rows = uses.map(|g| Rows::of_gradient(&group.first.kind, g));
            let rows = required(Rows::joined(rows.collect()))?;
            visit(
                position,
                match kind.reduces(group) {
                    true => rows.over_places(false),
                    false => rows,
                },
            );
        }
        Ok(())
    };
    let parameters = with_probes(probed, given);
    let arguments = arguments(probed, given, &parameters);
    let noise = given.noise.clone();
    let Some(metric) = kind.metric else {
        return Ok(());
    };
    match cotangents::<B>(metric, &forward.z, noise, given.scale.clone())? {
        None => hand_over(std::mem::take(&mut forward.by_probes)),
        Some(cotangents) => cotangents.into_iter().try_for_each(|cotangent| {
            let own = given.parameters.len();
            hand_over(pull_back(&arguments, cotangent, own, apply)?)
        }),
    }
}

/// Parameters and zeros at the outputs of all layers.
fn with_probes<B: Backend>(probed: &Probed, given: &Given<'_, B>) -> Vec<FloatTensor<B>> {
    let zeros = probed.probed.iter().map(|&value| {
        let ty = probed.program.value(value);
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
