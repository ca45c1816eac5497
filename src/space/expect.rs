//! Checks that tensors, devices and precisions fit together.

use std::fmt;

use burn_backend::{AutodiffBackend, Backend, TensorMetadata, tensor::Device};

use crate::tensor::has_shape;

use super::{Inner, InnerFloat, ParamBlock, Precision, VectorError};

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
pub(super) fn expect_plain<B: AutodiffBackend>(device: &Device<B>) -> Result<(), VectorError> {
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

pub(super) fn expect_shape<B: AutodiffBackend>(
    block: &ParamBlock,
    tensor: &InnerFloat<B>,
) -> Result<(), VectorError> {
    if has_shape(tensor, block.shape()) {
        return Ok(());
    }
    let found = tensor.shape();
    Err(VectorError::BlockShape {
        block: block.name().to_string(),
        expected: block.shape().to_vec(),
        found: found.to_vec(),
    })
}

pub(super) fn block_precision<B: AutodiffBackend>(
    block: &ParamBlock,
    tensor: &InnerFloat<B>,
) -> Result<Precision, VectorError> {
    Precision::of(tensor.dtype()).ok_or_else(|| VectorError::ElementType {
        block: block.name().to_string(),
        found: format!("{:?}", tensor.dtype()),
    })
}
