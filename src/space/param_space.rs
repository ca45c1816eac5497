//! The space that a vector belongs to: layout, device and precision.

use std::{fmt, ops::Range, sync::Arc};

use burn::module::Module;
use burn_backend::{
    AutodiffBackend, Scalar, TensorData, TensorMetadata, ops::FloatTensorOps, tensor::Device,
};

use crate::tensor::{DefaultBackend, TensorBridge};

use super::{
    Inner, InnerFloat, ParamError, ParamLayout, ParamSubset, ParamVector, Precision, VectorError,
    expect::{block_precision, expect_device, expect_precision, expect_shape, expect_supported},
};

/// A space of vectors: which parameters there are ([`ParamLayout`]), on which device, and in which [`Precision`].
///
/// Every vector and every operator has a space, and a space makes vectors. Two spaces are equal if all three properties
/// are equal. Cloning is cheap.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::ParamSpace;
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?; // ℝ² in f64, on the default device
/// let x = space.vector(&[3.0, 4.0])?;
/// assert_eq!(x.norm()?, 5.0);
/// assert_eq!(x.add(&space.ones())?.to_vec()?, [4.0, 5.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Clone)]
pub struct ParamSpace<B: AutodiffBackend = DefaultBackend> {
    layout: Arc<ParamLayout>,
    device: Device<B>,
    precision: Precision,
}

impl<B: AutodiffBackend> ParamSpace<B> {
    /// The space of a layout on a device.
    ///
    /// # Errors
    /// [`VectorError::PrecisionUnsupported`] if the device does not compute in this precision,
    /// [`VectorError::AutodiffDevice`] if it records operations.
    #[inline(never)]
    pub fn new(
        layout: &Arc<ParamLayout>,
        device: &Device<B>,
        precision: Precision,
    ) -> Result<Self, VectorError> {
        expect_supported::<B>(device, precision)?;
        Ok(Self::known(layout, device, precision))
    }

    /// ℝⁿ as one block named `x`, in f64 on the backend's default device. [`cast`](Self::cast) changes the precision.
    ///
    /// # Errors
    /// [`ParamError::EmptyBlock`] if n is zero, [`ParamError::TooManyElements`]; within [`ParamError::Vector`], those of
    /// [`new`](Self::new).
    #[inline(never)]
    pub fn flat(len: usize) -> Result<Self, ParamError> {
        Self::on_default_device(&ParamLayout::flat(len)?)
    }

    /// Blocks with names and shapes, in f64 on the backend's default device.
    ///
    /// # Errors
    /// Those of [`ParamLayout::from_shapes`]; within [`ParamError::Vector`], those of [`new`](Self::new).
    ///
    /// # Example
    /// ```
    /// use burn::backend::{Autodiff, Flex};
    /// use burn_curvature::{ParamSpace, Precision};
    ///
    /// let space = ParamSpace::<Autodiff<Flex>>::from_shapes([("w", vec![4, 3]), ("b", vec![3])])?;
    /// assert_eq!((space.len(), space.precision()), (15, Precision::F64));
    /// # Ok::<(), burn_curvature::Error>(())
    /// ```
    pub fn from_shapes<N, S>(shapes: impl IntoIterator<Item = (N, S)>) -> Result<Self, ParamError>
    where
        N: Into<String>,
        S: Into<Vec<usize>>,
    {
        Self::on_default_device(&ParamLayout::from_shapes(shapes)?)
    }

    /// A space of a device that is known to compute in the precision.
    pub(super) fn known(
        layout: &Arc<ParamLayout>,
        device: &Device<B>,
        precision: Precision,
    ) -> Self {
        Self { layout: layout.clone(), device: device.clone(), precision }
    }

    fn on_default_device(layout: &Arc<ParamLayout>) -> Result<Self, ParamError> {
        Ok(Self::new(layout, &Default::default(), Precision::F64)?)
    }

    /// The space of a model's trainable parameters, on their device and in their precision.
    ///
    /// # Errors
    /// Those of [`ParamVector::from_module`].
    pub fn of<M: Module>(model: &M) -> Result<Self, ParamError>
    where
        B::InnerBackend: TensorBridge,
    {
        Ok(ParamVector::from_module(model)?.space().clone())
    }

    /// Names, shapes and order of the parameters.
    pub fn layout(&self) -> &Arc<ParamLayout> {
        &self.layout
    }

    /// The device of the vectors.
    pub fn device(&self) -> &Device<B> {
        &self.device
    }

    /// Floating-point format of the vectors.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Dimension: the number of elements of a vector.
    #[allow(clippy::len_without_is_empty)] // A layout is never empty.
    pub fn len(&self) -> usize {
        self.layout.len()
    }

    /// The same layout and device in another precision.
    ///
    /// # Errors
    /// [`VectorError::PrecisionUnsupported`].
    #[inline(never)]
    pub fn cast(&self, precision: Precision) -> Result<Self, VectorError> {
        Self::new(&self.layout, &self.device, precision)
    }

    /// The same device and precision with another layout.
    #[inline(never)]
    pub fn with_layout(&self, layout: &Arc<ParamLayout>) -> Self {
        Self::known(layout, &self.device, self.precision)
    }

    /// The subspace of the selected parameters.
    ///
    /// # Errors
    /// [`VectorError::LayoutMismatch`] if the selection is from another layout.
    #[inline(never)]
    pub fn restricted(&self, subset: &ParamSubset) -> Result<Self, VectorError> {
        self.layout.expect_same(subset.whole())?;
        Ok(self.with_layout(subset.layout()))
    }

    /// The zero vector.
    pub fn zeros(&self) -> ParamVector<B> {
        self.full(0.0)
    }

    /// The vector of ones.
    pub fn ones(&self) -> ParamVector<B> {
        self.full(1.0)
    }

    /// The vector with one value everywhere.
    #[inline(never)]
    pub fn full(&self, value: f64) -> ParamVector<B> {
        self.build(|_, shape| {
            let value = Scalar::Float(value);
            Inner::<B>::float_full(shape.into(), value, &self.device, self.precision.dtype())
        })
    }

    /// The vector with the given elements, in flat order.
    ///
    /// # Errors
    /// [`VectorError::LengthMismatch`].
    #[inline(never)]
    pub fn vector(&self, values: &[f64]) -> Result<ParamVector<B>, VectorError> {
        self.expect_len(values.len())?;
        Ok(self.filled(values))
    }

    /// The vector with the given elements, as many as it has.
    pub(super) fn filled(&self, values: &[f64]) -> ParamVector<B> {
        self.build(|range, shape| {
            let values = values.get(range).unwrap_or_default();
            let data = match self.precision {
                Precision::F64 => TensorData::new(values.to_vec(), shape),
                Precision::F32 => {
                    let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
                    TensorData::new(values, shape)
                }
            };
            Inner::<B>::float_from_data(data, &self.device)
        })
    }

    /// The vector with the given tensors, without a copy.
    ///
    /// # Shapes
    /// - `blocks[i]`: the shape of block i of the layout.
    ///
    /// # Errors
    /// [`VectorError::BlockCount`], [`VectorError::BlockShape`], [`VectorError::ElementType`],
    /// [`VectorError::PrecisionMismatch`], [`VectorError::DeviceMismatch`].
    #[inline(never)]
    pub fn from_blocks(&self, blocks: Vec<InnerFloat<B>>) -> Result<ParamVector<B>, VectorError> {
        let (expected, found) = (self.layout.blocks().len(), blocks.len());
        if found != expected {
            return Err(VectorError::BlockCount { expected, found });
        }
        for (block, tensor) in self.layout.blocks().iter().zip(&blocks) {
            expect_shape::<B>(block, tensor)?;
            expect_precision(self.precision, block_precision::<B>(block, tensor)?)?;
            expect_device(&self.device, &tensor.device())?;
        }
        Ok(ParamVector::from_parts(self.clone(), blocks))
    }

    /// Checks that `found` is this space.
    ///
    /// # Errors
    /// [`VectorError::LayoutMismatch`], [`VectorError::PrecisionMismatch`], [`VectorError::DeviceMismatch`].
    pub fn expect_same(&self, found: &Self) -> Result<(), VectorError> {
        self.layout.expect_same(&found.layout)?;
        self.expect_format(found)
    }

    /// Checks that `found` has this device and precision, whatever its layout.
    pub(crate) fn expect_format(&self, found: &Self) -> Result<(), VectorError> {
        expect_precision(self.precision, found.precision)?;
        expect_device(&self.device, &found.device)
    }

    /// Checks that a list has one value per element.
    pub(super) fn expect_len(&self, found: usize) -> Result<(), VectorError> {
        if found == self.len() {
            return Ok(());
        }
        Err(VectorError::LengthMismatch { expected: self.len(), found })
    }

    /// From tensors of a range of the elements and a shape: of every block, or of all at once.
    fn build(
        &self,
        mut tensor: impl FnMut(Range<usize>, Vec<usize>) -> InnerFloat<B>,
    ) -> ParamVector<B> {
        if !self.keeps_blocks() {
            return ParamVector::from_flat(self.clone(), tensor(0..self.len(), vec![self.len()]));
        }
        let blocks = self.layout.blocks().iter();
        let blocks = blocks.map(|block| tensor(block.range(), block.shape().to_vec())).collect();
        ParamVector::from_parts(self.clone(), blocks)
    }
}

impl<B: AutodiffBackend> PartialEq for ParamSpace<B> {
    fn eq(&self, other: &Self) -> bool {
        (&self.layout, self.precision) == (&other.layout, other.precision)
            && self.device == other.device
    }
}

impl<B: AutodiffBackend> Eq for ParamSpace<B> {}

/// Length, precision and device.
impl<B: AutodiffBackend> fmt::Debug for ParamSpace<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParamSpace")
            .field("len", &self.len())
            .field("blocks", &self.layout.blocks().len())
            .field("precision", &self.precision)
            .field("device", &self.device)
            .finish()
    }
}
