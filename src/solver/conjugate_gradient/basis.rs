//! Full reorthogonalisation of the residuals. Knows vectors only.

use burn_backend::AutodiffBackend;

use crate::{
    Error,
    params::{DeviceScalar, ParamVector},
};

/// All residuals rⱼ so far, with zⱼ = M⁻¹rⱼ, scaled to rⱼᵀzⱼ = 1.
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
    pub(super) fn orthogonalise(&self, mut residual: ParamVector<B>) -> Result<ParamVector<B>, Error> {
        for _ in 0..Self::PASSES {
            for (earlier, preconditioned) in &self.residuals {
                let overlap = residual.dot_device(preconditioned.as_ref().unwrap_or(earlier))?;
                residual = residual.axpy_device(&overlap.neg(), earlier)?;
            }
        }
        Ok(residual)
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
        let preconditioned = preconditioned.map(|z| z.clone().scale_device(&inverse)).transpose()?;
        self.residuals.push((residual.clone().scale_device(&inverse)?, preconditioned));
        Ok(())
    }
}
