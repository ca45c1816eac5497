//! Solvers behind references and boxes are solvers.

use std::sync::Arc;

use burn_backend::AutodiffBackend;

use crate::{error::Error, operator::SelfAdjoint, space::ParamVector};

use super::{LinearSolver, Solution, SolveOptions};

macro_rules! forward_to_inner {
    ($pointer:ty) => {
        impl<B: AutodiffBackend, S: LinearSolver<B> + ?Sized> LinearSolver<B> for $pointer {
            fn solve(
                &self,
                operator: &dyn SelfAdjoint<B>,
                rhs: &ParamVector<B>,
            ) -> Result<Solution<B>, Error> {
                (**self).solve(operator, rhs)
            }

            fn solve_with(
                &self,
                operator: &dyn SelfAdjoint<B>,
                rhs: &ParamVector<B>,
                options: SolveOptions<'_, B>,
            ) -> Result<Solution<B>, Error> {
                (**self).solve_with(operator, rhs, options)
            }

            fn solve_many_with(
                &self,
                operator: &dyn SelfAdjoint<B>,
                rhs: &[ParamVector<B>],
                preconditioner: Option<&dyn SelfAdjoint<B>>,
            ) -> Result<Vec<Solution<B>>, Error> {
                (**self).solve_many_with(operator, rhs, preconditioner)
            }
        }
    };
}

forward_to_inner!(&S);
forward_to_inner!(Box<S>);
forward_to_inner!(Arc<S>);
