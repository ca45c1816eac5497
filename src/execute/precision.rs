//! Element types: which ones a device has, and programs rewritten from one to another. Knows no operations.

use burn_backend::{
    Backend, BoolStore, DType, FloatDType, TensorData, get_device_settings, tensor::Device,
};

use super::ExecuteError;
use crate::graph::{Graph, Kind, ValueType};

/// The element types in which programs are recorded.
pub(crate) const RECORDED_FLOAT: DType = DType::F32;
pub(crate) const RECORDED_INT: DType = DType::I64;
pub(crate) const RECORDED_BOOL: DType = DType::Bool(BoolStore::U8);

/// Whether a device computes with this element type.
pub(crate) fn supports<B: Backend>(device: &Device<B>, dtype: DType) -> bool {
    B::supports_dtype(device, dtype)
}

/// The program with every float value, constants included, in another precision.
///
/// Literals inside operations are kept in double precision and need no change.
pub(crate) fn in_precision(graph: Graph, precision: FloatDType) -> Result<Graph, ExecuteError> {
    retyped(graph, |dtype| match dtype.is_float() {
        true => precision.into(),
        false => dtype,
    })
}

/// The program in element types that the device has.
///
/// Truth values are stored as the device stores them; integers of the recorder's default type, and of types that the
/// device lacks, in the device's default one. Floats are never changed silently.
///
/// # Errors
///
/// [`ExecuteError::Precision`] where a float type is missing on the device.
pub(crate) fn adapted<B: Backend>(graph: Graph, device: &Device<B>) -> Result<Graph, ExecuteError> {
    let settings = get_device_settings::<B>(device);
    let missing = graph
        .values
        .iter()
        .find(|ty| ty.kind() == Kind::Float && !supports::<B>(device, ty.dtype));
    if let Some(ty) = missing {
        return Err(ExecuteError::Precision {
            backend: B::name(device),
            dtype: ty.dtype.name().into(),
        });
    }
    retyped(graph, |dtype| {
        if dtype.is_bool() {
            settings.bool_dtype.into()
        } else if dtype.is_float() || (dtype != RECORDED_INT && supports::<B>(device, dtype)) {
            dtype
        } else {
            settings.int_dtype.into()
        }
    })
}

fn retyped(mut graph: Graph, convert: impl Fn(DType) -> DType) -> Result<Graph, ExecuteError> {
    for ty in &mut graph.values {
        ty.dtype = convert(ty.dtype);
    }
    for constant in &mut graph.constants {
        let ty = &graph.values[constant.value.index()];
        if constant.data.dtype() != ty.dtype {
            let data = std::mem::replace(&mut constant.data, TensorData::from([0.0f32; 0]));
            constant.data = stored_as(data, ty, constant.value.index())?;
        }
    }
    Ok(graph)
}

/// Numbers in the element type of a value.
pub(super) fn stored_as(
    data: TensorData,
    ty: &ValueType,
    value: usize,
) -> Result<TensorData, ExecuteError> {
    let found = format!("{}{:?}", data.dtype().name(), data.shape());
    data.try_cast(ty.dtype)
        .map_err(|error| ExecuteError::Constant {
            value,
            expected: ty.to_string(),
            found,
            reason: error.to_string(),
        })
}
