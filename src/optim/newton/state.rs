//! The optimizer's state as data: saved and loaded.

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{
    Memory, NewtonOptimizer,
    direction::{Factors, FactorsState},
};
use crate::{
    error::Error,
    optim::{
        OptimizerError,
        instance::{self, Origin},
    },
    space::ParamVector,
    state::{Packed, Visit, numbers, saved},
};

/// Everything that a [`NewtonOptimizer`] carries from one step to the next, to be saved to a file of Burn's format or with
/// serde.
///
/// Values are restored bit by bit from any format, so that a run that resumes from a state continues exactly. Burn saves the
/// model in a file of its own. Load the model before you capture its loss again: parameters are identified by their ids,
/// which come from the model's file. A state is refused for any other instance of the model.
///
/// # Example
/// ℒ = w⁴ from w = 1 by Levenberg–Marquardt damping: the third step is the same after a pause.
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::{Objective, optim::{LevenbergMarquardtConfig, NewtonOptimizerState}};
///
/// #[derive(Module, Debug)]
/// struct Point {
///     w: Param<Tensor<1>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let mut model = Point { w: Param::from_tensor(Tensor::ones([1], &device)) };
/// let one = Tensor::<1>::ones([1], &device);
/// let objective = Objective::capture(&model, one.clone(), |model, one| {
///     let r = model.w.val().powf_scalar(2.0) * one;
///     (r.clone(), r.powf_scalar(2.0).sum())
/// })?;
/// let config = LevenbergMarquardtConfig::new();
/// let mut optimizer = config.init(&objective)?;
/// for _ in 0..2 {
///     (model, _) = optimizer.step(&model, one.clone())?;
/// }
/// let bytes = optimizer.state()?.to_bytes()?;
///
/// let state = NewtonOptimizerState::from_bytes(bytes)?;
/// let mut resumed = config.resume(&objective, &state)?;
/// assert_eq!(resumed.step(&model, one.clone())?.1, optimizer.step(&model, one)?.1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewtonOptimizerState {
    step: usize,
    origin: Origin,
    #[serde(with = "numbers::one")]
    damping: f64,
    #[serde(with = "numbers::one")]
    growth: f64,
    /// At most one number each.
    #[serde(with = "numbers")]
    radius: Vec<f64>,
    #[serde(with = "numbers")]
    first_norm: Vec<f64>,
    #[serde(with = "numbers")]
    last_norm: Vec<f64>,
    #[serde(with = "numbers")]
    tolerance: Vec<f64>,
    /// Steps refused since h last fell.
    #[serde(default)]
    refused: usize,
    #[serde(with = "numbers::optional")]
    solution: Option<Vec<f64>>,
    /// Of a preconditioner that is not computed at every step.
    #[serde(default)]
    factors: Option<FactorsState>,
}

impl NewtonOptimizerState {
    /// Steps so far.
    pub fn step(&self) -> usize {
        self.step
    }
}

saved!(NewtonOptimizerState);

impl Packed for NewtonOptimizerState {
    const KIND: &'static str = "the Newton-type optimizer";

    fn visit(&mut self, visit: &mut Visit<'_>) {
        if let Some(solution) = &mut self.solution {
            visit("solution", &[], solution);
        }
        if let Some(factors) = &mut self.factors {
            factors.visit(visit);
        }
    }
}

impl<B: AutodiffBackend> NewtonOptimizer<B> {
    /// The state carried from one step to the next.
    ///
    /// # Errors
    /// A solution or factors that cannot be read from the device.
    pub fn state(&self) -> Result<NewtonOptimizerState, Error> {
        let memory = &self.memory;
        let list = |number: Option<f64>| number.into_iter().collect();
        Ok(NewtonOptimizerState {
            step: memory.step,
            origin: self.origin(),
            damping: memory.damping,
            growth: memory.growth,
            radius: list(memory.radius),
            refused: memory.refused,
            first_norm: list(memory.first_norm),
            last_norm: list(memory.last_norm),
            tolerance: list(memory.tolerance),
            solution: memory.solution.as_ref().map(ParamVector::to_vec).transpose()?,
            factors: memory.factors.as_ref().map(Factors::state).transpose()?,
        })
    }

    fn origin(&self) -> Origin {
        Origin::new(self.objective.layout(), self.config.rule.name(), self.config.damping)
    }

    /// Resumes from a saved state. The optimizer is unchanged if the state does not fit.
    pub(super) fn load(&mut self, state: &NewtonOptimizerState) -> Result<(), Error> {
        let origin = self.origin();
        origin.expect(&state.origin)?;
        let wrong = |reason| Err(Error::from(OptimizerError::State { reason }));
        if self.config.clone().with_damping(state.damping).validate().is_err() {
            return wrong("its λ is out of the range of the rule");
        }
        let number = |list: &[f64]| list.first().copied();
        let numbers = [&state.radius, &state.first_norm, &state.last_norm, &state.tolerance];
        let known = numbers.into_iter().flatten().chain([&state.damping, &state.growth]);
        if !known.into_iter().all(|number| number.is_finite() && *number >= 0.0) {
            return wrong("a number in it is negative or not finite");
        }
        if state.radius.len() != usize::from(self.memory.radius.is_some()) {
            return wrong(
                "it is of a trust region, or the optimizer has one and the state has none",
            );
        }
        let reasons = [
            "its last solution has another number of parameters",
            "its last solution is not finite",
        ];
        let space = self.objective.parameters().space();
        let solution = instance::vector(space, state.solution.as_ref(), reasons)?;
        let factors = match (self.config.direction.kept_preconditioner(), &state.factors) {
            (Some(preconditioner), Some(factors)) => {
                Some(Factors::from_state(preconditioner, &self.objective, factors)?)
            }
            _ => None,
        };
        origin.expect_instance(&state.origin)?;
        self.memory = Memory {
            step: state.step,
            damping: state.damping,
            growth: state.growth,
            radius: number(&state.radius),
            refused: state.refused,
            first_norm: number(&state.first_norm),
            last_norm: number(&state.last_norm),
            tolerance: number(&state.tolerance),
            solution,
            factors,
        };
        Ok(())
    }
}
