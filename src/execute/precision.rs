//! Element types: which ones a device has, and programs converted from one to another.

use burn_backend::{
    Backend, BoolStore, DType, FloatDType, TensorData, get_device_settings,
    tensor::{Device, FloatTensor},
};

use super::{ExecuteError, Operand};
use crate::{
    graph::{Graph, Kind, ValueType},
    panics::caught,
};

/// The element types in which programs are recorded.
pub(crate) const RECORDED_FLOAT: DType = DType::F32;
pub(crate) const RECORDED_INT: DType = DType::I64;
pub(crate) const RECORDED_BOOL: DType = DType::Bool(BoolStore::U8);

/// Whether a device computes with this element type.
///
/// Some drivers claim f64 and compute in less: for f64 a few functions are computed and compared.
pub(crate) fn supports<B: Backend>(device: &Device<B>, dtype: DType) -> bool {
    B::supports_dtype(device, dtype) && (dtype != DType::F64 || computes_in_f64::<B>(device))
}

/// Whether common functions give the same results on the device as on the host, to 1e-6.
fn computes_in_f64<B: Backend>(device: &Device<B>) -> bool {
    type Function<B> = (fn(FloatTensor<B>) -> FloatTensor<B>, fn(f64) -> f64);
    let numbers = [0.3, 0.7, 1.9, 0.05];
    let functions: [Function<B>; 9] = [
        (B::float_exp, f64::exp),
        (B::float_log, f64::ln),
        (B::float_tanh, f64::tanh),
        (B::float_sqrt, f64::sqrt),
        (B::float_recip, f64::recip),
        (B::float_sin, f64::sin),
        (B::float_neg, |x| -x),
        (|x| B::float_mul_scalar(x, 0.1.into()), |x| x * 0.1),
        (B::sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
    ];
    let check = || {
        let upload = |shape: [usize; 2]| {
            B::float_from_data(TensorData::new(numbers.to_vec(), shape), device)
        };
        let right = |tensor: FloatTensor<B>, expected: &[f64]| {
            let data = Operand::<B>::Float(tensor).into_data();
            data.is_ok_and(|data| {
                let close = |(found, expected): (f64, &f64)| {
                    (found - expected).abs() <= 1e-6 * expected.abs()
                };
                data.iter::<f64>().zip(expected).all(close)
            })
        };
        let products: f64 = numbers.iter().map(|x| x * x).sum();
        right(B::float_matmul(upload([1, 4]), upload([4, 1])), &[products])
            && right(B::float_sum(upload([2, 2])), &[numbers.iter().sum()])
            && functions
                .iter()
                .all(|(on_device, on_host)| right(on_device(upload([2, 2])), &numbers.map(on_host)))
    };
    caught(check).unwrap_or(false)
}

/// The program with every float value, constants included, in another precision.
///
/// Literals inside operations are kept in double precision and need no change.
pub(crate) fn in_precision(graph: Graph, precision: FloatDType) -> Result<Graph, ExecuteError> {
    retyped(graph, |dtype| if dtype.is_float() { precision.into() } else { dtype })
}

/// The program in element types that the device has.
///
/// Truth values are stored as the device stores them; integers of the recorder's default type, and of types that the
/// device lacks, in the device's default one. Floats are never changed silently.
///
/// # Errors
/// [`ExecuteError::Precision`] where a float type is missing on the device.
pub(crate) fn adapted<B: Backend>(graph: Graph, device: &Device<B>) -> Result<Graph, ExecuteError> {
    let settings = get_device_settings::<B>(device);
    let missing = graph
        .values
        .iter()
        .find(|ty| ty.kind() == Kind::Float && !B::supports_dtype(device, ty.dtype));
    if let Some(ty) = missing {
        return Err(ExecuteError::Precision {
            backend: B::name(device),
            dtype: ty.dtype.name().into(),
        });
    }
    retyped(graph, |dtype| {
        if dtype.is_bool() {
            settings.bool_dtype.into()
        } else if dtype.is_float() || (dtype != RECORDED_INT && B::supports_dtype(device, dtype)) {
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

/// Data in the element type of a value.
pub(super) fn stored_as(
    data: TensorData,
    ty: &ValueType,
    value: usize,
) -> Result<TensorData, ExecuteError> {
    let found = format!("{}{:?}", data.dtype().name(), data.shape());
    data.try_cast(ty.dtype).map_err(|error| ExecuteError::Constant {
        value,
        expected: ty.to_string(),
        found,
        reason: error.to_string(),
    })
}
