//! A vector of θ-space on a device. `param_space` makes it, `algebra` computes with it.

use crate::tensor::DefaultBackend;
use std::{fmt, sync::Arc};

use burn_backend::{AutodiffBackend, TensorMetadata, tensor::Device};

use super::{
    InnerFloat, ParamLayout, ParamSpace, Precision, VectorError,
    elements::Elements,
    expect::{block_precision, expect_device, expect_plain},
};

/// A vector over the trainable parameters of a model.
///
/// Its [`blocks`](Self::blocks) have the shapes of the parameters. On Flex a vector of more than 4096 elements is
/// stored as these blocks; smaller vectors, and all vectors on other backends, where every operation has a fixed cost,
/// are stored as one flat tensor with the blocks as slices. Blocks that come from a program or a model are concatenated
/// when the vector is first used in arithmetic.
///
/// Layout, device and precision are those of its [`ParamSpace`], which also makes vectors. Cloning is cheap. Methods that
/// take `self` by value let the backend work in place if no clone of the tensors is alive.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::ParamSpace;
///
/// let space = ParamSpace::<Autodiff<Flex>>::from_shapes([("w", vec![2, 2]), ("b", vec![2])])?;
/// let x = space.vector(&[1., 2., 3., 4., 5., 6.])?;
/// let y = space.ones().axpy(2.0, &x)?; // y = 1 + 2 x
/// assert_eq!(y.to_vec()?, [3., 5., 7., 9., 11., 13.]);
/// assert_eq!(x.dot(&x)?, 91.0);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Clone)]
pub struct ParamVector<B: AutodiffBackend = DefaultBackend> {
    space: ParamSpace<B>,
    elements: Elements<B>,
}

impl<B: AutodiffBackend> ParamVector<B> {
    /// Takes one tensor per block, without a copy. Device and precision are those of the tensors.
    ///
    /// # Shapes
    /// - `blocks[i]`: the shape of block i of the layout.
    ///
    /// # Errors
    /// [`VectorError::BlockCount`], [`VectorError::BlockShape`], [`VectorError::ElementType`],
    /// [`VectorError::AutodiffDevice`]; [`VectorError::PrecisionMismatch`] and [`VectorError::DeviceMismatch`] between the
    /// blocks.
    #[inline(never)]
    pub fn from_blocks(
        layout: &Arc<ParamLayout>,
        blocks: Vec<InnerFloat<B>>,
    ) -> Result<Self, VectorError> {
        let (Some(first), Some(block)) = (blocks.first(), layout.blocks().first()) else {
            return Err(VectorError::BlockCount {
                expected: layout.blocks().len(),
                found: blocks.len(),
            });
        };
        let device = first.device();
        expect_plain::<B>(&device)?;
        let precision = block_precision::<B>(block, first)?;
        ParamSpace::known(layout, &device, precision).from_blocks(blocks)
    }

    /// From blocks that are known to fit the space.
    pub(super) fn from_parts(space: ParamSpace<B>, blocks: Vec<InnerFloat<B>>) -> Self {
        Self { space, elements: Elements::of_blocks(blocks) }
    }

    /// From a tensor of shape `[len]` that is known to fit the space.
    pub(super) fn from_flat(space: ParamSpace<B>, flat: InnerFloat<B>) -> Self {
        Self { elements: Elements::of_flat(flat, &space), space }
    }

    /// The same elements under another layout of the same shapes, such as that of another model of the same kind.
    ///
    /// # Errors
    /// [`VectorError::LayoutMismatch`] if the shapes differ.
    #[inline(never)]
    pub fn with_layout(self, layout: &Arc<ParamLayout>) -> Result<Self, VectorError> {
        let shapes = |layout: &ParamLayout| -> Vec<Vec<usize>> {
            layout.blocks().iter().map(|b| b.shape().to_vec()).collect()
        };
        if shapes(layout) != shapes(self.layout()) {
            layout.expect_same(self.layout())?;
        }
        Ok(Self { space: self.space.with_layout(layout), elements: self.elements })
    }

    /// Layout, device and precision.
    pub fn space(&self) -> &ParamSpace<B> {
        &self.space
    }

    /// Names, shapes and order of the parameters.
    pub fn layout(&self) -> &Arc<ParamLayout> {
        self.space.layout()
    }

    /// One tensor per parameter.
    pub fn blocks(&self) -> &[InnerFloat<B>] {
        self.elements.blocks(self.space.layout())
    }

    /// One tensor per parameter, by value.
    pub fn into_blocks(self) -> Vec<InnerFloat<B>> {
        self.elements.into_blocks(self.space.layout())
    }

    /// Number of elements.
    #[allow(clippy::len_without_is_empty)] // A vector is never empty.
    pub fn len(&self) -> usize {
        self.space.len()
    }

    /// The device that holds the elements.
    pub fn device(&self) -> &Device<B> {
        self.space.device()
    }

    /// Floating-point format of the elements.
    pub fn precision(&self) -> Precision {
        self.space.precision()
    }

    /// Checks that another vector belongs to the same space.
    pub(crate) fn expect_like(&self, other: &Self) -> Result<(), VectorError> {
        self.space.expect_same(&other.space)
    }

    /// Checks that another vector has this precision and device, whatever its layout.
    pub(crate) fn expect_format(&self, other: &Self) -> Result<(), VectorError> {
        self.space.expect_format(&other.space)
    }

    /// Checks that something else is on the device of this vector.
    pub(crate) fn expect_device(&self, found: &Device<B>) -> Result<(), VectorError> {
        expect_device(self.device(), found)
    }

    /// Blocks on the device and in the precision of this vector, which the caller has made to fit the layout.
    pub(crate) fn rebuilt(&self, layout: Arc<ParamLayout>, blocks: Vec<InnerFloat<B>>) -> Self {
        Self::from_parts(self.space.with_layout(&layout), blocks)
    }

    /// The tensors that arithmetic works on: the blocks, or one of all elements.
    pub(super) fn tensors(&self) -> &[InnerFloat<B>] {
        self.elements.tensors(&self.space)
    }

    /// The same, to be changed in place into others that fit.
    pub(super) fn tensors_mut(&mut self) -> &mut [InnerFloat<B>] {
        self.elements.tensors_mut(&self.space)
    }

    /// The same vector with other [`tensors`](Self::tensors), of the same shapes. They are moved, so that the backend
    /// can reuse their memory.
    pub(super) fn map_tensors(self, op: impl FnMut(InnerFloat<B>) -> InnerFloat<B>) -> Self {
        let Self { space, elements } = self;
        if space.keeps_blocks() {
            let blocks = elements.into_blocks(space.layout()).into_iter().map(op).collect();
            return Self::from_parts(space, blocks);
        }
        let flat = elements.into_flat(&space);
        let [flat] = [flat].map(op);
        Self::from_flat(space, flat)
    }

    /// The same elements as a vector of another space, whose layout is the same.
    pub(super) fn in_space(self, space: ParamSpace<B>) -> Self {
        Self { space, ..self }
    }

    /// One tensor of shape `[len]`, in the order of the layout.
    pub(crate) fn flat_tensor(&self) -> InnerFloat<B> {
        self.elements.flat(&self.space)
    }
}

/// Length, precision and device; no element is read.
impl<B: AutodiffBackend> fmt::Debug for ParamVector<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParamVector").field("space", &self.space).finish_non_exhaustive()
    }
}
