//! Sums and products of tensors whose numbers lie in this process's memory, in one pass over it. Knows where such
//! numbers are, no vector and no layout.
//!
//! A backend runs `y + α x` as two operations with a tensor between them, and a dot product likewise; on a CPU the
//! arithmetic of vectors costs what it moves through memory. Where a backend shows its numbers, the loops here do each
//! in one pass over all tensors of a vector, with all threads. Each function says when it cannot, and the caller asks
//! the backend: results are the same, bit by bit for sums.

mod access;
mod loops;

use burn_backend::{Backend, DType, tensor::FloatTensor};

use access::Shown;
use loops::Number;

pub(super) use loops::With;

/// `a·y + b·x` for each pair of tensors, in the memory of `y`, and the sum asked for. Nothing is changed where one of
/// them cannot be done.
pub(super) fn combine<B: Backend>(
    y: &mut [FloatTensor<B>],
    a: f64,
    x: &[FloatTensor<B>],
    b: f64,
    with: With,
) -> Option<f64> {
    match y.first().and_then(access::dtype::<B>)? {
        DType::F32 => combine_in_place::<B, f32>(y, a as f32, x, b as f32, with),
        DType::F64 => combine_in_place::<B, f64>(y, a, x, b, with),
        _ => None,
    }
}

fn combine_in_place<B: Backend, N: Number + Shown>(
    y: &mut [FloatTensor<B>],
    a: N,
    x: &[FloatTensor<B>],
    b: N,
    with: With,
) -> Option<f64> {
    let pairs = y.iter_mut().zip(x);
    let pairs = pairs.map(|(y, x)| {
        let x = access::numbers::<B, N>(x)?;
        access::numbers_mut::<B, N>(y).filter(|y| y.len() == x.len()).map(|y| (y, x))
    });
    let pairs = pairs.collect::<Option<Vec<_>>>()?;
    Some(loops::combine(pairs, a, b, with))
}

/// `x + α·p` and then `z + β·p` in the memory of `x` and `p`, for each triple of tensors. Nothing is changed where one
/// of them cannot be done.
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

fn step_in_place<B: Backend, N: Number + Shown>(
    x: &mut [FloatTensor<B>],
    alpha: N,
    p: &mut [FloatTensor<B>],
    beta: N,
    z: &[FloatTensor<B>],
) -> Option<()> {
    let triples = x.iter_mut().zip(p).zip(z).map(|((x, p), z)| {
        let z = access::numbers::<B, N>(z)?;
        let x = access::numbers_mut::<B, N>(x)?;
        let p = access::numbers_mut::<B, N>(p)?;
        (x.len() == z.len() && p.len() == z.len()).then_some((x, p, z))
    });
    loops::step(triples.collect::<Option<Vec<_>>>()?, alpha, beta);
    Some(())
}

/// `Σ xᵀy` over pairs of tensors. The order of its sums depends on nothing but the sizes.
pub(super) fn dot<B: Backend>(x: &[FloatTensor<B>], y: &[FloatTensor<B>]) -> Option<f64> {
    match x.first().and_then(access::dtype::<B>)? {
        DType::F32 => dot_of::<B, f32>(x, y),
        DType::F64 => dot_of::<B, f64>(x, y),
        _ => None,
    }
}

fn dot_of<B: Backend, N: Number + Shown>(
    x: &[FloatTensor<B>],
    y: &[FloatTensor<B>],
) -> Option<f64> {
    let pairs = x.iter().zip(y).map(|(x, y)| {
        let (x, y) = (access::numbers::<B, N>(x)?, access::numbers::<B, N>(y)?);
        (x.len() == y.len()).then_some((x, y))
    });
    Some(loops::dot(&pairs.collect::<Option<Vec<_>>>()?))
}

/// The number in a tensor of one, which costs nothing here.
pub(super) fn number<B: Backend>(tensor: &FloatTensor<B>) -> Option<f64> {
    match access::dtype::<B>(tensor)? {
        DType::F32 => access::numbers::<B, f32>(tensor)?.first().map(|&number| f64::from(number)),
        DType::F64 => access::numbers::<B, f64>(tensor)?.first().copied(),
        _ => None,
    }
}

/// All numbers of a tensor, in f64.
pub(super) fn numbers<B: Backend>(tensor: &FloatTensor<B>) -> Option<Vec<f64>> {
    match access::dtype::<B>(tensor)? {
        DType::F32 => {
            let numbers = access::numbers::<B, f32>(tensor)?;
            Some(numbers.iter().copied().map(f64::from).collect())
        }
        DType::F64 => Some(access::numbers::<B, f64>(tensor)?.to_vec()),
        _ => None,
    }
}
