//! Sums and products of tensors in this process's memory, in one pass over it.
//!
//! A backend runs `y + α x` as two operations with a tensor between them, and a dot product likewise; on a CPU the
//! cost of vector arithmetic is memory traffic. For backends that give access to their elements, the loops here do each in
//! one pass over all tensors of a vector, on all threads. A function returns `None` if it cannot; the caller then uses the
//! backend. Results are the same, bit for bit for sums.

mod access;
mod loops;
mod pieces;
mod stacks;

use burn_backend::{Backend, DType, tensor::FloatTensor};

use access::Contiguous;
use loops::Number;
use pieces::{pieces, pieces_mut};

use super::ParamLayout;

pub(super) use access::holds;
pub(crate) use access::is_processor;
pub(super) use loops::Accumulate;
pub(super) use pieces::{cut, joined};
pub(super) use stacks::{stacked, stacked_flat, unstacked, unstacked_flat};

/// `a·y + b·x` for each pair of tensors, in the memory of `y`, and the requested sum, block after block of the layout.
/// Changes nothing if it returns `None`.
pub(super) fn combine<B: Backend>(
    y: &mut [FloatTensor<B>],
    [a, b]: [f64; 2],
    x: &[FloatTensor<B>],
    sum: (Accumulate, &ParamLayout),
) -> Option<f64> {
    match y.first().and_then(access::dtype::<B>)? {
        DType::F32 => combine_in_place::<B, f32>(y, [a as f32, b as f32], x, sum),
        DType::F64 => combine_in_place::<B, f64>(y, [a, b], x, sum),
        _ => None,
    }
}

fn combine_in_place<B: Backend, N: Number + Contiguous>(
    y: &mut [FloatTensor<B>],
    [a, b]: [N; 2],
    x: &[FloatTensor<B>],
    (sum, layout): (Accumulate, &ParamLayout),
) -> Option<f64> {
    if let ([y], [x]) = (&mut *y, x) {
        let (x, y) = (access::elements::<B, N>(x)?, access::elements_mut::<B, N>(y)?);
        let (x, y) = (pieces(x, layout)?, pieces_mut(y, layout)?);
        return Some(N::combine(y.into_iter().zip(x).collect(), a, b, sum));
    }
    let pairs = y.iter_mut().zip(x);
    let pairs = pairs.map(|(y, x)| {
        let x = access::elements::<B, N>(x)?;
        access::elements_mut::<B, N>(y).filter(|y| y.len() == x.len()).map(|y| (y, x))
    });
    let pairs = pairs.collect::<Option<Vec<_>>>()?;
    Some(N::combine(pairs, a, b, sum))
}

/// `x + α·p` and then `z + β·p` in the memory of `x` and `p`, for each triple of tensors. Changes nothing if it returns
/// `None`.
pub(super) fn step<B: Backend>(
    x: &mut [FloatTensor<B>],
    alpha: f64,
    p: &mut [FloatTensor<B>],
    beta: f64,
    z: &[FloatTensor<B>],
) -> Option<()> {
    match x.first().and_then(access::dtype::<B>)? {
        DType::F32 => step_in_place::<B, f32>(x, alpha as f32, p, beta as f32, z),
        DType::F64 => step_in_place::<B, f64>(x, alpha, p, beta, z),
        _ => None,
    }
}

fn step_in_place<B: Backend, N: Number + Contiguous>(
    x: &mut [FloatTensor<B>],
    alpha: N,
    p: &mut [FloatTensor<B>],
    beta: N,
    z: &[FloatTensor<B>],
) -> Option<()> {
    let triples = x.iter_mut().zip(p).zip(z).map(|((x, p), z)| {
        let z = access::elements::<B, N>(z)?;
        let x = access::elements_mut::<B, N>(x)?;
        let p = access::elements_mut::<B, N>(p)?;
        (x.len() == z.len() && p.len() == z.len()).then_some((x, p, z))
    });
    N::step(triples.collect::<Option<Vec<_>>>()?, alpha, beta);
    Some(())
}

/// `Σ xᵀy` over pairs of tensors. The order of its sums depends on nothing but the sizes of the blocks.
pub(super) fn dot<B: Backend>(
    x: &[FloatTensor<B>],
    y: &[FloatTensor<B>],
    layout: &ParamLayout,
) -> Option<f64> {
    match x.first().and_then(access::dtype::<B>)? {
        DType::F32 => dot_of::<B, f32>(x, y, layout),
        DType::F64 => dot_of::<B, f64>(x, y, layout),
        _ => None,
    }
}

fn dot_of<B: Backend, N: Number + Contiguous>(
    x: &[FloatTensor<B>],
    y: &[FloatTensor<B>],
    layout: &ParamLayout,
) -> Option<f64> {
    if let ([x], [y]) = (x, y) {
        let (x, y) = (access::elements::<B, N>(x)?, access::elements::<B, N>(y)?);
        let pairs = pieces(x, layout)?.zip(pieces(y, layout)?);
        return Some(N::dot(&pairs.collect::<Vec<_>>()));
    }
    let pairs = x.iter().zip(y).map(|(x, y)| {
        let (x, y) = (access::elements::<B, N>(x)?, access::elements::<B, N>(y)?);
        (x.len() == y.len()).then_some((x, y))
    });
    Some(N::dot(&pairs.collect::<Option<Vec<_>>>()?))
}

/// The element of a tensor of one element.
pub(super) fn number<B: Backend>(tensor: &FloatTensor<B>) -> Option<f64> {
    match access::dtype::<B>(tensor)? {
        DType::F32 => access::elements::<B, f32>(tensor)?.first().map(|&number| f64::from(number)),
        DType::F64 => access::elements::<B, f64>(tensor)?.first().copied(),
        _ => None,
    }
}

/// All elements of a tensor, in f64.
pub(super) fn elements<B: Backend>(tensor: &FloatTensor<B>) -> Option<Vec<f64>> {
    match access::dtype::<B>(tensor)? {
        DType::F32 => {
            let elements = access::elements::<B, f32>(tensor)?;
            Some(elements.iter().copied().map(f64::from).collect())
        }
        DType::F64 => Some(access::elements::<B, f64>(tensor)?.to_vec()),
        _ => None,
    }
}
