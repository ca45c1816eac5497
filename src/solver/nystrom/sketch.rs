//! The randomized low-rank approximation of a positive semidefinite operator, as in Frangella, Tropp and Udell (2023),
//! algorithm 2.1.
//!
//! With Ω one random vector per row and Y = Ω A (A symmetric):
//! ```text
//! A ≈ Yᵀ (Ω Yᵀ)⁺ Y = BᵀB,   Ω Yᵀ = W S Wᵀ,   B = S^−½ Wᵀ Y,   B Bᵀ = V Λ Vᵀ,   U = Λ^−½ Vᵀ B
//! ```
//! so that A ≈ Uᵀ Λ U with orthonormal rows in U. Directions below rounding are dropped. The small matrices are
//! decomposed on the host in f64.

use burn_backend::{AutodiffBackend, ops::FloatTensorOps};
use faer::{Mat, Side};

use crate::{
    error::Error,
    operator::{OperatorError, SelfAdjoint, expect_one_each, stack, transpose, upload},
    seeds::Seeds,
    space::{Inner, InnerFloat, ParamSpace, ParamVector, read_tensor},
};

use super::super::SolverError;

/// U and Λ.
pub(super) struct Sketch<B: AutodiffBackend> {
    /// Orthonormal rows, shape `[rank, n]`.
    pub(super) rows: InnerFloat<B>,
    /// From the largest to the smallest, all above 0.
    pub(super) eigenvalues: Vec<f64>,
}

/// Eigenvalues up to this, in units of ε relative to the largest, are dropped.
const ROUNDING: f64 = 100.0;
/// Negative eigenvalues down to this, in the same units, count as rounding in the products.
const TOLERATED: f64 = 1000.0;

/// A small symmetric matrix, decomposed: eigenvectors, one per column, and eigenvalues.
struct Small {
    vectors: Mat<f64>,
    values: Vec<f64>,
}

/// Sketches `operator` − damping·I with `rank` products.
pub(super) fn sketch<B: AutodiffBackend>(
    operator: &dyn SelfAdjoint<B>,
    (rank, damping): (usize, f64),
    seed: u64,
) -> Result<Sketch<B>, Error> {
    let space = operator.domain();
    let omega = random_vectors(space, rank, seed);
    let products = operator.apply_many(&omega)?;
    expect_one_each(&omega, &products)?;
    let products = products.into_iter().zip(&omega).map(|(product, vector)| {
        space.expect_same(product.space())?;
        product.expect_finite("the product with a random vector")?;
        Ok(product.axpy(-damping, vector)?)
    });
    let y = stack(&products.collect::<Result<Vec<_>, Error>>()?);
    let epsilon = space.precision().epsilon();

    let core = gram::<B>(stack(&omega), y.clone(), rank)?; //  Ω Yᵀ
    let size = largest(&core.values);
    // What damping·Ω leaves behind by rounding counts too.
    let size = size + damping;
    let least = core.values.iter().copied().fold(f64::INFINITY, f64::min);
    if least < -TOLERATED * epsilon * size {
        return Err(SolverError::Indefinite { found: least }.into());
    }
    let b = turn(&core, ROUNDING * epsilon * size, y, space)?;
    let Some((b, count)) = b else {
        return Ok(Sketch { rows: stack(&omega), eigenvalues: Vec::new() });
    };
    let spectrum = gram::<B>(b.clone(), b.clone(), count)?;
    let cut = ROUNDING * epsilon * largest(&spectrum.values);
    let Some((rows, count)) = turn(&spectrum, cut, b, space)? else {
        return Ok(Sketch { rows: stack(&omega), eigenvalues: Vec::new() });
    };
    let kept = spectrum.values.iter().rev().copied();
    Ok(Sketch {
        rows: orthonormalized::<B>(rows, count, space)?,
        eigenvalues: kept.take(count).collect(),
    })
}

/// Normal vectors of about unit length.
fn random_vectors<B: AutodiffBackend>(
    space: &ParamSpace<B>,
    count: usize,
    seed: u64,
) -> Vec<ParamVector<B>> {
    let scale = 1.0 / (space.len() as f64).sqrt();
    let mut seeds = Seeds::new(seed);
    (0..count).map(|_| space.normal(seeds.next()).scale(scale)).collect()
}

/// a·bᵀ, symmetrized and decomposed.
fn gram<B: AutodiffBackend>(
    a: InnerFloat<B>,
    b: InnerFloat<B>,
    rows: usize,
) -> Result<Small, Error> {
    let product = Inner::<B>::float_matmul(a, transpose::<B>(b));
    let entries = read_tensor::<B>(product)?;
    let at = |i: usize, j: usize| entries.get(i * rows + j).copied().unwrap_or(f64::NAN);
    let matrix = Mat::from_fn(rows, rows, |i, j| 0.5 * (at(i, j) + at(j, i)));
    let failed = || OperatorError::Eigenvalues { size: rows };
    if !matrix.norm_max().is_finite() {
        return Err(failed().into());
    }
    let decomposition = matrix.self_adjoint_eigen(Side::Lower);
    let decomposition = decomposition.map_err(|_| failed())?;
    Ok(Small {
        vectors: decomposition.U().to_owned(),
        values: decomposition.S().column_vector().iter().copied().collect(),
    })
}

/// S^−½ Wᵀ rows for the eigenvalues above the cut, from the largest on, and how many there are.
#[allow(clippy::type_complexity)]
fn turn<B: AutodiffBackend>(
    small: &Small,
    cut: f64,
    rows: InnerFloat<B>,
    space: &ParamSpace<B>,
) -> Result<Option<(InnerFloat<B>, usize)>, Error> {
    let size = small.values.len();
    let kept = small.values.iter().filter(|value| **value > cut).count();
    if kept == 0 {
        return Ok(None);
    }
    let entries = (0..kept * size).map(|at| {
        let column = size - 1 - at / size; // eigenvalues ascend
        let value = small.values.get(column).copied().unwrap_or(f64::NAN);
        small.vectors[(at % size, column)] / value.sqrt()
    });
    let entries: Vec<f64> = entries.collect();
    let turn = upload(&entries, [kept, size], space);
    Ok(Some((Inner::<B>::float_matmul(turn, rows), kept)))
}

/// Rows that are nearly orthonormal, made so to rounding.
fn orthonormalized<B: AutodiffBackend>(
    rows: InnerFloat<B>,
    count: usize,
    space: &ParamSpace<B>,
) -> Result<InnerFloat<B>, Error> {
    let small = gram::<B>(rows.clone(), rows.clone(), count)?;
    // G^−½ = V Λ^−½ Vᵀ moves the rows least.
    let entry = |i: usize, j: usize| -> f64 {
        let terms = small.values.iter().enumerate();
        let terms =
            terms.map(|(k, value)| small.vectors[(i, k)] * small.vectors[(j, k)] / value.sqrt());
        terms.sum()
    };
    let entries: Vec<f64> = (0..count * count).map(|at| entry(at / count, at % count)).collect();
    if entries.iter().any(|entry| !entry.is_finite()) {
        return Err(OperatorError::Eigenvalues { size: count }.into());
    }
    let turn = upload(&entries, [count, count], space);
    Ok(Inner::<B>::float_matmul(turn, rows))
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most: f64, value| most.max(value.abs()))
}
