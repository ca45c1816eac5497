//! The passes forward and back that the moments are taken from. Knows probes and cotangents, no moments.

use burn_autodiff::Autodiff;
use burn_backend::{Backend, Shape, Slice, TensorMetadata, tensor::FloatTensor};

use super::{FactorKind, Given, Probed, blocks, rows::Rows};
use crate::{
    derive::{Apply, Arguments, Metric, adjoint_product, gradient_at, required},
    error::Error,
    execute::ExecuteError,
    kfac::layers::{LayerKind, Tap},
    tensor::Operand,
};

/// A pass forward and the pass back from the loss; what nobody reads of them is dead code. Others go back from the outputs.
pub(super) struct Passes<'a, B: Backend> {
    probed: &'a Probed,
    given: &'a Given<'a, B>,
    apply: Apply<Autodiff<B>>,
    /// Parameters and zeros at all taps.
    parameters: Vec<FloatTensor<B>>,
    pub loss: FloatTensor<B>,
    /// By the parameters.
    pub gradient: Vec<FloatTensor<B>>,
    /// Inputs of the uses of each layer.
    pub inputs: Vec<Vec<Operand<B>>>,
    /// Those of the blocks' taps that have one.
    of_blocks: Vec<Operand<B>>,
    z: FloatTensor<B>,
    /// The gradient of the loss by the probes.
    by_probes: Vec<FloatTensor<B>>,
}

impl<'a, B: Backend> Passes<'a, B> {
    pub fn forward(
        probed: &'a Probed,
        given: &'a Given<'a, B>,
        apply: Apply<Autodiff<B>>,
    ) -> Result<Self, Error> {
        let zeros = probed.taps().map(|tap| {
            let ty = probed.ty(tap);
            B::float_zeros(ty.shape.clone(), given.device, ty.dtype.into())
        });
        let parameters: Vec<_> = given.parameters.iter().cloned().chain(zeros).collect();
        let whole = gradient_at(&arguments(probed, given, &parameters), apply)?;
        let mut outputs = whole.outputs.into_iter();
        let mut next =
            || -> Result<_, ExecuteError> { Ok(required(outputs.next())?.into_float()?) };
        let (loss, z) = (next()?, next()?);
        let uses = probed.layers.iter().map(|group| group.uses.len());
        let inputs = uses.map(|uses| outputs.by_ref().take(uses).collect()).collect();
        let of_blocks = outputs.collect();
        let mut gradient = whole.gradient;
        let by_probes = gradient.split_off(given.parameters.len());
        Ok(Self {
            probed,
            given,
            apply,
            parameters,
            loss,
            gradient,
            inputs,
            of_blocks,
            z,
            by_probes,
        })
    }

    /// The gradients of all layers, joined over their uses, and those of all blocks, a row for each sample, for one
    /// cotangent after another.
    pub fn back(
        &self,
        kind: FactorKind,
        mut visit: impl FnMut(Vec<Rows<B>>, Vec<Rows<B>>),
    ) -> Result<(), Error> {
        let inputs = blocks::inputs_of(self.probed, &mut self.of_blocks.iter().cloned())?;
        let mut each = |gradients: Vec<FloatTensor<B>>| {
            let mut gradients = gradients.into_iter();
            let layers = self.of_layers(kind, &mut gradients)?;
            visit(layers, blocks::gradients(self.probed, &inputs, &mut gradients)?);
            Ok(())
        };
        match kind.metric {
            None => Ok(()),
            Some(Metric::Empirical) => each(self.by_probes.clone()),
            Some(metric) => {
                let cotangents = self.cotangents(metric)?.into_iter();
                cotangents.map(|cotangent| self.pulled_back(cotangent)).try_for_each(|g| each(g?))
            }
        }
    }

    /// The gradients of ⟨z, u⟩ with respect to all taps in order, for one cotangent u.
    pub fn pulled_back(&self, cotangent: FloatTensor<B>) -> Result<Vec<FloatTensor<B>>, Error> {
        let outputs = self.probed.program.outputs().get(1).copied();
        let program = self.probed.program.returning(outputs.into_iter().collect());
        let arguments = arguments(self.probed, self.given, &self.parameters);
        let network = Arguments { program: &program, ..arguments };
        let mut gradients = adjoint_product(&network, cotangent, self.apply)?;
        Ok(gradients.split_off(self.given.parameters.len()))
    }

    /// The gradients of all layers, joined over their uses, out of those of all taps.
    pub fn of_layers(
        &self,
        kind: FactorKind,
        gradients: &mut impl Iterator<Item = FloatTensor<B>>,
    ) -> Result<Vec<Rows<B>>, ExecuteError> {
        let layers = self.probed.layers.iter().map(|group| {
            let uses = group.uses.iter().zip(gradients.by_ref());
            let rows = uses.map(|(tap, g)| of_tap(self.probed, tap, &group.kind, g));
            let rows = required(Rows::joined(rows.collect()))?;
            Ok(if kind.reduces(group) { rows.over_places(false) } else { rows })
        });
        layers.collect()
    }

    /// A square root of the curvature in the outputs, column by column, or draws, times the square root of the scale.
    fn cotangents(&self, metric: Metric) -> Result<Vec<FloatTensor<B>>, ExecuteError> {
        let (z, noise) = (&self.z, self.given.noise.clone());
        let all: Vec<_> = match metric {
            Metric::Empirical => Vec::new(),
            Metric::Exact(family) => family.columns::<B>(z),
            Metric::Drawn { family, draws } => {
                let directions = family.directions::<B>(draws, z.clone(), required(noise)?);
                let one = |draw: usize| {
                    let slices = [Slice::from(draw..draw + 1)];
                    let slice = B::float_slice(directions.clone(), &slices);
                    B::float_reshape(slice, z.shape())
                };
                (0..draws).map(one).collect()
            }
        };
        let Some(scale) = self.given.scale.clone() else {
            return Ok(all);
        };
        let ones = Shape::from(vec![1; z.shape().num_dims()]);
        let root = B::float_reshape(B::float_sqrt(scale), ones);
        Ok(all.into_iter().map(|cotangent| B::float_mul(cotangent, root.clone())).collect())
    }
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

fn arguments<'a, B: Backend>(
    probed: &'a Probed,
    given: &Given<'a, B>,
    parameters: &'a [FloatTensor<B>],
) -> Arguments<'a, B> {
    Arguments { program: &probed.program, device: given.device, parameters, batch: given.batch }
}
