//! Inverses of damped factors on the device, by matrix products, with a checked residual.
//!
//! M = LLᵀ is factored by halves, and L inverted with it: with M = [P Q; Qᵀ S], W₁ the inverse of the factor of P and W₂ that
//! of the Schur complement C,
//!
//! ```text
//! B = W₁Q     C = S − BᵀB     L⁻¹ = W = [    W₁       0 ]     M⁻¹ = WᵀW
//!                                       [−W₂BᵀW₁      W₂]
//! ```
//!
//! until the blocks are small; those are factored on the host, in f64. Together this takes one and two thirds of the
//! multiplications of a product of two matrices of this size. (Golub & Van Loan, Matrix Computations, section 4.2.9, Cholesky
//! by blocks; the inverse is symmetric and positive definite by its form.)

use std::ops::Range;

use burn_backend::{AutodiffBackend, Slice, ops::FloatTensorOps};

use super::{InversionPlace, KroneckerFactor, matrix::inverse_root};
use crate::{
    error::Error,
    operator::{KroneckerSide, upload},
    space::{Inner, InnerFloat, ParamSpace, read_tensor, sum},
};

/// Rows of the blocks that the host factors.
const LEAF: usize = 128;

/// M = A + δI of one factor, with a δ for each group.
struct Damped<'a, B: AutodiffBackend> {
    space: &'a ParamSpace<B>,
    /// `[groups, size, size]`
    factor: InnerFloat<B>,
    damping: &'a [f64],
    groups: usize,
    size: usize,
}

impl<B: AutodiffBackend> KroneckerFactor<B> {
    /// X ≈ (M + δI)⁻¹ with a δ for each group by the device, with ‖I − (M + δI)X‖₂ up to a tolerance, and where it was
    /// computed; `None` if it is left to the host, as where the device's precision does not allow it.
    #[allow(clippy::type_complexity)]
    pub(super) fn inverse_on_device(
        &self,
        damping: &[f64],
        tolerance: f64,
        space: &ParamSpace<B>,
    ) -> Result<(Option<KroneckerSide<Inner<B>>>, InversionPlace), Error> {
        let Some(factor) = self.device().cloned() else {
            return Ok((None, InversionPlace::Host));
        };
        let (groups, size) = (self.groups(), self.size());
        let damped = Damped { space, factor, damping, groups, size };
        let Some(root) = damped.inverse_root(damped.factor.clone(), size)? else {
            return Ok((None, InversionPlace::Fallback { residual: None, tolerance }));
        };
        let inverse = Inner::<B>::float_matmul(transposed::<B>(root.clone()), root); // WᵀW
        let residual = damped.residual(inverse.clone(), tolerance)?;
        if residual <= tolerance {
            let inverse = KroneckerSide::Matrix(inverse);
            return Ok((Some(inverse), InversionPlace::Device { residual }));
        }
        let residual = Some(residual).filter(|residual| residual.is_finite());
        Ok((None, InversionPlace::Fallback { residual, tolerance }))
    }
}

impl<B: AutodiffBackend> Damped<'_, B> {
    /// W = L⁻¹ of a diagonal block or a Schur complement, to which the damping has not been added yet; `None` if it is
    /// not positive definite.
    fn inverse_root(
        &self,
        matrix: InnerFloat<B>,
        size: usize,
    ) -> Result<Option<InnerFloat<B>>, Error> {
        if size <= LEAF {
            return self.on_host(matrix, size);
        }
        let half = size.div_ceil(LEAF).div_ceil(2) * LEAF;
        let (upper, lower) = (0..half, half..size);
        let part = |rows: &Range<usize>, columns: &Range<usize>| {
            let range = [Slice::full(), Slice::from(rows.clone()), Slice::from(columns.clone())];
            Inner::<B>::float_slice(matrix.clone(), &range)
        };
        let Some(first) = self.inverse_root(part(&upper, &upper), half)? else {
            return Ok(None); //                                                       W₁
        };
        let across = Inner::<B>::float_matmul(first.clone(), part(&upper, &lower)); // B
        let down = transposed::<B>(across.clone()); //                                Bᵀ
        let removed = Inner::<B>::float_matmul(down.clone(), across);
        let complement = Inner::<B>::float_sub(part(&lower, &lower), removed); //     C
        let Some(last) = self.inverse_root(complement, size - half)? else {
            return Ok(None); //                                                       W₂
        };
        let corner = Inner::<B>::float_matmul(down, first.clone());
        let corner = Inner::<B>::float_neg(Inner::<B>::float_matmul(last.clone(), corner));
        let zeros = Inner::<B>::float_zeros(
            [self.groups, half, size - half].into(),
            self.space.device(),
            self.space.precision().dtype(),
        );
        let top = Inner::<B>::float_cat(vec![first, zeros], 2);
        let bottom = Inner::<B>::float_cat(vec![corner, last], 2);
        Ok(Some(Inner::<B>::float_cat(vec![top, bottom], 1)))
    }

    /// The same for a small block, in f64.
    fn on_host(&self, matrix: InnerFloat<B>, size: usize) -> Result<Option<InnerFloat<B>>, Error> {
        let values = read_tensor::<B>(matrix)?;
        let mut roots = Vec::with_capacity(values.len());
        for (group, &damping) in values.chunks((size * size).max(1)).zip(self.damping) {
            let Some(root) = inverse_root(group, size, damping) else {
                return Ok(None);
            };
            roots.extend(root);
        }
        Ok(Some(upload(&roots, [self.groups, size, size], self.space)))
    }

    /// A bound of ‖R‖₂ for R = I − MX: ‖R‖_F, or ‖RᵀR‖_F^½ where that is not within the tolerance. The second is closer by up
    /// to the fourth root of the size where R is noise, as rounding is, and costs a product. Reads one number each.
    fn residual(&self, inverse: InnerFloat<B>, tolerance: f64) -> Result<f64, Error> {
        let product = Inner::<B>::float_matmul(self.factor.clone(), inverse.clone());
        let damping = upload(self.damping, [self.groups, 1, 1], self.space);
        let product = Inner::<B>::float_add(product, Inner::<B>::float_mul(inverse, damping));
        let rest = Inner::<B>::float_add(product, self.off_diagonal());
        let rest = Inner::<B>::float_add_scalar(rest, (-1.0).into()); //              −R
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
}

/// ‖R‖_F, over all groups. Reads one number.
fn frobenius<B: AutodiffBackend>(matrix: InnerFloat<B>) -> Result<f64, Error> {
    let square = sum::<B>(Inner::<B>::float_mul(matrix.clone(), matrix));
    Ok(read_tensor::<B>(square)?.iter().sum::<f64>().sqrt())
}

fn transposed<B: AutodiffBackend>(matrix: InnerFloat<B>) -> InnerFloat<B> {
    Inner::<B>::float_swap_dims(matrix, 1, 2)
}
