//! Short names for the primitives that lowerings use.

use burn_backend::{
    Backend, BoolDType, DType, DeviceSettings, IntDType, Scalar, Shape, Slice, TensorData,
    TensorMetadata, get_or_init_device_settings,
    tensor::{FloatTensor, IntTensor},
};

pub(super) use crate::tensor::reshape;

/// A literal.
pub(super) fn scalar(value: f64) -> Scalar {
    Scalar::Float(value)
}

/// `x + literal`.
pub(super) fn add_scalar<B: Backend>(x: FloatTensor<B>, value: f64) -> FloatTensor<B> {
    B::float_add_scalar(x, scalar(value))
}

/// `x · literal`.
pub(super) fn mul_scalar<B: Backend>(x: FloatTensor<B>, value: f64) -> FloatTensor<B> {
    B::float_mul_scalar(x, scalar(value))
}

/// A constant tensor, in the element type given.
pub(super) fn constant<B: Backend>(
    values: Vec<f64>,
    shape: &[usize],
    dtype: DType,
    device: &B::Device,
) -> FloatTensor<B> {
    let data = TensorData::new(values, Shape::from(shape.to_vec())).convert_dtype(dtype);
    B::float_from_data(data, device)
}

/// Constant indices, in the device's own int type.
pub(super) fn indices<B: Backend>(values: &[usize], device: &B::Device) -> IntTensor<B> {
    let values: Vec<i64> = values.iter().map(|&index| index as i64).collect();
    let shape = Shape::from(vec![values.len()]);
    let data = TensorData::new(values, shape).convert_dtype(int_dtype::<B>(device).into());
    B::int_from_data(data, device)
}

/// One slice per dimension: `range` along `dim`, everything elsewhere.
pub(super) fn slice_dim<B: Backend>(
    tensor: FloatTensor<B>,
    dim: usize,
    range: std::ops::Range<usize>,
) -> FloatTensor<B> {
    let shape = tensor.shape();
    if shape[dim] == range.len() {
        return tensor;
    }
    let slices: Vec<Slice> = shape
        .iter()
        .enumerate()
        .map(|(axis, &size)| if axis == dim { range.clone().into() } else { (0..size).into() })
        .collect();
    B::float_slice(tensor, &slices)
}

/// Int type of the device.
pub(super) fn int_dtype<B: Backend>(device: &B::Device) -> IntDType {
    settings::<B>(device).int_dtype
}

/// Bool type of the device.
pub(in crate::derive) fn bool_dtype<B: Backend>(device: &B::Device) -> BoolDType {
    settings::<B>(device).bool_dtype
}

fn settings<B: Backend>(device: &B::Device) -> DeviceSettings {
    get_or_init_device_settings::<B>(device)
}
