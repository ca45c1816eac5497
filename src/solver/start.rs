//! What an iterative solver reads from the device before its first iteration. Knows one system, no method.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{DeviceScalar, ParamVector},
};

use super::{SolveOptions, system::System};

/// Numbers on the host before the first iteration.
pub(super) struct Start {
    pub(super) rhs_norm: f64,
    pub(super) residual: f64,
    /// φ(x₀)
    pub(super) objective: f64,
}

impl Start {
    pub(super) fn read<B: AutodiffBackend>(
        system: &System<'_, B>,
        guess: Option<&ParamVector<B>>,
        residual: &ParamVector<B>,
    ) -> Result<Self, Error> {
        let rhs = system.rhs();
        let Some(guess) = guess else {
            let rhs_norm = system.rhs_norm(rhs.dot(rhs)?)?;
            return Ok(Self { rhs_norm, residual: rhs_norm, objective: 0.0 });
        };
        let square = rhs.dot_device(rhs)?;
        let residual_square = residual.dot_device(residual)?;
        // ½ xᵀA x − bᵀx = −½ xᵀ(b + r)
        let overlap = guess.dot_device(&residual.clone().add(rhs)?)?;
        let read = DeviceScalar::read_many(&[&square, &residual_square, &overlap])?;
        let [square, residual_square, overlap] =
            read.as_slice().try_into().unwrap_or([f64::NAN; 3]);
        let rhs_norm = system.rhs_norm(square)?;
        residual.expect_finite("the residual b − A x of the initial guess")?;
        Ok(Self {
            rhs_norm,
            residual: if rhs_norm == 0.0 { 0.0 } else { residual_square.sqrt() },
            objective: -0.5 * overlap,
        })
    }
}

/// x and r = b − A x to start from, with their numbers. A guess is of no use for b = 0, whose solution is 0.
///
/// # Errors
/// As every solver: a guess that does not fit or is not finite, and a b that is not finite or out of range.
pub(super) fn begin<B: AutodiffBackend>(
    system: &System<'_, B>,
    options: &mut SolveOptions<'_, B>,
) -> Result<(ParamVector<B>, ParamVector<B>, Start), Error> {
    let guess = options.initial_guess.take();
    if let Some(guess) = &guess {
        system.rhs().expect_like(guess)?;
        guess.expect_finite("the initial guess")?;
    }
    let residual = match &guess {
        Some(guess) => system.residual(guess)?,
        None => system.rhs().clone(),
    };
    let start = Start::read(system, guess.as_ref(), &residual)?;
    let x = match guess {
        Some(guess) if start.rhs_norm > 0.0 => guess,
        _ => system.rhs().space().zeros(),
    };
    Ok((x, residual, start))
}
