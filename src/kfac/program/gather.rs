//! The forward and backward passes that the moments are taken from. Depends on probes and cotangents; independent of
//! moments.

use burn_backend::{Slice, TensorMetadata, ops::FloatTensorOps, tensor::Device};
use burn_capture::CaptureBackend as B;

use super::{
    FactorKind, Probed, Tensor, blocks,
    rows::{self, one_of_many},
};
use crate::{
    derive::{
        Arguments, Inputs, Metric, adjoint_product, apply_recorded, gradient_at, many_in_front,
        required,
    },
    error::Error,
    execute::{self, ExecuteError, replay},
    graph::Graph,
    kfac::layers::{LayerGroup, LayerKind, Tap},
    tensor::{Operand, reshape},
};

type Rows = rows::Rows<B>;

/// A forward pass and the backward pass from the loss; what nobody reads of them is dead code. Others go back from the outputs.
pub(super) struct Passes<'a> {
    pub kind: FactorKind,
    pub probed: &'a Probed<'a>,
    pub device: Device<B>,
    /// The inputs of the loss program.
    pub given: &'a Inputs,
    /// The noise that targets are drawn with.
    noise: Option<Tensor>,
    /// The factor of all second moments of gradients; `None` without gradients.
    pub scale: Option<Tensor>,
    pub loss: Tensor,
    /// By the parameters.
    pub gradient: Vec<Tensor>,
    /// Inputs of the taps that have one.
    inputs: Vec<Operand<B>>,
    pub z: Tensor,
    /// The gradient of the loss by the probes.
    by_probes: Vec<Tensor>,
}

impl<'a> Passes<'a> {
    pub fn forward(
        (kind, probed): (FactorKind, &'a Probed<'a>),
        (device, given): (Device<B>, &'a Inputs),
        noise: Option<Tensor>,
    ) -> Result<Self, Error> {
        let arguments = Arguments {
            program: &probed.program,
            device: &device,
            parameters: &probed.leaves(given, &device),
            batch: &given.batch,
        };
        let whole = gradient_at(&arguments, apply_recorded)?;
        let mut outputs = whole.outputs.into_iter();
        let mut next =
            || -> Result<_, ExecuteError> { Ok(required(outputs.next())?.into_float()?) };
        let (loss, z) = (next()?, next()?);
        let (inputs, scale, mut gradient) = (outputs.collect(), None, whole.gradient);
        let by_probes = gradient.split_off(probed.parameters);
        Ok(Self { kind, probed, device, given, noise, scale, loss, gradient, inputs, z, by_probes })
    }

    /// The inputs of the blocks' taps that have one.
    pub fn inputs_of_blocks(&self) -> impl Iterator<Item = Operand<B>> {
        let of_layers = self.probed.network.layers.iter().map(|group| group.uses.len());
        self.inputs.iter().skip(of_layers.sum()).cloned()
    }

    /// The layers, each with the inputs of its uses.
    pub fn layers(&self) -> impl Iterator<Item = (&'a LayerGroup, Vec<Operand<B>>)> {
        let mut inputs = self.inputs.iter().cloned();
        let layers = self.probed.network.layers.iter();
        layers.map(move |group| (group, inputs.by_ref().take(group.uses.len()).collect()))
    }

    /// The gradients of all layers, joined over their uses, and those of all blocks, a row for each cotangent and sample,
    /// for some cotangents after others, which are multiplied by the square root of the scale.
    pub fn back(&self, mut visit: impl FnMut(Vec<Rows>, Vec<Rows>)) -> Result<(), Error> {
        let factors = blocks::factors(self)?;
        let mut each = |gradients: Vec<Tensor>| -> Result<(), Error> {
            let mut gradients = gradients.into_iter();
            let layers = self.of_layers(&mut gradients)?;
            visit(layers, blocks::gradients(self.probed, &factors, &mut gradients)?);
            Ok(())
        };
        let z = self.z.clone();
        // The columns of a square root of the curvature in the outputs, or draws, `[cotangents, …]`.
        let mut all = match self.kind.metric {
            None => return Ok(()),
            Some(Metric::Empirical) => {
                return each(self.by_probes.iter().cloned().map(one_of_many::<B>).collect());
            }
            Some(Metric::Exact(family)) => family.columns::<B>(&z),
            Some(Metric::Drawn { family, draws }) => {
                family.directions::<B>(draws, z, required(self.noise.clone())?)
            }
        };
        if let Some(scale) = self.scale.clone() {
            let root = reshape::<B>(B::float_sqrt(scale), &vec![1; all.shape().num_dims()]);
            all = B::float_mul(all, root);
        }
        let (adjoint, count) = (self.probed.adjoint()?, all.shape()[0]);
        let step = self.probed.together(count).max(1);
        (0..count).step_by(step).try_for_each(|start| {
            let slices = [Slice::from(start..count.min(start + step))];
            each(self.pulled_back(&adjoint, B::float_slice(all.clone(), &slices))?)
        })
    }

    /// Σ g gᵀ of the layers whose output gradients are the cotangents themselves, `[1, outputs, outputs]`: for these it is the
    /// curvature in the outputs, which takes no product for each cotangent.
    pub fn of_outputs(&self) -> Vec<Option<Tensor>> {
        let of = |(layer, is_own): (&LayerGroup, bool)| {
            let Some(Metric::Exact(family)) = self.kind.metric else { return None };
            if !is_own || self.kind.reduces(layer) {
                return None;
            }
            let total = one_of_many::<B>(family.total::<B>(self.z.clone()));
            let scale = reshape::<B>(self.scale.clone()?, &[1, 1, 1]);
            Some(B::float_mul(total, scale))
        };
        self.probed.network.layers.iter().zip(self.probed.at_outputs()).map(of).collect()
    }

    /// The gradients of ⟨z, u⟩ by the parameters.
    pub fn in_parameters(&self, cotangent: Tensor) -> Result<Vec<Tensor>, Error> {
        let z = required(self.probed.program.outputs().get(1).copied())?;
        let arguments = Arguments {
            program: &self.probed.program.returning(vec![z]),
            device: &self.device,
            parameters: &self.probed.leaves(self.given, &self.device),
            batch: &self.given.batch,
        };
        let mut gradients = adjoint_product(&arguments, cotangent, apply_recorded)?;
        gradients.truncate(self.probed.parameters);
        Ok(gradients)
    }

    /// The gradients of ⟨z, u⟩ at all taps in order, for stacked cotangents u, `[cotangents, …]`.
    pub fn pulled_back(&self, adjoint: &Graph, cotangents: Tensor) -> Result<Vec<Tensor>, Error> {
        let (count, own) = (cotangents.shape()[0], cotangents.shape()[1..].to_vec());
        let run = |program: &Graph, cotangents: Tensor| -> Result<Vec<Tensor>, Error> {
            let parameters = self.given.parameters.iter().cloned().map(Operand::Float);
            let inputs = parameters.chain(self.given.batch.iter().cloned());
            let inputs = inputs.chain([Operand::Float(cotangents)]).collect();
            let found = replay(program, &self.device, inputs, execute::apply)?;
            found.into_iter().map(|gradient| Ok(gradient.into_float()?)).collect()
        };
        if count > 1 {
            return run(&many_in_front(adjoint, 1, count), cotangents);
        }
        Ok(run(adjoint, reshape::<B>(cotangents, &own))?
            .into_iter()
            .map(one_of_many::<B>)
            .collect())
    }

    /// The gradients of all layers, joined over their uses, out of those of all taps.
    pub fn of_layers(
        &self,
        gradients: &mut impl Iterator<Item = Tensor>,
    ) -> Result<Vec<Rows>, ExecuteError> {
        let layers = self.probed.network.layers.iter().map(|group| {
            let uses = group.uses.iter().zip(gradients.by_ref());
            let rows = uses.map(|(tap, g)| of_tap(self.probed, tap, &group.kind, g));
            let rows = required(Rows::joined(rows.collect(), 1))?;
            Ok(if self.kind.reduces(group) { rows.over_places(false) } else { rows })
        });
        layers.collect()
    }
}

/// The gradients of a tap of a layer, by cotangents and samples, and places.
pub(super) fn of_tap(probed: &Probed<'_>, tap: &Tap, kind: &LayerKind, g: Tensor) -> Rows {
    let conv = matches!(kind, LayerKind::Conv(_));
    let mut shape = g.shape().to_vec();
    let cotangents = shape[0];
    if shape.len() > 2 {
        shape.remove(0);
        shape[0] *= cotangents;
    }
    let rows = Rows::of_gradient(kind, reshape::<B>(g, &shape));
    rows.by_sample(probed.row_axis(tap, conv), cotangents)
}
