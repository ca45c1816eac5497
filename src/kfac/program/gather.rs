//! The forward and backward passes that the moments are taken from. Depends on probes and cotangents; independent of
//! moments.

use burn_backend::{Shape, Slice, TensorMetadata, ops::FloatTensorOps};
use burn_capture::CaptureBackend;

use super::{
    FactorKind, Probed, ProgramInputs, Tensor, blocks,
    rows::{self, one_of_many},
};
use crate::{
    derive::{Arguments, Metric, apply_recorded, gradient_at, many_in_front, required},
    error::Error,
    execute::{self, ExecuteError, replay},
    graph::Graph,
    kfac::layers::{LayerGroup, LayerKind, Tap},
    tensor::Operand,
};

type Rows = rows::Rows<CaptureBackend>;

/// One cotangent as the first of several.
fn one(tensor: Tensor) -> Tensor {
    one_of_many::<CaptureBackend>(tensor)
}

/// A forward pass and the backward pass from the loss; what nobody reads of them is dead code. Others go back from the outputs.
pub(super) struct Passes<'a> {
    probed: &'a Probed,
    given: &'a ProgramInputs<'a>,
    pub loss: Tensor,
    /// By the parameters.
    pub gradient: Vec<Tensor>,
    /// Inputs of the uses of each layer.
    pub inputs: Vec<Vec<Operand<CaptureBackend>>>,
    /// Those of the blocks' taps that have one.
    of_blocks: Vec<Operand<CaptureBackend>>,
    z: Tensor,
    /// The gradient of the loss by the probes.
    by_probes: Vec<Tensor>,
}

impl<'a> Passes<'a> {
    pub fn forward(probed: &'a Probed, given: &'a ProgramInputs<'a>) -> Result<Self, Error> {
        let arguments = Arguments {
            program: &probed.program,
            device: given.device,
            parameters: &probed.leaves(given.inputs, given.device),
            batch: &given.inputs.batch,
        };
        let whole = gradient_at(&arguments, apply_recorded)?;
        let mut outputs = whole.outputs.into_iter();
        let mut next =
            || -> Result<_, ExecuteError> { Ok(required(outputs.next())?.into_float()?) };
        let (loss, z) = (next()?, next()?);
        let uses = probed.layers.iter().map(|group| group.uses.len());
        let inputs = uses.map(|uses| outputs.by_ref().take(uses).collect()).collect();
        let of_blocks = outputs.collect();
        let mut gradient = whole.gradient;
        let by_probes = gradient.split_off(probed.parameters);
        Ok(Self { probed, given, loss, gradient, inputs, of_blocks, z, by_probes })
    }

    /// The gradients of all layers, joined over their uses, and those of all blocks, a row for each cotangent and sample,
    /// for some cotangents after others.
    pub fn back(
        &self,
        kind: FactorKind,
        mut visit: impl FnMut(Vec<Rows>, Vec<Rows>),
    ) -> Result<(), Error> {
        let factors =
            blocks::factors(self.probed, self.given, &mut self.of_blocks.iter().cloned())?;
        let mut each = |gradients: Vec<Tensor>| -> Result<(), Error> {
            let mut gradients = gradients.into_iter();
            let layers = self.of_layers(kind, &mut gradients)?;
            visit(layers, blocks::gradients(self.probed, &factors, &mut gradients)?);
            Ok(())
        };
        match kind.metric {
            None => Ok(()),
            Some(Metric::Empirical) => each(self.by_probes.iter().cloned().map(one).collect()),
            Some(metric) => {
                let adjoint = self.probed.adjoint()?;
                let all = self.cotangents(metric)?;
                let count = all.shape()[0];
                let step = self.probed.together(count).max(1);
                (0..count).step_by(step).try_for_each(|start| {
                    let slices = [Slice::from(start..count.min(start + step))];
                    let some = CaptureBackend::float_slice(all.clone(), &slices);
                    each(self.pulled_back(&adjoint, some)?)
                })
            }
        }
    }

    /// Σ g gᵀ of the layers whose output gradients are the cotangents themselves, `[1, outputs, outputs]`: for these it is the
    /// curvature in the outputs, which takes no product for each cotangent.
    pub fn of_outputs(&self, kind: FactorKind) -> Vec<Option<Tensor>> {
        let of = |(layer, is_own): (&LayerGroup, bool)| {
            let Some(Metric::Exact(family)) = kind.metric else { return None };
            if !is_own || kind.reduces(layer) {
                return None;
            }
            let total = family.total::<CaptureBackend>(self.z.clone());
            let whole = [1].into_iter().chain(total.shape().iter().copied()).collect::<Vec<_>>();
            let total = CaptureBackend::float_reshape(total, Shape::from(whole));
            let scale = self.given.scale.clone()?;
            let scale = CaptureBackend::float_reshape(scale, Shape::from(vec![1; 3]));
            Some(CaptureBackend::float_mul(total, scale))
        };
        self.probed.layers.iter().zip(self.probed.at_outputs()).map(of).collect()
    }

    /// The gradients of ⟨z, u⟩ at all taps in order, for stacked cotangents u, `[cotangents, …]`.
    pub fn pulled_back(&self, adjoint: &Graph, cotangents: Tensor) -> Result<Vec<Tensor>, Error> {
        let (count, own) = (cotangents.shape()[0], cotangents.shape()[1..].to_vec());
        let run = |program: &Graph, cotangents: Tensor| -> Result<Vec<Tensor>, Error> {
            let parameters = self.given.inputs.parameters.iter().cloned().map(Operand::Float);
            let inputs = parameters.chain(self.given.inputs.batch.iter().cloned());
            let inputs = inputs.chain([Operand::Float(cotangents)]).collect();
            let found = replay(program, self.given.device, inputs, execute::apply)?;
            found.into_iter().map(|gradient| Ok(gradient.into_float()?)).collect()
        };
        if count > 1 {
            return run(&many_in_front(adjoint, 1, count), cotangents);
        }
        let own = CaptureBackend::float_reshape(cotangents, Shape::from(own));
        Ok(run(adjoint, own)?.into_iter().map(one).collect())
    }

    /// The gradients of all layers, joined over their uses, out of those of all taps.
    pub fn of_layers(
        &self,
        kind: FactorKind,
        gradients: &mut impl Iterator<Item = Tensor>,
    ) -> Result<Vec<Rows>, ExecuteError> {
        let layers = self.probed.layers.iter().map(|group| {
            let uses = group.uses.iter().zip(gradients.by_ref());
            let rows = uses.map(|(tap, g)| of_tap(self.probed, tap, &group.kind, g));
            let rows = required(Rows::joined(rows.collect(), 1))?;
            Ok(if kind.reduces(group) { rows.over_places(false) } else { rows })
        });
        layers.collect()
    }

    /// The columns of a square root of the curvature in the outputs, or draws, times the square root of the scale,
    /// `[cotangents, …]`.
    fn cotangents(&self, metric: Metric) -> Result<Tensor, ExecuteError> {
        let z = &self.z;
        let all = match metric {
            Metric::Drawn { family, draws } => {
                let noise = required(self.given.noise.clone())?;
                family.directions::<CaptureBackend>(draws, z.clone(), noise)
            }
            Metric::Exact(family) => family.columns::<CaptureBackend>(z),
            Metric::Empirical => required(None)?,
        };
        let Some(scale) = self.given.scale.clone() else {
            return Ok(all);
        };
        let ones = Shape::from(vec![1; all.shape().num_dims()]);
        let root = CaptureBackend::float_reshape(CaptureBackend::float_sqrt(scale), ones);
        Ok(CaptureBackend::float_mul(all, root))
    }
}

/// The gradients of a tap of a layer, by cotangents and samples, and places.
pub(super) fn of_tap(probed: &Probed, tap: &Tap, kind: &LayerKind, g: Tensor) -> Rows {
    let conv = matches!(kind, LayerKind::Conv(_));
    let mut shape = g.shape().to_vec();
    let cotangents = shape[0];
    if shape.len() > 2 {
        shape.remove(0);
        shape[0] *= cotangents;
    }
    let rows = Rows::of_gradient(kind, CaptureBackend::float_reshape(g, Shape::from(shape)));
    rows.by_sample(probed.row_axis(tap, conv), cotangents)
}
