//! Full reorthogonalization of the residuals or Lanczos vectors of a solver, with or without a preconditioner.

use burn_backend::AutodiffBackend;
use faer::Mat;

use crate::{
    error::Error,
    space::{DeviceScalar, ParamSpace, ParamVector},
};

use super::Basis;

/// All residuals or Lanczos vectors rⱼ so far, with zⱼ = M⁻¹rⱼ, scaled to rⱼᵀzⱼ = 1.
pub(crate) struct ResidualBasis<B: AutodiffBackend> {
    residuals: Basis<B>,
    /// The zⱼ, if there is a preconditioner.
    preconditioned: Option<Basis<B>>,
}

impl<B: AutodiffBackend> ResidualBasis<B> {
    /// No vectors yet.
    pub(crate) fn new(space: &ParamSpace<B>, preconditioned: bool) -> Self {
        Self {
            residuals: Basis::new(space),
            preconditioned: preconditioned.then(|| Basis::new(space)),
        }
    }

    /// The zⱼ.
    fn duals(&self) -> &Basis<B> {
        self.preconditioned.as_ref().unwrap_or(&self.residuals)
    }

    /// r − Σⱼ (rᵀzⱼ) rⱼ, twice: without rounding every residual is M⁻¹-orthogonal to the earlier ones, and what one pass
    /// of Gram-Schmidt leaves a second one removes. Everything stays on the device.
    pub(crate) fn orthogonalize(&self, residual: ParamVector<B>) -> Result<ParamVector<B>, Error> {
        let flat = residual.flat_tensor();
        let rest = self.residuals.project_along(self.duals(), flat, usize::MAX).rest;
        Ok(residual.space().from_flat_tensor(rest)?)
    }

    /// The correction Z T⁻¹ Zᵀ r of x within the space that the first `steps` vectors span, where Z holds the zⱼ and
    /// T = Zᵀ A Z is the tridiagonal of the iteration; `inverse` applies its (pseudo-)inverse, and may return fewer
    /// values than it takes. One transfer, and no product with A.
    ///
    /// Without rounding r is orthogonal to this space and the correction is zero. With it, the recurrences for an
    /// indefinite A lose digits: those of conjugate gradients as many as the intermediate residuals grow, those of
    /// MINRES up to twice as many as A's condition number has. A solve with the whole T gets them back.
    pub(crate) fn correction(
        &self,
        residual: &ParamVector<B>,
        steps: usize,
        inverse: impl FnOnce(&[f64]) -> Option<Vec<f64>>,
    ) -> Result<Option<ParamVector<B>>, Error> {
        let directions = self.duals();
        let mut overlaps = directions.project(residual.flat_tensor(), 0).read_one()?.coefficients;
        overlaps.truncate(steps);
        let Some(coefficients) = inverse(&overlaps) else {
            return Ok(None);
        };
        let column = Mat::from_fn(directions.len(), 1, |row, _| {
            coefficients.get(row).copied().unwrap_or(0.0)
        });
        directions.combine(&column).vector(0)
    }

    /// Number of vectors.
    pub(crate) fn len(&self) -> usize {
        self.residuals.len()
    }

    /// Adds a vector that is scaled already.
    pub(crate) fn push_unit(&mut self, r: &ParamVector<B>, z: Option<&ParamVector<B>>) {
        self.residuals.push(r.flat_tensor());
        if let (Some(basis), Some(z)) = (&mut self.preconditioned, z) {
            basis.push(z.flat_tensor());
        }
    }

    /// Adds a residual, given rᵀz > 0.
    pub(crate) fn push(
        &mut self,
        r: &ParamVector<B>,
        z: Option<&ParamVector<B>>,
        rho: &DeviceScalar<B>,
    ) -> Result<(), Error> {
        let length = rho.sqrt();
        let one = length.div(&length)?;
        let inverse = one.div(&length)?;
        let z = z.map(|z| z.clone().scale_device(&inverse)).transpose()?;
        self.push_unit(&r.clone().scale_device(&inverse)?, z.as_ref());
        Ok(())
    }
}
