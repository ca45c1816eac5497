//! Inverses of damped factors on the device, by matrix products, with a checked residual.
//!
//! A positive definite matrix is inverted by halves: with M = [P Q; Qᵀ S] and the Schur complement C = S − QᵀP⁻¹Q,
//!
//! ```text
//! M⁻¹ = [P⁻¹ + V Wᵀ   −V ]      W = P⁻¹Q,   V = W C⁻¹
//!       [   −Vᵀ       C⁻¹]
//! ```
//!
//! until the blocks are small; those are inverted on the host, by Cholesky in f64. Together this takes two thirds of the
//! multiplications of one product of two matrices of this size. Newton-Schulz steps X ← X (2I − MX) then square what is left
//! of the residual I − MX, as far as the device's precision goes (Higham 2008, Functions of matrices, section 5.3; Strassen
//! 1969 for the halves).

use burn_backend::{AutodiffBackend, Slice, ops::FloatTensorOps};

use super::matrix::{FactorShape, inverse_of_definite};
use crate::{
    error::Error,
    operator::upload,
    space::{Inner, InnerFloat, ParamSpace, read_tensor},
};

/// Rows of the blocks that the host inverts.
const LEAF: usize = 128;
/// Newton-Schulz steps at most.
const REFINEMENTS: usize = 4;

/// What came of an attempt.
pub(super) enum Attempt<B: AutodiffBackend> {
    /// ‖I − MX‖ is within the tolerance.
    Reached {
        /// X, of the shape of the factor.
        inverse: InnerFloat<B>,
        /// A bound of ‖I − MX‖₂.
        residual: f64,
        /// Newton-Schulz steps.
        refinements: usize,
    },
    /// It is not; NaN where a block was not positive definite.
    Missed {
        /// The smallest bound of ‖I − MX‖₂.
        residual: f64,
    },
}

/// M = A + δI of one factor, with a δ for each group.
pub(super) struct Damped<'a, B: AutodiffBackend> {
    space: &'a ParamSpace<B>,
    /// `[groups, size, size]`
    factor: InnerFloat<B>,
    damping: &'a [f64],
    groups: usize,
    size: usize,
}

impl<'a, B: AutodiffBackend> Damped<'a, B> {
    /// Of a factor of shape `[groups, size, size]`.
    pub fn new(
        factor: InnerFloat<B>,
        shape: FactorShape,
        damping: &'a [f64],
        space: &'a ParamSpace<B>,
    ) -> Self {
        Self { space, factor, damping, groups: shape.groups, size: shape.size }
    }

    /// X with ‖I − MX‖₂ up to a tolerance, if the device's precision allows it.
    pub fn inverse(&self, tolerance: f64) -> Result<Attempt<B>, Error> {
        let mut smallest = f64::NAN;
        let Some(first) = self.by_halves(self.factor.clone(), self.size)? else {
            return Ok(Attempt::Missed { residual: smallest });
        };
        let (off, damping) = (self.off_diagonal(), self.damping_on_device());
        let mut x = symmetric::<B>(first);
        for refinements in 0..=REFINEMENTS {
            let product = Inner::<B>::float_matmul(self.factor.clone(), x.clone());
            let shift = Inner::<B>::float_mul(x.clone(), damping.clone());
            let product = Inner::<B>::float_add(product, shift); //      M X
            let residual = self.residual(product.clone(), off.clone(), tolerance)?;
            if residual <= tolerance {
                return Ok(Attempt::Reached { inverse: x, residual, refinements });
            }
            let shrinks = smallest.is_nan() || residual < 0.5 * smallest;
            smallest = smallest.min(residual);
            if !(residual < 1.0 && shrinks) {
                break;
            }
            let twice = Inner::<B>::float_mul_scalar(x.clone(), 2.0.into());
            let step = Inner::<B>::float_matmul(x, product);
            x = symmetric::<B>(Inner::<B>::float_sub(twice, step)); //   X ← 2X − X M X
        }
        Ok(Attempt::Missed { residual: smallest })
    }

    /// (M + δI)⁻¹ of a diagonal block or a Schur complement, of which the damping is not yet part; `None` if it is not
    /// positive definite.
    fn by_halves(
        &self,
        matrix: InnerFloat<B>,
        size: usize,
    ) -> Result<Option<InnerFloat<B>>, Error> {
        if size <= LEAF {
            return self.on_host(matrix, size);
        }
        let half = size.div_ceil(LEAF).div_ceil(2) * LEAF;
        let (upper, lower) = (0..half, half..size);
        let part = |rows: &std::ops::Range<usize>, columns: &std::ops::Range<usize>| {
            let range = [Slice::full(), Slice::from(rows.clone()), Slice::from(columns.clone())];
            Inner::<B>::float_slice(matrix.clone(), &range)
        };
        let across = part(&upper, &lower); //                            Q
        let Some(first) = self.by_halves(part(&upper, &upper), half)? else {
            return Ok(None); //                                          P⁻¹
        };
        let solved = Inner::<B>::float_matmul(first.clone(), across.clone()); // W
        let removed = Inner::<B>::float_matmul(transposed::<B>(across), solved.clone());
        let complement = Inner::<B>::float_sub(part(&lower, &lower), removed); // C
        let Some(last) = self.by_halves(complement, size - half)? else {
            return Ok(None); //                                          C⁻¹
        };
        let corner = Inner::<B>::float_matmul(solved.clone(), last.clone()); // V
        let added = Inner::<B>::float_matmul(corner.clone(), transposed::<B>(solved));
        let first = Inner::<B>::float_add(first, added);
        let corner = Inner::<B>::float_neg(corner);
        let top = Inner::<B>::float_cat(vec![first, corner.clone()], 2);
        let bottom = Inner::<B>::float_cat(vec![transposed::<B>(corner), last], 2);
        Ok(Some(Inner::<B>::float_cat(vec![top, bottom], 1)))
    }

    /// The same of a small block, by Cholesky in f64.
    fn on_host(&self, matrix: InnerFloat<B>, size: usize) -> Result<Option<InnerFloat<B>>, Error> {
        let values = read_tensor::<B>(matrix)?;
        let mut inverses = Vec::with_capacity(values.len());
        for (group, &damping) in values.chunks((size * size).max(1)).zip(self.damping) {
            let entry = |row: usize, column: usize| group[row * size + column];
            let symmetric: Vec<f64> = (0..size * size)
                .map(|at| 0.5 * (entry(at / size, at % size) + entry(at % size, at / size)))
                .collect();
            let Some(inverse) = inverse_of_definite(&symmetric, size, damping) else {
                return Ok(None);
            };
            inverse.col_iter().for_each(|column| inverses.extend(column.iter().copied()));
        }
        Ok(Some(upload(&inverses, [self.groups, size, size], self.space)))
    }

    /// A bound of ‖I − MX‖₂: ‖R‖_F, or ‖RᵀR‖_F^½ where that is not within the tolerance. The second is closer by up to the
    /// fourth root of the size where R is noise, as rounding is, and costs a product. Reads one number each.
    fn residual(
        &self,
        product: InnerFloat<B>,
        off: InnerFloat<B>,
        tolerance: f64,
    ) -> Result<f64, Error> {
        let rest = Inner::<B>::float_add(product, off);
        let rest = Inner::<B>::float_add_scalar(rest, (-1.0).into()); // −R
        let first = frobenius::<B>(rest.clone())?;
        if first <= tolerance || !first.is_finite() {
            return Ok(first);
        }
        let square = Inner::<B>::float_matmul(transposed::<B>(rest.clone()), rest);
        Ok(first.min(frobenius::<B>(square)?.sqrt()))
    }

    /// One off the diagonal and zero on it, `[1, size, size]`: min(|i − j|, 1).
    fn off_diagonal(&self) -> InnerFloat<B> {
        let indices: Vec<f64> = (0..self.size).map(|index| index as f64).collect();
        let row = upload(&indices, [1, 1, self.size], self.space);
        let column = upload(&indices, [1, self.size, 1], self.space);
        let distance = Inner::<B>::float_abs(Inner::<B>::float_sub(column, row));
        Inner::<B>::float_clamp_max(distance, 1.0.into())
    }

    fn damping_on_device(&self) -> InnerFloat<B> {
        upload(self.damping, [self.groups, 1, 1], self.space)
    }
}

/// ‖R‖_F, over all groups. Reads one number.
fn frobenius<B: AutodiffBackend>(matrix: InnerFloat<B>) -> Result<f64, Error> {
    let square = Inner::<B>::float_sum(Inner::<B>::float_mul(matrix.clone(), matrix));
    Ok(read_tensor::<B>(square)?.iter().sum::<f64>().sqrt())
}

fn transposed<B: AutodiffBackend>(matrix: InnerFloat<B>) -> InnerFloat<B> {
    Inner::<B>::float_swap_dims(matrix, 1, 2)
}

/// (X + Xᵀ)/2
fn symmetric<B: AutodiffBackend>(matrix: InnerFloat<B>) -> InnerFloat<B> {
    let sum = Inner::<B>::float_add(matrix.clone(), transposed::<B>(matrix));
    Inner::<B>::float_mul_scalar(sum, 0.5.into())
}
