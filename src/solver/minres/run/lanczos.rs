//! The Lanczos process and the directions of MINRES: vectors on the device. Decides nothing.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{DeviceScalar, ParamVector},
};

use super::super::rotation::Column;

/// A Lanczos vector u, with v = M⁻¹u if there is a preconditioner, scaled to uᵀv = 1.
pub(super) struct Pair<B: AutodiffBackend> {
    pub(super) u: ParamVector<B>,
    preconditioned: Option<ParamVector<B>>,
}

impl<B: AutodiffBackend> Pair<B> {
    /// From the vectors before scaling.
    pub(super) fn new(
        u: ParamVector<B>,
        preconditioned: Option<ParamVector<B>>,
        length: f64,
    ) -> Self {
        let inverse = 1.0 / length;
        Self { u: u.scale(inverse), preconditioned: preconditioned.map(|v| v.scale(inverse)) }
    }

    pub(super) fn v(&self) -> &ParamVector<B> {
        self.preconditioned.as_ref().unwrap_or(&self.u)
    }

    pub(super) fn preconditioned(&self) -> Option<&ParamVector<B>> {
        self.preconditioned.as_ref()
    }
}

/// The last two Lanczos vectors.
pub(super) struct Lanczos<B: AutodiffBackend> {
    /// uₖ and vₖ
    pub(super) current: Pair<B>,
    /// uₖ₋₁
    previous: Option<ParamVector<B>>,
    /// βₖ
    pub(super) beta: f64,
}

impl<B: AutodiffBackend> Lanczos<B> {
    /// Starts with the first pair and its length before scaling.
    pub(super) fn new(first: Pair<B>) -> Self {
        Self { current: first, previous: None, beta: 0.0 }
    }

    /// αₖ and βₖ₊₁uₖ₊₁ = A vₖ − βₖuₖ₋₁ − αₖuₖ, both on the device.
    pub(super) fn expand(
        &self,
        product: ParamVector<B>,
    ) -> Result<(DeviceScalar<B>, ParamVector<B>), Error> {
        let mut next = product;
        if let Some(previous) = &self.previous {
            next = next.axpy(-self.beta, previous)?;
        }
        let alpha = next.dot_device(self.current.v())?;
        let next = next.axpy_device(&alpha.neg(), &self.current.u)?;
        Ok((alpha, next))
    }

    /// Goes on to the next pair, which had the length βₖ₊₁ before scaling.
    pub(super) fn advance(&mut self, next: Pair<B>, beta: f64) {
        let before = std::mem::replace(&mut self.current, next);
        self.previous = Some(before.u);
        self.beta = beta;
    }
}

/// wₖ₋₁ and wₖ₋₂, along which x moves.
pub(super) struct Directions<B: AutodiffBackend> {
    last: Option<ParamVector<B>>,
    earlier: Option<ParamVector<B>>,
}

impl<B: AutodiffBackend> Directions<B> {
    pub(super) fn new() -> Self {
        Self { last: None, earlier: None }
    }

    /// wₖ = (vₖ − εₖwₖ₋₂ − δₖwₖ₋₁) / γₖ
    pub(super) fn next(
        &mut self,
        v: &ParamVector<B>,
        column: &Column,
    ) -> Result<&ParamVector<B>, Error> {
        let mut w = v.clone();
        if let Some(earlier) = self.earlier.take() {
            w = w.axpy(-column.epsilon, &earlier)?;
        }
        if let Some(last) = &self.last {
            w = w.axpy(-column.delta, last)?;
        }
        self.earlier = self.last.take();
        Ok(self.last.insert(w.scale(1.0 / column.gamma)))
    }
}
