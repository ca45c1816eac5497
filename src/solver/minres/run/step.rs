//! One iteration of MINRES: the next Lanczos vector with the one read-back, and what the host makes of it.

use burn_backend::AutodiffBackend;

use super::{
    super::rotation::{Column, Energy, Rotation},
    End, Run,
    lanczos::{Directions, Lanczos, Pair},
};
use crate::{
    error::Error,
    krylov::ResidualBasis,
    solver::{Iteration, NegativeCurvature, SolverError, StopReason},
    space::{DeviceScalar, ParamVector},
};

/// The state of the loop: vectors, and the numbers that go with them.
pub(super) struct State<B: AutodiffBackend> {
    pub(super) rotation: Rotation,
    energy: Energy,
    pub(super) lanczos: Lanczos<B>,
    pub(super) directions: Directions<B>,
    /// r by its recurrence, where its norm does not follow from the rotations.
    residual: Option<ParamVector<B>>,
}

/// The next Lanczos vector q = βₖ₊₁uₖ₊₁ before scaling, and what the read-back told of it.
pub(super) struct Next<B: AutodiffBackend> {
    vector: ParamVector<B>,
    preconditioned: Option<ParamVector<B>>,
    /// αₖ
    pub(super) alpha: f64,
    /// βₖ₊₁
    pub(super) beta: f64,
    /// rᵀr, rᵀq and qᵀq, for the norm of the next r.
    squares: [f64; 3],
}

impl<B: AutodiffBackend> Next<B> {
    pub(super) fn scaled(self) -> Pair<B> {
        Pair::new(self.vector, self.preconditioned, self.beta)
    }
}

impl<B: AutodiffBackend> Run<'_, '_, B> {
    /// Starts from r = b − A x, whose norm is known.
    pub(super) fn start(&mut self, r: ParamVector<B>) -> Result<State<B>, Error> {
        let z = self.precondition(&r)?;
        let length = match &z {
            None => self.verified.residual,
            Some(z) => {
                let square = r.dot(z)?;
                if !square.is_finite() {
                    z.expect_finite("the product with the preconditioner")?;
                }
                if square <= 0.0 || !square.is_finite() {
                    return Err(SolverError::Preconditioner { found: square }.into());
                }
                square.sqrt()
            }
        };
        self.estimate.restart();
        self.candidate = None;
        let residual = z.is_some().then(|| r.clone());
        let first = Pair::new(r, z, length);
        self.basis = self
            .config
            .reorthogonalization
            .then(|| ResidualBasis::new(&first.u, first.preconditioned().is_some()));
        if let Some(basis) = &mut self.basis {
            basis.push_unit(&first.u, first.preconditioned());
        }
        Ok(State {
            rotation: Rotation::new(length),
            energy: Energy::new(self.objective, length),
            lanczos: Lanczos::new(first),
            directions: Directions::new(),
            residual,
        })
    }

    /// The next Lanczos vector, or `None` if its length leaves the range of the numbers.
    pub(super) fn expand(&self, state: &State<B>) -> Result<Option<Next<B>>, Error> {
        let product = self.system.multiply(state.lanczos.current.v())?;
        let (alpha, vector) = state.lanczos.expand(product)?;
        let vector = match &self.basis {
            Some(basis) => basis.orthogonalize(vector)?,
            None => vector,
        };
        let preconditioned = self.precondition(&vector)?;
        let square = vector.dot_device(preconditioned.as_ref().unwrap_or(&vector))?;
        let (seen, squares) = read(&alpha, &square, &vector, state.residual.as_ref())?;
        let mut next = Next { vector, preconditioned, alpha: seen[0], beta: f64::NAN, squares };
        match self.length(&next, seen[1])? {
            Some(beta) => next.beta = beta,
            None => return Ok(None),
        }
        Ok(Some(next))
    }

    /// βₖ₊₁ from its square; also where the square leaves the range of the numbers.
    fn length(&self, next: &Next<B>, square: f64) -> Result<Option<f64>, Error> {
        let precision = self.system.rhs().precision();
        let safe = precision.smallest_normal() / precision.epsilon();
        if !next.alpha.is_finite() || !square.is_finite() {
            next.vector.expect_finite("the product A v")?;
            if let Some(z) = &next.preconditioned {
                z.expect_finite("the product with the preconditioner")?;
            }
        }
        if !next.alpha.is_finite() {
            return Ok(None);
        }
        let length = match &next.preconditioned {
            Some(_) if square < 0.0 => {
                let rounding = 100.0 * precision.epsilon() * self.scale.max(next.alpha.abs());
                if -square > rounding * rounding {
                    return Err(SolverError::Preconditioner { found: square }.into());
                }
                0.0
            }
            None if !square.is_finite() || square <= safe => next.vector.norm()?,
            _ => square.sqrt(),
        };
        Ok(length.is_finite().then_some(length))
    }

    /// Keeps the first Lanczos vector along which A is negative.
    pub(super) fn note_curvature(&mut self, alpha: f64, state: &State<B>) -> Result<(), Error> {
        let rounding = 10.0 * self.system.rhs().precision().epsilon() * self.scale;
        if alpha < -rounding && self.negative.is_none() {
            let direction = state.lanczos.current.v();
            let length = direction.norm()?;
            self.negative = Some(NegativeCurvature {
                direction: direction.clone(),
                curvature: alpha / length / length,
            });
        }
        Ok(())
    }

    /// Takes note of a step.
    pub(super) fn advance(
        &mut self,
        state: &mut State<B>,
        next: &Next<B>,
        column: &Column,
    ) -> Result<(), Error> {
        self.iterations += 1;
        self.verified.current = false;
        self.estimate.push(next.alpha, next.beta, column);
        state.energy.advance(column, state.rotation.overlap());
        state.rotation.accept(column);
        self.objective = state.energy.value();
        self.residual = state.rotation.residual;
        if let Some(r) = state.residual.take() {
            // rₖ = sₖ² rₖ₋₁ − (φₖ/γₖ) q
            let (keep, take) = (column.sine * column.sine, column.step / column.gamma);
            let [rr, rq, qq] = next.squares;
            let square = keep * keep * rr - 2.0 * keep * take * rq + take * take * qq;
            self.residual = square.max(0.0).sqrt();
            state.residual = Some(r.scale(keep).axpy(-take, &next.vector)?);
        }
        Ok(())
    }

    /// Shows the step to the observer, and decides whether it was the last.
    pub(super) fn decide(
        &mut self,
        next: &Next<B>,
        column: &Column,
        x: &ParamVector<B>,
    ) -> Option<End> {
        if let Some(observer) = &mut self.observer {
            observer(&Iteration {
                index: self.iterations,
                residual: self.residual,
                relative_residual: self.residual / self.rhs_norm,
                curvature: next.alpha,
                objective: self.objective,
                x,
            });
        }
        let [residual, normal] = &mut self.stagnation;
        let stagnates = residual.stagnates(self.residual) & normal.stagnates(column.root);
        if self.residual <= self.threshold || self.is_complete(next.beta) {
            Some(End::Claimed)
        } else if stagnates {
            Some(End::Stop(StopReason::Stagnation))
        } else if self.iterations >= self.limit {
            Some(End::Stop(StopReason::IterationLimit))
        } else {
            None
        }
    }

    /// Whether the Krylov space is invariant under A, so that it holds all that can be found.
    fn is_complete(&self, beta: f64) -> bool {
        let rhs = self.system.rhs();
        let full = self.basis.is_some() && self.estimate.steps() >= rhs.len();
        full || beta <= 10.0 * rhs.precision().epsilon() * self.scale
    }

    pub(super) fn precondition(&self, r: &ParamVector<B>) -> Result<Option<ParamVector<B>>, Error> {
        self.preconditioner.map(|inverse| inverse.apply(r)).transpose()
    }
}

/// αₖ and β², and the scalar products for the norm of r if that is kept: one transfer.
fn read<B: AutodiffBackend>(
    alpha: &DeviceScalar<B>,
    square: &DeviceScalar<B>,
    next: &ParamVector<B>,
    residual: Option<&ParamVector<B>>,
) -> Result<([f64; 2], [f64; 3]), Error> {
    let Some(r) = residual else {
        let read = DeviceScalar::read_many(&[alpha, square])?;
        return Ok((read.as_slice().try_into().unwrap_or([f64::NAN; 2]), [0.0; 3]));
    };
    let (rr, rq, qq) = (r.dot_device(r)?, r.dot_device(next)?, next.dot_device(next)?);
    let read = DeviceScalar::read_many(&[alpha, square, &rr, &rq, &qq])?;
    let [alpha, square, rr, rq, qq] = read.as_slice().try_into().unwrap_or([f64::NAN; 5]);
    Ok(([alpha, square], [rr, rq, qq]))
}
