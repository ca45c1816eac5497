//! Derivatives next to differences of what they are derivatives of.

use burn_backend::AutodiffBackend;

use super::{
    Check, CheckLine,
    differences::{Agreement, Differences, compare},
};
use crate::{
    curvature::{GaussNewton, Hessian, Jacobian},
    error::Error,
    graph::Op,
    objective::Objective,
    operator::{Adjoint, LinearOperator, SelfAdjoint},
    space::{ParamLayout, ParamVector},
    tensor::Precision,
};

const STOPPED: &str = "the loss stops gradients (`detach`): its derivatives hold the stopped values fixed, and differences \
                       move them";

const KINK: &str = "next to these parameters, which lie on a kink: products at the parameters are those of one side";

const VANISHES: &str = "next to these parameters, at which rounding is larger than the derivative";

type GradientOf<B> = Box<dyn Fn(&Objective<B>) -> Result<ParamVector<B>, Error>>;

type BoxedOperator<B> = Box<dyn SelfAdjoint<B>>;

type OperatorOf<B> = Box<dyn Fn(&Objective<B>) -> Result<BoxedOperator<B>, Error>>;

/// Compares at an objective along a direction.
type Judge<'a, B> = &'a dyn Fn(&Objective<B>, &ParamVector<B>) -> Result<Agreement, Error>;

/// The derivatives that are checked, at any objective.
pub(super) struct Derivatives<B: AutodiffBackend> {
    pub gradient: GradientOf<B>,
    pub hessian: OperatorOf<B>,
    pub gauss_newton: OperatorOf<B>,
}

impl<B: AutodiffBackend> Derivatives<B> {
    /// Those of this crate.
    pub fn new() -> Self {
        Self {
            gradient: Box::new(Objective::gradient),
            hessian: Box::new(|objective| Ok(Box::new(Hessian::new(objective)?))),
            gauss_newton: Box::new(|objective| Ok(Box::new(GaussNewton::new(objective)?))),
        }
    }
}

/// An objective in the precision that differences are computed in, and the directions to take them along.
pub(super) struct Differentiated<'a, B: AutodiffBackend> {
    pub objective: Objective<B>,
    pub derivatives: &'a Derivatives<B>,
    pub directions: Vec<ParamVector<B>>,
    rules: Differences,
    seed: u64,
}

impl<'a, B: AutodiffBackend> Differentiated<'a, B> {
    /// In f64, if the device computes in it.
    pub fn new(
        objective: &Objective<B>,
        derivatives: &'a Derivatives<B>,
        (directions, seed): (usize, u64),
        in_f64: Option<Objective<B>>,
    ) -> Self {
        let objective = in_f64.unwrap_or_else(|| objective.clone());
        let space = objective.parameters().space();
        let directions = (0..directions).map(|index| space.normal(seed.wrapping_add(index as u64)));
        Self {
            directions: directions.collect(),
            rules: Differences::of(objective.precision()),
            objective,
            derivatives,
            seed,
        }
    }

    /// ⟨∇ℒ, v⟩ against differences of ℒ.
    pub fn gradient(&self) -> Result<CheckLine, Error> {
        self.line(Check::Gradient, |_| String::new(), &|at, v| {
            let slope = (self.derivatives.gradient)(at)?.dot(v)?;
            let loss = |t: f64| Ok(vec![moved(at, v, t)?.value()?]);
            compare(&loss, &[slope], &self.rules)
        })
    }

    /// H v against differences of ∇ℒ.
    pub fn hessian(&self) -> Result<CheckLine, Error> {
        let locate = |element| place(self.objective.layout(), element);
        self.line(Check::HessianProduct, locate, &|at, v| {
            let product = (self.derivatives.hessian)(at)?.apply(v)?.to_vec()?;
            let gradient = |t: f64| Ok(moved(at, v, t)?.gradient()?.to_vec()?);
            compare(&gradient, &product, &self.rules)
        })
    }

    /// J v against differences of the outputs.
    pub fn jacobian(&self) -> Result<CheckLine, Error> {
        let layout = self.objective.outputs_layout()?;
        self.line(Check::Jacobian, |element| place(&layout, element), &|at, v| {
            let product = Jacobian::new(at)?.apply(v)?.to_vec()?;
            let outputs = |t: f64| Ok(moved(at, v, t)?.outputs()?.to_vec()?);
            compare(&outputs, &product, &self.rules)
        })
    }

    /// ⟨u, J v⟩ against ⟨Jᵀu, v⟩.
    pub fn adjoint(&self) -> Result<CheckLine, Error> {
        let jacobian = Jacobian::new(&self.objective)?;
        let mut worst: f64 = 0.0;
        for (index, v) in self.directions.iter().enumerate() {
            let u = jacobian.codomain().normal(self.seed.wrapping_add(1000 + index as u64));
            let (jv, ju) = (jacobian.apply(v)?, jacobian.apply_adjoint(&u)?);
            let difference = (u.dot(&jv)? - ju.dot(v)?).abs();
            let scale = jv.norm()? + ju.norm()?;
            let relative = if difference == 0.0 { 0.0 } else { difference / scale };
            worst = if relative > worst || relative.is_nan() { relative } else { worst };
        }
        let allowed = self.objective.precision().epsilon().sqrt();
        Ok(CheckLine::measured(Check::Adjoint, worst, allowed, String::new()))
    }

    /// G v against differences of Jᵀ ∂ℓ/∂z along J v.
    pub fn gauss_newton(&self) -> Result<CheckLine, Error> {
        let locate = |element| place(self.objective.layout(), element);
        self.line(Check::GaussNewton, locate, &|at, v| {
            let product = (self.derivatives.gauss_newton)(at)?.apply(v)?.to_vec()?;
            let jacobian = Jacobian::new(at)?;
            let (outputs, tangent) = (at.outputs()?, jacobian.apply(v)?);
            let pulled = |t: f64| {
                let cotangent = at.output_gradient(&outputs.clone().axpy(t, &tangent)?)?;
                Ok(jacobian.apply_adjoint(&cotangent)?.to_vec()?)
            };
            compare(&pulled, &product, &self.rules)
        })
    }

    /// Compares along every direction, next to θ where θ itself lies on a kink, or the derivative vanishes there.
    fn line(
        &self,
        check: Check,
        locate: impl Fn(usize) -> String,
        judge: Judge<'_, B>,
    ) -> Result<CheckLine, Error> {
        let mut worst: f64 = 0.0;
        let mut beside: Option<(Objective<B>, &str)> = None;
        for v in &self.directions {
            let at = beside.as_ref().map_or(&self.objective, |(point, _)| point);
            let mut agreement = judge(at, v)?;
            let settled = matches!(agreement, Agreement::Agree(_) | Agreement::Differ(..));
            if !settled && beside.is_none() {
                let reason = match agreement {
                    Agreement::Drowned(_) => VANISHES,
                    _ => KINK,
                };
                let point = self.beside()?;
                agreement = judge(&point, v)?;
                beside = Some((point, reason));
            }
            match agreement {
                Agreement::Agree(deviation) => worst = worst.max(deviation),
                Agreement::NotFinite(element) => {
                    return Ok(CheckLine::failed(
                        check,
                        format!("NaN or infinity {}", locate(element)),
                    ));
                }
                _ if self.stops_gradients()? => return Ok(CheckLine::skipped(check, STOPPED)),
                Agreement::Differ(deviation, element) => {
                    let place = locate(element);
                    return Ok(CheckLine::measured(check, deviation, self.rules.allowed, place));
                }
                Agreement::Drowned(share) => return Ok(CheckLine::skipped(check, drowned(share))),
                Agreement::Unsettled(change) => return Ok(self.undecided(check, change)),
            }
        }
        let note = beside.map_or("", |(_, reason)| reason);
        Ok(CheckLine::measured(check, worst, self.rules.allowed, note.into()))
    }

    /// Whether the loss has stop-gradients on values that depend on the parameters.
    fn stops_gradients(&self) -> Result<bool, Error> {
        let parameters = self.objective.layout().blocks().len();
        self.objective.of_first(|part| {
            let used = part.recorded().clone().without_dead_code();
            let moving = used.dependents(used.inputs().get(..parameters).unwrap_or_default());
            let stops = used.nodes.iter().filter(|node| node.op == Op::StopGradient);
            Ok(stops.flat_map(|node| &node.inputs).any(|value| moving.contains(value)))
        })
    }

    fn undecided(&self, check: Check, change: f64) -> CheckLine {
        match self.objective.precision() {
            Precision::F64 => CheckLine::failed(
                check,
                format!(
                    "the differences change by {change:.1e} from step to step and do not settle"
                ),
            ),
            Precision::F32 => CheckLine::skipped(
                check,
                format!(
                    "differences in f32 change by {change:.1e} from step to step, too much to decide: check on a device \
                     with f64"
                ),
            ),
        }
    }

    /// The objective at θ moved by a thousandth of its size, off kinks.
    fn beside(&self) -> Result<Objective<B>, Error> {
        let parameters = self.objective.parameters();
        let size = parameters.norm()? / (parameters.len() as f64).sqrt();
        let size = if size > 0.0 { size } else { 1.0 };
        let away = parameters.space().normal(self.seed.wrapping_add(2000));
        self.objective.at_keeping_buffers(&parameters.clone().axpy(1e-3 * size, &away)?)
    }
}

fn drowned(share: f64) -> String {
    format!(
        "rounding of the function is {share:.1e} of its derivative, too much for differences: leave constants out of the loss, or \
         check on a smaller batch"
    )
}

fn moved<B: AutodiffBackend>(
    objective: &Objective<B>,
    direction: &ParamVector<B>,
    step: f64,
) -> Result<Objective<B>, Error> {
    objective.at_keeping_buffers(&objective.parameters().clone().axpy(step, direction)?)
}

/// Name and index of an element.
fn place(layout: &ParamLayout, element: usize) -> String {
    let block = layout.blocks().iter().find(|block| block.range().contains(&element));
    block.map_or(String::new(), |block| {
        format!("at element {} of {}", element - block.range().start, block.name())
    })
}
