//! The inputs of layers and their second moments. Independent of gradients.

use burn_backend::{
    Shape, TensorMetadata,
    ops::{FloatTensorOps, IntTensorOps},
    tensor::IntTensor,
};
use burn_capture::CaptureBackend as B;

use super::{
    Passes, Tensor,
    rows::{Rows, shares},
};
use crate::{
    derive::required,
    execute::ExecuteError,
    kfac::layers::{LayerGroup, LayerKind, Tap},
    tensor::{self, reshape},
};

type Operand = tensor::Operand<B>;

impl Passes<'_> {
    /// The mean of ā āᵀ over all uses of a weight, with a one behind every a where there is a bias, and a zero in uses
    /// without it; for an embedding whose places are not reduced, its diagonal.
    pub fn moment(&self, group: &LayerGroup, xs: Vec<Operand>) -> Result<Tensor, ExecuteError> {
        if self.kind.has_diagonal(group) {
            let (indices, width) = (self.indices(group, xs)?, group.shape[0]);
            let total = Shape::from([1, indices.shape().num_elements()]);
            let indices = B::int_reshape(indices, total);
            let shares = shares::<B>(indices, width, self.probed.dtype());
            return Ok(reshape::<B>(shares, &[width]));
        }
        let always = group.uses.iter().all(|tap| tap.bias.is_some());
        let rows = self.rows(group, xs, !always)?;
        Ok(match group.bias {
            Some(_) if always => rows.mean_with_ones(self.kind.in_panels),
            _ => rows.second_moment((rows.count().max(1) as f64).recip(), self.kind.in_panels),
        })
    }

    /// The inputs of all uses of a weight, with their ones or zeros for the bias where it is asked for.
    pub fn rows(
        &self,
        group: &LayerGroup,
        xs: Vec<Operand>,
        with_constants: bool,
    ) -> Result<Rows<B>, ExecuteError> {
        if group.kind == LayerKind::Embedding && self.kind.reduces(group) {
            let (indices, width) = (self.indices(group, xs)?, group.shape[0]);
            let samples = indices.shape()[0];
            let shares = shares::<B>(indices, width, self.probed.dtype());
            return Ok(Rows::Rows(reshape::<B>(shares, &[samples, 1, 1, width])));
        }
        let uses = group.uses.iter().zip(xs).map(|(tap, x)| {
            let rows = self.rows_of_tap(tap, (&group.kind, &group.shape), x)?;
            Ok(match group.bias {
                Some(_) if with_constants => {
                    rows.with_constant(if tap.bias.is_some() { 1.0 } else { 0.0 })
                }
                _ => rows,
            })
        });
        let rows = required(Rows::joined(uses.collect::<Result<_, ExecuteError>>()?, 1))?;
        Ok(if self.kind.reduces(group) { rows.over_places(true) } else { rows })
    }

    /// The inputs of one use, by samples and places; those of an embedding written out.
    pub fn rows_of_tap(
        &self,
        tap: &Tap,
        (kind, weight): (&LayerKind, &[usize]),
        x: Operand,
    ) -> Result<Rows<B>, ExecuteError> {
        let output = self.probed.ty(tap);
        if *kind == LayerKind::Embedding {
            return Ok(Rows::one_hot(self.indices_of_tap(tap, x)?, weight[0], output.dtype));
        }
        let (mut x, is_conv) = (x.into_float()?, matches!(kind, LayerKind::Conv(_)));
        if !is_conv && tap.once.is_none() {
            // An input that is broadcast in the product.
            let mut shape = output.shape.to_vec();
            if let (Some(last), Some(&width)) = (shape.last_mut(), x.shape().last()) {
                *last = width;
            }
            if x.shape().num_elements() != shape.iter().product::<usize>() {
                x = B::float_expand(x, Shape::from(shape));
            }
        }
        let axis = self.probed.row_axis(tap, is_conv);
        Ok(Rows::of_input(kind, x, weight).by_sample(axis, 1))
    }

    /// The rows that an embedding uses, over all its uses: `[samples, places]`.
    pub fn indices(
        &self,
        group: &LayerGroup,
        xs: Vec<Operand>,
    ) -> Result<IntTensor<B>, ExecuteError> {
        let uses =
            group.uses.iter().zip(xs).map(|(tap, indices)| self.indices_of_tap(tap, indices));
        let mut uses = uses.collect::<Result<Vec<_>, ExecuteError>>()?;
        if uses.len() < 2 {
            return required(uses.pop());
        }
        Ok(B::int_cat(uses, 1))
    }

    /// `[samples, places]`
    fn indices_of_tap(&self, tap: &Tap, indices: Operand) -> Result<IntTensor<B>, ExecuteError> {
        let indices = indices.into_int()?;
        let total = indices.shape().num_elements();
        let [samples, stride] = self.probed.row_axis(tap, false).unwrap_or([1, total]);
        let outer = total / (samples * stride).max(1);
        let split = B::int_reshape(indices, Shape::from([outer, samples, stride]));
        let first = if outer == 1 { split } else { B::int_swap_dims(split, 0, 1) };
        Ok(B::int_reshape(first, Shape::from([samples, outer * stride])))
    }
}
