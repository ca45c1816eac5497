//! Kronecker factors on the device, read and decomposed on the host when first asked for.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use burn_backend::{
    AutodiffBackend, Backend, Shape, Slice, TensorMetadata, ops::FloatTensorOps,
    tensor::FloatTensor,
};

use super::{
    FactorSpectrum,
    layer::Eigenbasis,
    matrix::{Eigen, FactorMatrix, FactorShape},
};
use crate::{
    error::Error,
    operator::{DenseMatrix, KroneckerSide, OperatorError, upload},
    space::{Inner, InnerFloat, ParamSpace, read_tensor, sum},
    tensor::DefaultBackend,
};

/// A or G of one layer, or the exact block of an uncovered parameter: a symmetric matrix for each group of a convolution,
/// otherwise one.
///
/// It stays on the device until its entries or eigenvalues are asked for. They are then read once, in f64, and clones share
/// them.
#[derive(Clone)]
pub struct KroneckerFactor<B: AutodiffBackend = DefaultBackend>(Arc<Shared<B>>);

struct Shared<B: AutodiffBackend> {
    /// Name of the parameter.
    parameter: String,
    shape: FactorShape,
    /// `[groups, size, size]`, or `[size]` for a diagonal; `None` for the identity.
    device: Option<InnerFloat<B>>,
    host: OnceLock<Result<FactorMatrix, Error>>,
    eigen: OnceLock<Result<Eigenbasis<B>, Error>>,
}

/// The next factors of the same size are computed in the memory of these.
#[cfg(feature = "flex")]
impl<B: AutodiffBackend> Drop for Shared<B> {
    fn drop(&mut self) {
        self.device.take().into_iter().for_each(crate::tensor::spare::leave);
    }
}

impl<B: AutodiffBackend> KroneckerFactor<B> {
    fn new(parameter: &str, shape: FactorShape, device: Option<InnerFloat<B>>) -> Self {
        let parameter = parameter.into();
        let (host, eigen) = (OnceLock::new(), OnceLock::new());
        Self(Arc::new(Shared { parameter, shape, device, host, eigen }))
    }

    /// A factor on the device, `[groups, size, size]` or `[size]`.
    pub(super) fn on_device(parameter: &str, tensor: InnerFloat<B>) -> Self {
        let shape = match tensor.shape()[..] {
            [groups, size, _] => FactorShape::dense(groups, size),
            _ => FactorShape::diagonal(tensor.shape().num_elements()),
        };
        Self::new(parameter, shape, Some(tensor))
    }

    /// I: its diagonal alone, unless there are groups.
    pub(super) fn identity(parameter: &str, shape: FactorShape) -> Self {
        let shape = if shape.groups == 1 { FactorShape::diagonal(shape.size) } else { shape };
        Self::new(parameter, shape, None)
    }

    /// A factor that is known on the host, uploaded to the device of a space.
    pub(super) fn known(parameter: &str, matrix: FactorMatrix, space: &ParamSpace<B>) -> Self {
        let factor = Self::new(parameter, matrix.shape, Some(uploaded(&matrix, space)));
        factor.0.host.get_or_init(|| Ok(matrix));
        factor
    }

    /// The moving average decay·self + (1 − decay)·new, on the device.
    ///
    /// # Errors
    /// [`OperatorError::Factor`](crate::errors::OperatorError::Factor) for a decay outside 0 to 1.
    pub(crate) fn averaged(&self, new: &Self, decay: f64) -> Result<Self, Error> {
        expect_share(decay)?;
        let device = match (&self.0.device, &new.0.device) {
            (Some(old), Some(new)) => Some(mixed::<B>(old.clone(), decay, new.clone())),
            _ => None,
        };
        Ok(Self::new(&self.0.parameter, self.0.shape, device))
    }

    /// What it multiplies by.
    pub(super) fn side(&self) -> KroneckerSide<Inner<B>> {
        match &self.0.device {
            Some(tensor) => side(tensor.clone(), self.0.shape),
            None => KroneckerSide::Identity,
        }
    }

    /// The trace, summed over groups, on the device; `None` for the identity.
    pub(super) fn device_trace(&self) -> Option<InnerFloat<B>> {
        Some(sum::<B>(self.device_diagonals()?))
    }

    /// The diagonal of each group, `[groups, size]`, on the device; `None` for the identity.
    fn device_diagonals(&self) -> Option<InnerFloat<B>> {
        let tensor = self.0.device.clone()?;
        let (FactorShape { groups, .. }, step) = (self.0.shape, self.0.shape.step() as isize);
        let elements = tensor.shape().num_elements() / groups.max(1);
        let rows = Inner::<B>::float_reshape(tensor, Shape::from([groups, elements]));
        let diagonal = [Slice::full(), Slice::new(0, None, step)];
        Some(Inner::<B>::float_slice(rows, &diagonal))
    }

    /// The traces of the groups. Reads the diagonals alone, unless the entries have been read.
    ///
    /// # Errors
    /// [`KfacError::NonFinite`](super::KfacError::NonFinite); a failed read.
    pub(super) fn traces(&self) -> Result<Vec<f64>, Error> {
        let diagonals = match self.0.host.get() {
            None => self.device_diagonals(),
            Some(_) => None,
        };
        let Some(diagonals) = diagonals else {
            return Ok(self.host()?.traces());
        };
        let diagonals = read_tensor::<B>(diagonals)?;
        Ok(diagonals.chunks(self.0.shape.size.max(1)).map(|group| group.iter().sum()).collect())
    }

    /// On the device; `None` for the identity.
    pub(super) fn device(&self) -> Option<&InnerFloat<B>> {
        self.0.device.as_ref()
    }

    /// Name of the weight or parameter.
    pub(super) fn parameter(&self) -> &str {
        &self.0.parameter
    }

    #[cfg(test)]
    pub(super) fn was_read(&self) -> bool {
        self.0.host.get().is_some()
    }

    /// The factor on the host.
    ///
    /// # Errors
    /// [`KfacError::NonFinite`](super::KfacError::NonFinite); a failed read.
    pub(super) fn host(&self) -> Result<&FactorMatrix, Error> {
        once(&self.0.host, || {
            let matrix = match &self.0.device {
                None => FactorMatrix::identity(self.0.shape),
                Some(tensor) => {
                    let values = read_tensor::<B>(tensor.clone())?;
                    FactorMatrix { shape: self.0.shape, values }
                }
            };
            matrix.expect_finite(&self.0.parameter)?;
            Ok(matrix)
        })
    }

    /// The eigendecomposition.
    pub(super) fn eigen(&self) -> Result<&Eigenbasis<B>, Error> {
        once(&self.0.eigen, || {
            let FactorShape { groups, size, .. } = self.0.shape;
            let eigen = match self.0.device {
                None => Eigen::of_diagonal(groups, vec![1.0; groups * size]),
                Some(_) => self.host()?.eigen()?,
            };
            Ok(Eigenbasis::new(eigen))
        })
    }

    /// Multiplications of a decomposition, up to a constant.
    pub(super) fn cost(&self) -> usize {
        let FactorShape { groups, size, diagonal } = self.0.shape;
        if diagonal || self.0.device.is_none() { size } else { groups * size.pow(3) }
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.0.shape.groups
    }

    /// Rows of each matrix.
    pub fn size(&self) -> usize {
        self.0.shape.size
    }

    /// Whether it is a diagonal: A of an embedding whose places are not reduced, an estimated diagonal, or the identity.
    pub fn is_diagonal(&self) -> bool {
        self.0.shape.diagonal
    }

    /// Its entries: one matrix after another, row by row; for a diagonal, the diagonal alone.
    ///
    /// # Errors
    /// [`KfacError::NonFinite`](crate::errors::KfacError::NonFinite); a factor that cannot be read from the device.
    pub fn values(&self) -> Result<&[f64], Error> {
        Ok(&self.host()?.values)
    }

    /// The matrix of a group, counted from 0, with a diagonal written out; `None` if there is no such group.
    ///
    /// # Errors
    /// [`OperatorError::TooLarge`](crate::errors::OperatorError::TooLarge) for a diagonal of more than
    /// [`DEFAULT_SIZE_LIMIT`](crate::operator::DEFAULT_SIZE_LIMIT) rows; as [`values`](Self::values), which returns it alone.
    pub fn matrix(&self, group: usize) -> Result<Option<DenseMatrix>, Error> {
        self.host()?.matrix(group)
    }

    /// The trace, summed over groups.
    ///
    /// # Errors
    /// As [`values`](Self::values).
    pub fn trace(&self) -> Result<f64, Error> {
        Ok(self.host()?.traces().iter().sum())
    }

    /// The range of its eigenvalues, over all groups.
    ///
    /// # Cost
    /// An eigendecomposition of each group, once.
    ///
    /// # Errors
    /// [`OperatorError::Eigenvalues`](crate::errors::OperatorError::Eigenvalues); as [`values`](Self::values).
    pub fn spectrum(&self) -> Result<FactorSpectrum, Error> {
        Ok(self.eigen()?.spectrum())
    }
}

impl<B: AutodiffBackend> fmt::Debug for KroneckerFactor<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KroneckerFactor")
            .field("parameter", &self.0.parameter)
            .field("shape", &self.0.shape)
            .finish_non_exhaustive()
    }
}

/// What a matrix multiplies by, on the device of a space.
pub(super) fn side_of<B: AutodiffBackend>(
    matrix: &FactorMatrix,
    space: &ParamSpace<B>,
) -> KroneckerSide<Inner<B>> {
    side(uploaded(matrix, space), matrix.shape)
}

fn side<B: Backend>(tensor: FloatTensor<B>, shape: FactorShape) -> KroneckerSide<B> {
    if shape.diagonal { KroneckerSide::Diagonal(tensor) } else { KroneckerSide::Matrix(tensor) }
}

fn uploaded<B: AutodiffBackend>(matrix: &FactorMatrix, space: &ParamSpace<B>) -> InnerFloat<B> {
    let flat = upload(&matrix.values, [matrix.values.len()], space);
    Inner::<B>::float_reshape(flat, Shape::from(matrix.shape.dims()))
}

/// Checks that the decay of a moving average is between 0 and 1.
pub(super) fn expect_share(decay: f64) -> Result<(), OperatorError> {
    if (0.0..=1.0).contains(&decay) { Ok(()) } else { Err(OperatorError::Factor { found: decay }) }
}

/// decay·old + (1 − decay)·new
pub(super) fn mixed<B: AutodiffBackend>(
    old: InnerFloat<B>,
    decay: f64,
    new: InnerFloat<B>,
) -> InnerFloat<B> {
    let old = Inner::<B>::float_mul_scalar(old, decay.into());
    let new = Inner::<B>::float_mul_scalar(new, (1.0 - decay).into());
    Inner::<B>::float_add(old, new)
}

/// The content of a cell, made if it is empty. Not under the cell's lock: threads that wait for their share of a read may
/// take up work that reads too. Whichever is first, the values are the same.
pub(super) fn once<T>(
    cell: &OnceLock<Result<T, Error>>,
    make: impl FnOnce() -> Result<T, Error>,
) -> Result<&T, Error> {
    let content = match cell.get() {
        Some(content) => content,
        None => {
            let made = make();
            cell.get_or_init(|| made)
        }
    };
    content.as_ref().map_err(Clone::clone)
}
