//! Where gradients are compared: a device, with the recording and Burn's loss on it, at θ and near it.

use std::sync::Arc;

use burn::backend::{Autodiff, Dispatch, DispatchTensor};
use burn_backend::AutodiffBackend;

use super::compare::{Difference, Gradients, difference_near};
use crate::{
    derive::Kernels,
    error::Error,
    execute::supports,
    objective::{Objective, Operands, ValueAndGradient, programs::ProgramSet, values::Values},
    seeds::Seeds,
    space::{Buffers, ParamVector},
    tensor::{Operand, Precision, TensorBridge},
};

/// How far from θ gradients are compared, relative to the size of each parameter.
const RADII: [f64; 3] = [0.0625, 0.125, 0.25];
/// The seed of the directions.
const SEED: u64 = 0;
/// How often Burn's gradient is computed at parameters that are rounded otherwise.
const ROUNDINGS: usize = 4;
/// By how many units in the last place these differ.
const UNITS: f64 = 4.0;

/// Burn's loss and gradient at parameters.
pub(super) type Backward<'a, B> =
    dyn Fn(&ParamVector<B>) -> Result<ValueAndGradient<B>, Error> + 'a;

/// The backend whose tensors can be moved.
type Moveable = Autodiff<Dispatch>;

/// A loss that was moved to another device.
pub(super) struct Moved<'a> {
    values: Values<Moveable>,
    batch: Operands<Moveable>,
    backward: Box<Backward<'a, Moveable>>,
}

impl<'a> Moved<'a> {
    pub fn new(
        (parameters, buffers): (ParamVector<Moveable>, Buffers<Moveable>),
        batch: Vec<DispatchTensor>,
        backward: Box<Backward<'a, Moveable>>,
    ) -> Result<Self, Error> {
        let batch = batch.into_iter().map(<Dispatch as TensorBridge>::from_dispatch);
        let batch = batch.collect::<Result<_, _>>()?;
        Ok(Self { values: Values::new(parameters, buffers)?, batch, backward })
    }
}

/// The recording and Burn's loss on one device.
pub(super) struct Place<'a, B: AutodiffBackend> {
    programs: Arc<ProgramSet<B>>,
    /// The same in f64, where the device has it and this is f32.
    precise: Option<ProgramSet<B>>,
    values: Values<B>,
    batch: Operands<B>,
    /// What the recorded loss is multiplied by.
    weight: f64,
    backward: &'a Backward<'a, B>,
}

impl<'a, B: AutodiffBackend> Place<'a, B> {
    /// The device of an objective of one batch.
    pub fn of(objective: &Objective<B>, backward: &'a Backward<'a, B>) -> Result<Self, Error> {
        let (programs, batch, weight) = objective.of_first(|part| {
            Ok((Arc::clone(&part.programs), part.batch.operands.clone(), part.weight))
        })?;
        Self::new(programs, objective.values.clone(), (batch, weight), backward)
    }

    fn new(
        programs: Arc<ProgramSet<B>>,
        values: Values<B>,
        (batch, weight): (Operands<B>, f64),
        backward: &'a Backward<'a, B>,
    ) -> Result<Self, Error> {
        let device = values.device();
        let refined = values.precision() == Precision::F32
            && supports::<B::InnerBackend>(device, Precision::F64.dtype().into());
        let precise =
            refined.then(|| programs.converted(Precision::F64, device.clone(), programs.kernels()));
        Ok(Self { precise: precise.transpose()?, programs, values, batch, weight, backward })
    }

    /// θ, and the buffers.
    pub fn values(&self) -> &Values<B> {
        &self.values
    }

    /// The largest difference near θ, or that at θ itself if nothing near it can be compared.
    ///
    /// If it is above the tolerance, what Burn's own gradients change by where parameters are rounded otherwise counts as
    /// rounding as well: where elements lie within rounding of a kink, gradients jump, and either may be on its other side.
    pub fn difference(&self, mut point: Gradients, tolerance: f64) -> Result<Difference, Error> {
        point.rounding = self.rounding(&self.values, &point.recorded);
        let mut seeds = Seeds::new(SEED);
        let (mut places, mut near) = (Vec::new(), Vec::new());
        for radius in RADII {
            let parameters = moved(&self.values.parameters, radius, seeds.next())?;
            let values = Values { parameters, ..self.values.clone() };
            // Where the closure takes another branch, leaves its domain or panics, there is nothing to compare.
            if let Some(found) = self.gradients(&values).ok().filter(Gradients::are_finite) {
                places.push(values.parameters);
                near.push(found);
            }
        }
        let layout = self.values.parameters.layout();
        let found = |point: &Gradients, near: &[Gradients]| {
            difference_near(layout, point, near).unwrap_or_else(|| point.difference(layout))
        };
        for (parameters, gradients) in places.iter().zip(&mut near) {
            let agree = |it: &Gradients| it.difference(layout).is_within(tolerance);
            self.allow_jumps((parameters, gradients), (tolerance, &mut seeds), &agree)?;
        }
        let agree = |it: &Gradients| found(it, &near).is_within(tolerance);
        self.allow_jumps((&self.values.parameters, &mut point), (tolerance, &mut seeds), &agree)?;
        Ok(found(&point, &near))
    }

    /// Both gradients at parameters.
    pub fn gradients(&self, values: &Values<B>) -> Result<Gradients, Error> {
        let recorded = recorded(&self.programs, values, (&self.batch, self.weight))?;
        let mut gradients = gradients(&recorded, &(self.backward)(&values.parameters)?.gradient)?;
        gradients.rounding = self.rounding(values, &gradients.recorded);
        Ok(gradients)
    }

    /// Until gradients agree, counts what Burn's own changes by where parameters are rounded otherwise as rounding, if it can
    /// be computed there. Not if it changes from call to call, as where the closure draws random numbers on the host.
    fn allow_jumps(
        &self,
        (parameters, gradients): (&ParamVector<B>, &mut Gradients),
        (tolerance, seeds): (f64, &mut Seeds),
        agree: &dyn Fn(&Gradients) -> bool,
    ) -> Result<(), Error> {
        if agree(gradients) {
            return Ok(());
        }
        let recorded = (self.backward)(parameters)?.gradient.to_vec()?;
        let again = Gradients { recorded, burn: gradients.burn.clone(), rounding: Vec::new() };
        if !again.difference(parameters.layout()).is_within(tolerance) {
            return Ok(());
        }
        for _ in 0..ROUNDINGS {
            let beside = rounded_otherwise(parameters, seeds.next())?;
            if let Ok(there) = (self.backward)(&beside) {
                let change = difference(&there.gradient.to_vec()?, &gradients.burn);
                gradients.rounding.push(change);
            }
            if agree(gradients) {
                break;
            }
        }
        Ok(())
    }

    /// How much f64 changes in the recorded gradient, if it can be computed.
    fn rounding(&self, values: &Values<B>, gradient: &[f64]) -> Vec<Vec<f64>> {
        let precise = || -> Result<Option<Vec<f64>>, Error> {
            let Some(programs) = &self.precise else {
                return Ok(None);
            };
            let parameters = values.parameters.clone().cast(Precision::F64)?;
            let batch = stored_like(&parameters, self.batch.clone());
            let values = Values::new(parameters, values.buffers.clone())?;
            Ok(Some(recorded(programs, &values, (&batch, self.weight))?.to_vec()?))
        };
        let precise = precise().ok().flatten().into_iter();
        precise.map(|precise| difference(&precise, gradient)).collect()
    }
}

impl<'a> Place<'a, Moveable> {
    /// The recording of an objective where its loss was moved to.
    pub fn moved<B: AutodiffBackend>(
        objective: &Objective<B>,
        moved: &'a Moved<'a>,
    ) -> Result<Self, Error> {
        let values = moved.values.clone();
        let (precision, device) = (values.precision(), values.device().clone());
        let convert =
            |from: &ProgramSet<B>| from.converted(precision, device.clone(), Kernels::of());
        let (programs, weight) =
            objective.of_first(|part| Ok((convert(&part.programs)?, part.weight)))?;
        let batch = stored_like(&values.parameters, moved.batch.clone());
        Self::new(Arc::new(programs), values, (batch, weight), &*moved.backward)
    }
}

/// The recorded gradient, unless the closure takes another branch at these parameters.
fn recorded<B: AutodiffBackend>(
    programs: &ProgramSet<B>,
    values: &Values<B>,
    (batch, weight): (&[Operand<B::InnerBackend>], f64),
) -> Result<ParamVector<B>, Error> {
    let (inputs, parameters) = (|| values.inputs(batch), &values.parameters);
    programs.guards().expect_on_batch(inputs)?;
    programs.guards().expect_at_model(inputs)?;
    let mut results = programs.gradient()?.run(inputs())?;
    let blocks = results.split_off(results.len().saturating_sub(parameters.blocks().len()));
    let blocks = blocks.into_iter().map(Operand::into_float).collect::<Result<_, _>>()?;
    Ok(ParamVector::from_blocks(parameters.layout(), blocks)?.scale(weight))
}

/// Two gradients, read from the device.
pub(super) fn gradients<B: AutodiffBackend>(
    recorded: &ParamVector<B>,
    burn: &ParamVector<B>,
) -> Result<Gradients, Error> {
    Ok(Gradients { recorded: recorded.to_vec()?, burn: burn.to_vec()?, rounding: Vec::new() })
}

/// a − b
fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// θ with every element moved up or down by a fraction of its block's root mean square, which is taken as at least a
/// hundredth of that of θ.
fn moved<B: AutodiffBackend>(
    parameters: &ParamVector<B>,
    radius: f64,
    seed: u64,
) -> Result<ParamVector<B>, Error> {
    let size =
        |values: &[f64]| (values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64).sqrt();
    let mut values = parameters.to_vec()?;
    let signs = parameters.space().rademacher(seed).to_vec()?;
    let whole = Some(size(&values)).filter(|size| *size > 0.0).unwrap_or(1.0);
    for block in parameters.layout().blocks() {
        let step = radius * size(&values[block.range()]).max(1e-2 * whole);
        let elements = values[block.range()].iter_mut().zip(&signs[block.range()]);
        elements.for_each(|(value, sign)| *value += step * sign);
    }
    Ok(parameters.space().vector(&values)?)
}

/// θ with every element a few units in the last place larger or smaller.
fn rounded_otherwise<B: AutodiffBackend>(
    parameters: &ParamVector<B>,
    seed: u64,
) -> Result<ParamVector<B>, Error> {
    let relative = UNITS * parameters.precision().epsilon();
    let signs = parameters.space().rademacher(seed).to_vec()?;
    let pairs = parameters.to_vec()?.into_iter().zip(signs);
    let values: Vec<f64> = pairs.map(|(value, sign)| value * (1.0 + relative * sign)).collect();
    Ok(parameters.space().vector(&values)?)
}

/// A batch in the element types of the device and precision of parameters.
fn stored_like<B: AutodiffBackend>(parameters: &ParamVector<B>, batch: Operands<B>) -> Operands<B> {
    let dtype = parameters.precision().dtype();
    batch.into_iter().map(|operand| operand.stored_on(parameters.device(), dtype)).collect()
}
