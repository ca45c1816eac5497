//! Full reorthogonalization of the vectors of a Krylov method. Knows vectors only.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{DeviceScalar, ParamVector},
};

/// All residuals or Lanczos vectors rⱼ so far, with zⱼ = M⁻¹rⱼ, scaled to rⱼᵀzⱼ = 1.
pub(super) struct Basis<B: AutodiffBackend> {
    residuals: Vec<(ParamVector<B>, Option<ParamVector<B>>)>,
}

impl<B: AutodiffBackend> Basis<B> {
    /// Without rounding every residual is M⁻¹-orthogonal to the earlier ones; one pass of Gram-Schmidt leaves errors
    /// that a second one removes.
    const PASSES: usize = 2;

    pub(super) fn new() -> Self {
        Self { residuals: Vec::new() }
    }

    /// r − Σⱼ (rᵀzⱼ) rⱼ. Everything stays on the device.
    pub(super) fn orthogonalize(
        &self,
        mut residual: ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        for _ in 0..Self::PASSES {
            for (earlier, preconditioned) in &self.residuals {
                let overlap = residual.dot_device(preconditioned.as_ref().unwrap_or(earlier))?;
                residual = residual.axpy_device(&overlap.neg(), earlier)?;
            }
        }
        Ok(residual)
    }

    /// The correction Z T⁻¹ Zᵀ r of x within the space that the first `steps` vectors span, where Z holds the zⱼ and
    /// T = Zᵀ A Z is the tridiagonal of the iteration; `inverse` is its (pseudo-)inverse, and may give fewer numbers
    /// than it takes. One transfer, and no product with A.
    ///
    /// Without rounding r is orthogonal to this space and the correction is zero. With it, the recurrences for an
    /// indefinite A lose digits: those of conjugate gradients as many as the intermediate residuals grow, those of
    /// MINRES up to twice as many as A's condition number has. A solve with the whole T gets them back.
    pub(super) fn correction(
        &self,
        residual: &ParamVector<B>,
        steps: usize,
        inverse: impl FnOnce(&[f64]) -> Option<Vec<f64>>,
    ) -> Result<Option<ParamVector<B>>, Error> {
        let directions: Vec<_> =
            self.residuals.iter().take(steps).map(|(r, z)| z.as_ref().unwrap_or(r)).collect();
        let overlaps = directions.iter().map(|z| z.dot_device(residual));
        let overlaps: Vec<_> = overlaps.collect::<Result<_, _>>()?;
        let overlaps = DeviceScalar::read_many(&overlaps.iter().collect::<Vec<_>>())?;
        let Some(coefficients) = inverse(&overlaps) else {
            return Ok(None);
        };
        let mut correction = residual.space().zeros();
        for (coefficient, direction) in coefficients.into_iter().zip(directions) {
            correction = correction.axpy(coefficient, direction)?;
        }
        Ok(Some(correction))
    }

    /// Number of vectors.
    pub(super) fn len(&self) -> usize {
        self.residuals.len()
    }

    /// Adds a vector that is scaled already.
    pub(super) fn push_unit(
        &mut self,
        residual: &ParamVector<B>,
        preconditioned: Option<&ParamVector<B>>,
    ) {
        self.residuals.push((residual.clone(), preconditioned.cloned()));
    }

    /// Adds a residual, given rᵀz > 0.
    pub(super) fn push(
        &mut self,
        residual: &ParamVector<B>,
        preconditioned: Option<&ParamVector<B>>,
        rho: &DeviceScalar<B>,
    ) -> Result<(), Error> {
        let length = rho.sqrt();
        let one = length.div(&length)?;
        let inverse = one.div(&length)?;
        let preconditioned =
            preconditioned.map(|z| z.clone().scale_device(&inverse)).transpose()?;
        self.residuals.push((residual.clone().scale_device(&inverse)?, preconditioned));
        Ok(())
    }
}
