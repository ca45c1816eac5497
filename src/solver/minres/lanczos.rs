//! The Lanczos process and the directions of MINRES: vectors on the device.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{DeviceScalar, ParamVector},
};

use super::{super::SolverError, rotation::Column};

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

/// The next Lanczos vector q = βₖ₊₁uₖ₊₁ before scaling, and what the read-back shows of it.
pub(super) struct Next<B: AutodiffBackend> {
    /// q
    pub(super) vector: ParamVector<B>,
    /// M⁻¹q, with a preconditioner.
    preconditioned: Option<ParamVector<B>>,
    /// αₖ
    pub(super) alpha: f64,
    /// βₖ₊₁
    pub(super) beta: f64,
    /// rᵀr, rᵀq and qᵀq, for the norm of the next r.
    pub(super) squares: [f64; 3],
}

impl<B: AutodiffBackend> Next<B> {
    /// Reads αₖ, βₖ₊₁² and, where r is kept, the scalar products for its norm: one transfer. `None` if αₖ or βₖ₊₁ leaves
    /// the range of the number format; `scale` is a lower bound of ‖A‖.
    pub(super) fn read(
        alpha: &DeviceScalar<B>,
        (vector, preconditioned): (ParamVector<B>, Option<ParamVector<B>>),
        residual: Option<&ParamVector<B>>,
        scale: f64,
    ) -> Result<Option<Self>, Error> {
        let square = vector.dot_device(preconditioned.as_ref().unwrap_or(&vector))?;
        let ([alpha, square], squares) = match residual {
            None => {
                let read = DeviceScalar::read_many(&[alpha, &square])?;
                (read.as_slice().try_into().unwrap_or([f64::NAN; 2]), [0.0; 3])
            }
            Some(r) => {
                let q = &vector;
                let (rr, rq, qq) = (r.dot_device(r)?, r.dot_device(q)?, q.dot_device(q)?);
                let read = DeviceScalar::read_many(&[alpha, &square, &rr, &rq, &qq])?;
                let [alpha, square, rr, rq, qq] =
                    read.as_slice().try_into().unwrap_or([f64::NAN; 5]);
                ([alpha, square], [rr, rq, qq])
            }
        };
        let mut next = Self { vector, preconditioned, alpha, beta: f64::NAN, squares };
        let Some(beta) = next.length(square, scale)? else {
            return Ok(None);
        };
        next.beta = beta;
        Ok(Some(next))
    }

    /// βₖ₊₁ from its square; also where the square leaves the range of the number format.
    fn length(&self, square: f64, scale: f64) -> Result<Option<f64>, Error> {
        let precision = self.vector.precision();
        let safe = precision.smallest_normal() / precision.epsilon();
        if !self.alpha.is_finite() || !square.is_finite() {
            self.vector.expect_finite("the product A v")?;
            if let Some(z) = &self.preconditioned {
                z.expect_finite("the product with the preconditioner")?;
            }
        }
        if !self.alpha.is_finite() {
            return Ok(None);
        }
        let length = match &self.preconditioned {
            Some(_) if square < 0.0 => {
                let rounding = 100.0 * precision.epsilon() * scale.max(self.alpha.abs());
                if -square > rounding * rounding {
                    return Err(SolverError::Preconditioner { found: square }.into());
                }
                0.0
            }
            None if !square.is_finite() || square <= safe => self.vector.norm()?,
            _ => square.sqrt(),
        };
        Ok(length.is_finite().then_some(length))
    }

    /// uₖ₊₁ and vₖ₊₁
    pub(super) fn scaled(self) -> Pair<B> {
        Pair::new(self.vector, self.preconditioned, self.beta)
    }
}
