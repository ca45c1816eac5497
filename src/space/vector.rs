//! A vector of θ-space on a device: what it is and how it is made. Its arithmetic is in `algebra`.

use std::{fmt, sync::Arc};

use burn_backend::{
    AutodiffBackend, Backend, Scalar, TensorData, TensorMetadata, ops::FloatTensorOps,
    tensor::Device,
};

use super::{Inner, InnerFloat, ParamBlock, ParamLayout, Precision, VectorError};

/// A vector with one number for each trainable parameter of a model, kept as one tensor per parameter.
///
/// The tensors have the shapes of the parameters, so that they enter programs and leave models without a copy. All
/// are on one device and in one [`Precision`]. Cloning is cheap. Methods that take `self` by value let the backend
/// work in place when nobody else holds the tensors.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{ParamLayout, ParamVector, Precision};
///
/// let layout = ParamLayout::from_shapes([("w", vec![2, 2]), ("b", vec![2])])?;
/// let device = Default::default();
/// let x = ParamVector::<Autodiff<Flex>>::from_vec(&layout, &[1., 2., 3., 4., 5., 6.], &device, Precision::F64)?;
/// let y = x.ones_like().axpy(2.0, &x)?; // y = 1 + 2 x
/// assert_eq!(y.to_vec()?, [3., 5., 7., 9., 11., 13.]);
/// assert_eq!(x.dot(&x)?, 91.0);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Clone)]
pub struct ParamVector<B: AutodiffBackend> {
    layout: Arc<ParamLayout>,
    blocks: Vec<InnerFloat<B>>,
    device: Device<B>,
    precision: Precision,
}

impl<B: AutodiffBackend> ParamVector<B> {
    /// Takes one tensor per block, without a copy.
    ///
    /// # Shapes
    /// - `blocks[i]`: the shape of block i of the layout.
    ///
    /// # Errors
    /// [`VectorError::BlockCount`], [`VectorError::BlockShape`], [`VectorError::ElementType`],
    /// [`VectorError::AutodiffDevice`]; [`VectorError::PrecisionMismatch`] and [`VectorError::DeviceMismatch`] between the
    /// blocks.
    pub fn from_blocks(
        layout: &Arc<ParamLayout>,
        blocks: Vec<InnerFloat<B>>,
    ) -> Result<Self, VectorError> {
        let count =
            VectorError::BlockCount { expected: layout.blocks().len(), found: blocks.len() };
        let first = blocks.first().ok_or_else(|| count.clone())?;
        if blocks.len() != layout.blocks().len() {
            return Err(count);
        }
        let device = first.device();
        expect_plain::<B>(&device)?;
        let precision = block_precision::<B>(&layout.blocks()[0], first)?;
        for (block, tensor) in layout.blocks().iter().zip(&blocks) {
            expect_shape::<B>(block, tensor)?;
            expect_precision(precision, block_precision::<B>(block, tensor)?)?;
            expect_device(&device, &tensor.device())?;
        }
        let layout = layout.clone();
        Ok(Self { layout, blocks, device, precision })
    }

    /// A vector from its numbers in flat order.
    ///
    /// # Errors
    /// [`VectorError::LengthMismatch`], [`VectorError::PrecisionUnsupported`], [`VectorError::AutodiffDevice`].
    pub fn from_vec(
        layout: &Arc<ParamLayout>,
        values: &[f64],
        device: &Device<B>,
        precision: Precision,
    ) -> Result<Self, VectorError> {
        if values.len() != layout.len() {
            return Err(VectorError::LengthMismatch {
                expected: layout.len(),
                found: values.len(),
            });
        }
        Self::build(layout, device, precision, |block| {
            let part = values.get(block.range()).unwrap_or_default().to_vec();
            let data = match precision {
                Precision::F64 => TensorData::new(part, block.shape().to_vec()),
                Precision::F32 => {
                    let part: Vec<f32> = part.into_iter().map(|value| value as f32).collect();
                    TensorData::new(part, block.shape().to_vec())
                }
            };
            Inner::<B>::float_from_data(data, device)
        })
    }

    /// A vector of zeros.
    ///
    /// # Errors
    /// [`VectorError::PrecisionUnsupported`], [`VectorError::AutodiffDevice`].
    pub fn zeros(
        layout: &Arc<ParamLayout>,
        device: &Device<B>,
        precision: Precision,
    ) -> Result<Self, VectorError> {
        Self::full(layout, 0.0, device, precision)
    }

    /// A vector with one number everywhere.
    ///
    /// # Errors
    /// [`VectorError::PrecisionUnsupported`], [`VectorError::AutodiffDevice`].
    pub fn full(
        layout: &Arc<ParamLayout>,
        value: f64,
        device: &Device<B>,
        precision: Precision,
    ) -> Result<Self, VectorError> {
        Self::build(layout, device, precision, |block| {
            Inner::<B>::float_full(
                block.shape().to_vec().into(),
                Scalar::Float(value),
                device,
                precision.dtype(),
            )
        })
    }

    /// Zeros, laid out like this vector.
    pub fn zeros_like(&self) -> Self {
        self.full_like(0.0)
    }

    /// Ones, laid out like this vector.
    pub fn ones_like(&self) -> Self {
        self.full_like(1.0)
    }

    /// One number everywhere, laid out like this vector.
    pub fn full_like(&self, value: f64) -> Self {
        let blocks = self.layout.blocks().iter().map(|block| {
            let shape = block.shape().to_vec().into();
            Inner::<B>::float_full(
                shape,
                Scalar::Float(value),
                &self.device,
                self.precision.dtype(),
            )
        });
        self.rebuilt(self.layout.clone(), blocks.collect())
    }

    /// Given numbers in flat order, laid out like this vector.
    ///
    /// # Errors
    /// [`VectorError::LengthMismatch`].
    pub fn from_vec_like(&self, values: &[f64]) -> Result<Self, VectorError> {
        Self::from_vec(&self.layout, values, &self.device, self.precision)
    }

    /// The same numbers under another layout of the same shapes, such as that of another model of the same kind.
    ///
    /// # Errors
    /// [`VectorError::LayoutMismatch`] if the shapes differ.
    pub fn with_layout(self, layout: &Arc<ParamLayout>) -> Result<Self, VectorError> {
        let shapes = |layout: &ParamLayout| -> Vec<Vec<usize>> {
            layout.blocks().iter().map(|b| b.shape().to_vec()).collect()
        };
        if shapes(layout) != shapes(&self.layout) {
            layout.expect_same(&self.layout)?;
        }
        Ok(Self { layout: layout.clone(), ..self })
    }

    /// Which parameters the numbers stand for.
    pub fn layout(&self) -> &Arc<ParamLayout> {
        &self.layout
    }

    /// One tensor per parameter.
    pub fn blocks(&self) -> &[InnerFloat<B>] {
        &self.blocks
    }

    /// One tensor per parameter, by value.
    pub fn into_blocks(self) -> Vec<InnerFloat<B>> {
        self.blocks
    }

    /// Number of numbers.
    #[allow(clippy::len_without_is_empty)] // A vector is never empty.
    pub fn len(&self) -> usize {
        self.layout.len()
    }

    /// Where the numbers are.
    pub fn device(&self) -> &Device<B> {
        &self.device
    }

    /// Format of the numbers.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Checks that another vector has this layout, format and device.
    pub(crate) fn expect_like(&self, other: &Self) -> Result<(), VectorError> {
        self.layout.expect_same(&other.layout)?;
        self.expect_format(other)
    }

    /// Checks that another vector has this format and device, whatever its layout.
    pub(crate) fn expect_format(&self, other: &Self) -> Result<(), VectorError> {
        expect_precision(self.precision, other.precision)?;
        self.expect_device(&other.device)
    }

    /// Checks that something else is on the device of this vector.
    pub(crate) fn expect_device(&self, found: &Device<B>) -> Result<(), VectorError> {
        expect_device(&self.device, found)
    }

    /// Blocks on the device and in the format of this vector, which the caller has made to fit the layout.
    pub(crate) fn rebuilt(&self, layout: Arc<ParamLayout>, blocks: Vec<InnerFloat<B>>) -> Self {
        Self { layout, blocks, device: self.device.clone(), precision: self.precision }
    }

    /// The same vector with other blocks, which the caller has made to fit. Gives the blocks away, so that the backend
    /// can reuse their memory.
    pub(super) fn map_blocks(
        self,
        op: impl FnOnce(Vec<InnerFloat<B>>) -> Vec<InnerFloat<B>>,
    ) -> Self {
        let blocks = op(self.blocks);
        Self { blocks, ..self }
    }

    /// The blocks, to be changed in place into others that fit.
    pub(super) fn blocks_mut(&mut self) -> &mut [InnerFloat<B>] {
        &mut self.blocks
    }

    fn build(
        layout: &Arc<ParamLayout>,
        device: &Device<B>,
        precision: Precision,
        tensor: impl FnMut(&ParamBlock) -> InnerFloat<B>,
    ) -> Result<Self, VectorError> {
        expect_supported::<B>(device, precision)?;
        Ok(Self {
            layout: layout.clone(),
            blocks: layout.blocks().iter().map(tensor).collect(),
            device: device.clone(),
            precision,
        })
    }
}

/// Length, format and device; the numbers are not read.
impl<B: AutodiffBackend> fmt::Debug for ParamVector<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParamVector")
            .field("len", &self.len())
            .field("blocks", &self.blocks.len())
            .field("precision", &self.precision)
            .field("device", &self.device)
            .finish()
    }
}

pub(super) fn expect_supported<B: AutodiffBackend>(
    device: &Device<B>,
    precision: Precision,
) -> Result<(), VectorError> {
    expect_plain::<B>(device)?;
    if Inner::<B>::supports_dtype(device, precision.dtype().into()) {
        return Ok(());
    }
    Err(VectorError::PrecisionUnsupported { precision, device: format!("{device:?}") })
}

/// On `Dispatch` a device can be an autodiff device: everything computed there would be recorded.
fn expect_plain<B: AutodiffBackend>(device: &Device<B>) -> Result<(), VectorError> {
    if Inner::<B>::ad_enabled(device) {
        return Err(VectorError::AutodiffDevice { device: format!("{device:?}") });
    }
    Ok(())
}

pub(super) fn expect_precision(expected: Precision, found: Precision) -> Result<(), VectorError> {
    if expected == found {
        return Ok(());
    }
    Err(VectorError::PrecisionMismatch { expected, found })
}

pub(super) fn expect_device<D: PartialEq + fmt::Debug>(
    expected: &D,
    found: &D,
) -> Result<(), VectorError> {
    if expected == found {
        return Ok(());
    }
    Err(VectorError::DeviceMismatch {
        expected: format!("{expected:?}"),
        found: format!("{found:?}"),
    })
}

fn expect_shape<B: AutodiffBackend>(
    block: &ParamBlock,
    tensor: &InnerFloat<B>,
) -> Result<(), VectorError> {
    let found = tensor.shape().to_vec();
    if found == block.shape() {
        return Ok(());
    }
    Err(VectorError::BlockShape {
        block: block.name().to_string(),
        expected: block.shape().to_vec(),
        found,
    })
}

fn block_precision<B: AutodiffBackend>(
    block: &ParamBlock,
    tensor: &InnerFloat<B>,
) -> Result<Precision, VectorError> {
    Precision::of(tensor.dtype()).ok_or_else(|| VectorError::ElementType {
        block: block.name().to_string(),
        found: format!("{:?}", tensor.dtype()),
    })
}
