//! How the elements of a vector are kept: in one tensor, or in one for each block.
//!
//! A device is handed one operation at a time, and each costs the same however few elements it works on. There a vector is
//! one flat tensor, so that a sum or a scalar product is one operation and not one for each parameter; programs get the
//! blocks as slices of it. In memory that this process reads itself (Flex), the loops of `host` go over any number of
//! tensors in one pass; there the blocks stay as they are, and nothing is copied. A vector of few elements is flat there
//! too: to make and drop one tensor for each parameter would take longer than to copy all of them.

use std::{slice, sync::OnceLock};

use burn_backend::{AutodiffBackend, Slice, ops::FloatTensorOps};

use super::{Inner, InnerFloat, ParamLayout, ParamSpace, host};
use crate::tensor::reshape;
#[cfg(feature = "flex")]
use crate::tensor::spare;

/// Elements up to which a vector is flat on every device.
const FEW: usize = 1 << 12;

/// The elements of a vector, in one form or both. At least one of them is there; on a device, the other is made when it is
/// first asked for.
#[derive(Clone)]
pub(super) struct Elements<B: AutodiffBackend> {
    /// Shape `[len]`.
    flat: OnceLock<InnerFloat<B>>,
    /// One tensor per block of the layout, of its shape.
    blocks: OnceLock<Vec<InnerFloat<B>>>,
}

impl<B: AutodiffBackend> Elements<B> {
    /// From one tensor per block.
    pub fn of_blocks(blocks: Vec<InnerFloat<B>>) -> Self {
        Self { flat: OnceLock::new(), blocks: OnceLock::from(blocks) }
    }

    /// From one tensor of shape `[len]`, in the form that the device of a space suits.
    pub fn of_flat(flat: InnerFloat<B>, space: &ParamSpace<B>) -> Self {
        if space.keeps_blocks() {
            return Self::of_blocks(cut::<B>(space.layout(), &flat));
        }
        Self { flat: OnceLock::from(flat), blocks: OnceLock::new() }
    }

    /// One tensor per block.
    pub fn blocks(&self, layout: &ParamLayout) -> &[InnerFloat<B>] {
        self.blocks.get_or_init(|| match self.flat.get() {
            Some(flat) => cut::<B>(layout, flat),
            None => Vec::new(), // Does not happen: there is one form at least.
        })
    }

    /// One tensor per block, by value.
    pub fn into_blocks(mut self, layout: &ParamLayout) -> Vec<InnerFloat<B>> {
        match (self.blocks.take(), self.flat.take()) {
            (Some(blocks), _) => blocks,
            (None, Some(flat)) => cut::<B>(layout, &flat),
            (None, None) => Vec::new(), // Does not happen, as above.
        }
    }

    /// One tensor of shape `[len]`. It is kept where vectors are flat.
    pub fn flat(&self, space: &ParamSpace<B>) -> InnerFloat<B> {
        if space.keeps_blocks() {
            let joined = || joined::<B>(space.layout(), self.blocks(space.layout()));
            return self.flat.get().cloned().unwrap_or_else(joined);
        }
        self.kept_flat(space.layout()).clone()
    }

    /// The tensors that arithmetic works on: the blocks, or one of all elements.
    pub fn tensors(&self, space: &ParamSpace<B>) -> &[InnerFloat<B>] {
        if space.keeps_blocks() {
            return self.blocks(space.layout());
        }
        slice::from_ref(self.kept_flat(space.layout()))
    }

    /// The same, to be changed in place. Drops the other form.
    pub fn tensors_mut(&mut self, space: &ParamSpace<B>) -> &mut [InnerFloat<B>] {
        self.tensors(space);
        if space.keeps_blocks() {
            self.flat.take();
            return self.blocks.get_mut().map_or(&mut [], Vec::as_mut_slice);
        }
        self.blocks.take();
        self.flat.get_mut().map_or(&mut [], slice::from_mut)
    }

    fn kept_flat(&self, layout: &ParamLayout) -> &InnerFloat<B> {
        self.flat.get_or_init(|| joined::<B>(layout, self.blocks(layout)))
    }

    /// One tensor of shape `[len]`, by value: the blocks are dropped, so that the backend can reuse their memory.
    pub fn into_flat(mut self, space: &ParamSpace<B>) -> InnerFloat<B> {
        match (self.flat.take(), self.blocks.take()) {
            (Some(flat), _) => flat,
            (None, blocks) => joined::<B>(space.layout(), blocks.as_deref().unwrap_or_default()),
        }
    }
}

/// Memory of blocks serves the next vectors.
#[cfg(feature = "flex")]
impl<B: AutodiffBackend> Drop for Elements<B> {
    fn drop(&mut self) {
        if self.blocks.get().is_some_and(|blocks| blocks.iter().any(spare::serves)) {
            self.blocks.take().into_iter().flatten().for_each(spare::leave);
        }
    }
}

impl<B: AutodiffBackend> ParamSpace<B> {
    /// Whether vectors keep one tensor per block: many elements that this process reads itself.
    pub(super) fn keeps_blocks(&self) -> bool {
        self.layout().blocks().len() == 1 || (self.len() > FEW && self.is_in_memory())
    }

    /// Whether this process reads the elements of vectors itself.
    pub(super) fn is_in_memory(&self) -> bool {
        host::holds::<Inner<B>>(self.device())
    }

    /// Whether the device is this process's processor, on Flex or ndarray.
    pub(crate) fn is_on_processor(&self) -> bool {
        host::is_processor::<Inner<B>>(self.device())
    }
}

/// The blocks of a layout, as slices of a tensor of shape `[len]`.
fn cut<B: AutodiffBackend>(layout: &ParamLayout, flat: &InnerFloat<B>) -> Vec<InnerFloat<B>> {
    if let Some(blocks) = host::cut::<Inner<B>>(layout, flat) {
        return blocks;
    }
    let blocks = layout.blocks().iter().map(|block| {
        let part = if block.len() == layout.len() {
            flat.clone()
        } else {
            Inner::<B>::float_slice(flat.clone(), &[Slice::from(block.range())])
        };
        reshape::<Inner<B>>(part, block.shape())
    });
    blocks.collect()
}

/// The blocks of a layout as one tensor of shape `[len]`: one concatenation.
fn joined<B: AutodiffBackend>(layout: &ParamLayout, blocks: &[InnerFloat<B>]) -> InnerFloat<B> {
    if blocks.len() > 1
        && let Some(flat) = host::joined::<Inner<B>>(layout, blocks)
    {
        return flat;
    }
    let parts = layout.blocks().iter().zip(blocks);
    let parts = parts.map(|(block, tensor)| reshape::<Inner<B>>(tensor.clone(), &[block.len()]));
    let mut parts: Vec<_> = parts.collect();
    match parts.len() {
        1 => parts.remove(0),
        _ => Inner::<B>::float_cat(parts, 0),
    }
}
