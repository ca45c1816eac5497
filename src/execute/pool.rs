//! Runs pools, interpolation and their backward operations.

use burn_backend::{Backend, TensorMetadata, ops::InterpolateMode, ops::InterpolateOptions};

use super::{
    ExecuteError, Operand,
    call::{Call, Results, float},
};
use crate::graph::{Interpolation, PoolWindow, ValueType};

/// A window in one or two dimensions, as Burn takes it.
enum Window {
    D1([usize; 4]),
    D2([[usize; 2]; 4]),
}

fn window<B: Backend>(call: &Call<B>, window: &PoolWindow) -> Result<Window, ExecuteError> {
    let fields = [&window.kernel, &window.stride, &window.padding, &window.dilation];
    let one = |field: &Vec<usize>| <[usize; 1]>::try_from(field.as_slice()).ok();
    let two = |field: &Vec<usize>| <[usize; 2]>::try_from(field.as_slice()).ok();
    if let [Some([k]), Some([s]), Some([p]), Some([d])] = fields.map(one) {
        Ok(Window::D1([k, s, p, d]))
    } else if let [Some(k), Some(s), Some(p), Some(d)] = fields.map(two) {
        Ok(Window::D2([k, s, p, d]))
    } else {
        Err(call.unsupported("a window of one or two dimensions; float"))
    }
}

/// An average pool.
pub(super) fn avg_pool<B: Backend>(
    mut call: Call<B>,
    pool: &PoolWindow,
    count_include_pad: bool,
) -> Results<B> {
    let window = window(&call, pool)?;
    let x = call.float()?;
    let ceil = pool.ceil_mode;
    float(match window {
        Window::D1([k, s, p, _]) => B::avg_pool1d(x, k, s, p, count_include_pad, ceil),
        Window::D2([k, s, p, _]) => B::avg_pool2d(x, k, s, p, count_include_pad, ceil),
    })
}

/// Gradient of an average pool.
pub(super) fn avg_pool_backward<B: Backend>(
    mut call: Call<B>,
    pool: &PoolWindow,
    count_include_pad: bool,
) -> Results<B> {
    let window = window(&call, pool)?;
    let (x, grad) = (call.float()?, call.float()?);
    let ceil = pool.ceil_mode;
    float(match window {
        Window::D1([k, s, p, _]) => {
            B::avg_pool1d_backward(x, grad, k, s, p, count_include_pad, ceil)
        }
        Window::D2([k, s, p, _]) => {
            B::avg_pool2d_backward(x, grad, k, s, p, count_include_pad, ceil)
        }
    })
}

/// An average pool to a given output size.
pub(super) fn adaptive_avg_pool<B: Backend>(mut call: Call<B>) -> Results<B> {
    let shape = &call.output(0)?.shape;
    let x = call.float()?;
    match *shape.as_slice() {
        [_, _, a] => float(B::adaptive_avg_pool1d(x, a)),
        [_, _, a, b] => float(B::adaptive_avg_pool2d(x, [a, b])),
        [_, _, a, b, c] => float(B::adaptive_avg_pool3d(x, [a, b, c])),
        _ => Err(call.unsupported("a result of three to five dimensions; float")),
    }
}

/// Gradient of an adaptive average pool.
pub(super) fn adaptive_avg_pool_backward<B: Backend>(mut call: Call<B>) -> Results<B> {
    let rank = call.output(0)?.shape.as_slice().len();
    let (x, grad) = (call.float()?, call.float()?);
    match rank {
        3 => float(B::adaptive_avg_pool1d_backward(x, grad)),
        4 => float(B::adaptive_avg_pool2d_backward(x, grad)),
        5 => float(B::adaptive_avg_pool3d_backward(x, grad)),
        _ => Err(call.unsupported("a result of three to five dimensions; float")),
    }
}

/// A max pool, with the indices of the largest elements where they are asked for.
pub(super) fn max_pool<B: Backend>(
    mut call: Call<B>,
    pool: &PoolWindow,
    indices: bool,
) -> Results<B> {
    let window = window(&call, pool)?;
    let x = call.float()?;
    let ceil = pool.ceil_mode;
    if !indices {
        return float(match window {
            Window::D1([k, s, p, d]) => B::max_pool1d(x, k, s, p, d, ceil),
            Window::D2([k, s, p, d]) => B::max_pool2d(x, k, s, p, d, ceil),
        });
    }
    let dtype = call.int_dtype(1)?;
    let (output, indices) = match window {
        Window::D1([k, s, p, d]) => {
            let pooled = B::max_pool1d_with_indices(x, k, s, p, d, ceil, dtype);
            (pooled.output, pooled.indices)
        }
        Window::D2([k, s, p, d]) => {
            let pooled = B::max_pool2d_with_indices(x, k, s, p, d, ceil, dtype);
            (pooled.output, pooled.indices)
        }
    };
    Ok(vec![Operand::Float(output), Operand::Int(indices)])
}

/// Gradient of a max pool.
pub(super) fn max_pool_backward<B: Backend>(mut call: Call<B>, pool: &PoolWindow) -> Results<B> {
    let window = window(&call, pool)?;
    let (x, grad) = (call.float()?, call.float()?);
    let indices = call.int()?;
    let ceil = pool.ceil_mode;
    float(match window {
        Window::D1([k, s, p, d]) => {
            B::max_pool1d_with_indices_backward(x, k, s, p, d, ceil, grad, indices).x_grad
        }
        Window::D2([k, s, p, d]) => {
            B::max_pool2d_with_indices_backward(x, k, s, p, d, ceil, grad, indices).x_grad
        }
    })
}

/// Burn's name of an interpolation method.
pub(super) fn interpolation(mode: Interpolation) -> InterpolateMode {
    match mode {
        Interpolation::Nearest => InterpolateMode::Nearest,
        Interpolation::NearestExact => InterpolateMode::NearestExact,
        Interpolation::Bilinear => InterpolateMode::Bilinear,
        Interpolation::Bicubic => InterpolateMode::Bicubic,
        Interpolation::Lanczos3 => InterpolateMode::Lanczos3,
    }
}

fn image_size<B: Backend>(call: &Call<B>, shape: &[usize]) -> Result<[usize; 2], ExecuteError> {
    match *shape {
        [_, _, height, width] => Ok([height, width]),
        _ => Err(call.unsupported("images of four dimensions; float")),
    }
}

/// An image in another size.
pub(super) fn interpolate<B: Backend>(
    mut call: Call<B>,
    mode: Interpolation,
    align_corners: bool,
) -> Results<B> {
    let ty: &ValueType = call.output(0)?;
    let size = image_size(&call, ty.shape.as_slice())?;
    let options = InterpolateOptions::new(interpolation(mode)).with_align_corners(align_corners);
    float(B::interpolate(call.float()?, size, options))
}

/// Gradient of an interpolation.
pub(super) fn interpolate_backward<B: Backend>(
    mut call: Call<B>,
    mode: Interpolation,
    align_corners: bool,
) -> Results<B> {
    let (x, grad) = (call.float()?, call.float()?);
    let size = image_size(&call, grad.shape().as_slice())?;
    let options = InterpolateOptions::new(interpolation(mode)).with_align_corners(align_corners);
    float(B::interpolate_backward(x, grad, size, options))
}
