//! Every operation on every kind, against plain loops and closed forms that share no code with the library.

mod binary;
mod conv;
mod elementwise;
mod errors;
mod indexing;
mod layers;
mod movement;
mod pool;
mod program;
pub(crate) mod random;
mod reduction;

use std::sync::OnceLock;

use burn_backend::{Backend, DType, Shape, TensorData, get_device_settings, tensor::Device};

use super::{ExecuteError, Operand, apply};
use crate::graph::{Binary, Interpolation, Kind, Op, ValueType, samples};

/// A tensor of any kind, its elements in double precision.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    pub kind: Kind,
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

impl Values {
    pub fn of(kind: Kind, shape: &[usize], data: Vec<f64>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len());
        let shape = shape.to_vec();
        Self { kind, shape, data }
    }

    pub fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        let data = self.data.iter().map(|&x| f(x)).collect();
        Self::of(self.kind, &self.shape, data)
    }

    pub fn to(&self, kind: Kind) -> Self {
        Self::of(kind, &self.shape, self.data.clone())
    }

    pub fn at(&self, index: &[usize]) -> f64 {
        self.data[flat(&self.shape, index)]
    }

    pub fn dtype(&self, float: DType, bool: DType) -> DType {
        match self.kind {
            Kind::Float => float,
            Kind::Int => DType::I64,
            Kind::Bool => bool,
        }
    }

    pub fn operand<B: Backend>(&self, device: &Device<B>) -> Operand<B> {
        let bool_dtype = get_device_settings::<B>(device).bool_dtype.into();
        let shape = Shape::from(self.shape.clone());
        let data = match self.kind {
            Kind::Float => TensorData::new(self.data.clone(), shape),
            Kind::Int => TensorData::new(self.data.iter().map(|&x| x as i64).collect(), shape),
            Kind::Bool => {
                let flags: Vec<bool> = self.data.iter().map(|&x| x != 0.0).collect();
                let data = TensorData::new(flags, shape);
                data.try_cast(bool_dtype).expect("bool data converts")
            }
        };
        Operand::from_data(data, device).expect("a plain kind")
    }
}

pub(super) fn floats(shape: &[usize], data: Vec<f64>) -> Values {
    Values::of(Kind::Float, shape, data)
}

pub(super) fn ints(shape: &[usize], data: &[i64]) -> Values {
    let data = data.iter().map(|&x| x as f64).collect();
    Values::of(Kind::Int, shape, data)
}

pub(super) fn bools(shape: &[usize], data: &[u8]) -> Values {
    let data = data.iter().map(|&x| f64::from(x)).collect();
    Values::of(Kind::Bool, shape, data)
}

/// Smooth values without repetitions in (-1, 1).
pub(super) fn wave(shape: &[usize], seed: f64) -> Values {
    let count: usize = shape.iter().product();
    let data = (0..count).map(|i| (1.3 + 0.71 * seed + 0.93 * i as f64).sin());
    floats(shape, data.collect())
}

/// Small integers of both signs.
pub(super) fn whole(shape: &[usize], seed: f64) -> Values {
    wave(shape, seed).map(|x| (x * 7.0).round()).to(Kind::Int)
}

pub(super) fn flat(shape: &[usize], index: &[usize]) -> usize {
    assert_eq!(shape.len(), index.len());
    index.iter().zip(shape).fold(0, |sum, (&i, &n)| {
        assert!(i < n, "{index:?} in {shape:?}");
        sum * n + i
    })
}

/// Every index of a shape, the last dimension fastest.
pub(super) fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    let mut list = vec![vec![]];
    for &n in shape {
        list = list
            .iter()
            .flat_map(|head: &Vec<usize>| {
                (0..n).map(move |i| head.iter().copied().chain([i]).collect())
            })
            .collect();
    }
    list
}

/// A tensor given element by element.
pub(super) fn build(kind: Kind, shape: &[usize], f: impl Fn(&[usize]) -> f64) -> Values {
    let data = indices(shape).iter().map(|index| f(index)).collect();
    Values::of(kind, shape, data)
}

/// Gradient of a linear map f at any point: element i is ⟨f(eᵢ), grad⟩.
pub(super) fn adjoint(shape: &[usize], grad: &Values, f: impl Fn(&Values) -> Values) -> Values {
    let count: usize = shape.iter().product();
    let element = |i: usize| {
        let mut unit = floats(shape, vec![0.0; count]);
        unit.data[i] = 1.0;
        let image = f(&unit);
        assert_eq!(image.shape, grad.shape);
        image.data.iter().zip(&grad.data).map(|(x, y)| x * y).sum()
    };
    floats(shape, (0..count).map(element).collect())
}

/// One operation with its operands and what must come out.
pub(crate) struct Case {
    pub op: Op,
    pub inputs: Vec<Values>,
    pub expected: Vec<Values>,
}

pub(super) fn case(op: Op, inputs: &[&Values], expected: &[&Values]) -> Case {
    let owned = |list: &[&Values]| list.iter().map(|&values| values.clone()).collect();
    Case { op, inputs: owned(inputs), expected: owned(expected) }
}

pub(crate) fn all_cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(written_cases)
}

fn written_cases() -> Vec<Case> {
    [
        binary::cases(),
        elementwise::cases(),
        movement::cases(),
        indexing::cases(),
        reduction::cases(),
        conv::cases(),
        pool::cases(),
        layers::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Runs a case and compares kinds, shapes, element types and elements.
fn check<B: Backend>(case: &Case, tolerance: f64) -> Result<(), String> {
    let device = Device::<B>::default();
    let bool_dtype = DType::from(get_device_settings::<B>(&device).bool_dtype);
    let types: Vec<ValueType> = case
        .expected
        .iter()
        .map(|values| ValueType {
            shape: Shape::from(values.shape.clone()),
            dtype: values.dtype(DType::F64, bool_dtype),
        })
        .collect();
    let inputs = case.inputs.iter().map(|x| x.operand::<B>(&device));
    let results = apply::<B>(&case.op, inputs.collect(), &types, &device)
        .map_err(|error| error.to_string())?;
    if results.len() != types.len() {
        return Err(format!("{} results", results.len()));
    }
    for ((result, ty), expected) in results.into_iter().zip(&types).zip(&case.expected) {
        if result.kind() != expected.kind || result.value_type() != *ty {
            return Err(format!("expected {ty}, found {}", result.value_type()));
        }
        let data = result.into_data().map_err(|error| error.to_string())?;
        let found: Vec<f64> = data.iter::<f64>().collect();
        for (i, (x, y)) in found.iter().zip(&expected.data).enumerate() {
            let equal = x == y || (x - y).abs() <= tolerance * (1.0 + y.abs());
            if !(equal || x.is_nan() && y.is_nan()) {
                return Err(format!("element {i}: found {x}, expected {y}"));
            }
        }
    }
    Ok(())
}

fn failures<B: Backend>(tolerance: impl Fn(&Op) -> Option<f64>) -> Vec<String> {
    let mut failures = Vec::new();
    for case in all_cases() {
        let Some(tolerance) = tolerance(&case.op) else {
            continue;
        };
        let run = std::panic::AssertUnwindSafe(|| check::<B>(case, tolerance));
        let outcome = std::panic::catch_unwind(run).unwrap_or(Err("panic".into()));
        if let Err(reason) = outcome {
            let shapes: Vec<_> = case.inputs.iter().map(|x| (x.kind, &x.shape)).collect();
            failures.push(format!("{:?} of {shapes:?}: {reason}", case.op));
        }
    }
    failures
}

#[test]
fn every_operation_equals_its_loop_on_flex_in_f64() {
    let failures = failures::<burn::backend::Flex>(|_| Some(1e-12));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[cfg(feature = "ndarray")]
#[test]
#[allow(deprecated)] // Burn 0.22 still ships NdArray.
fn every_operation_equals_its_loop_on_ndarray_in_f64() {
    // Several of its functions pass through f32 (1e-7), and GELU's gradient there is the tanh approximation (1e-3).
    let failures = failures::<burn::backend::NdArray>(|op| match op {
        Op::Binary(Binary::GeluBackward) => Some(2e-3),
        // Burn's NdArray has the gradient of the nearest neighbor only, and panics for the others.
        Op::InterpolateBackward { mode, .. } if *mode != Interpolation::Nearest => None,
        // It has the bilinear grid sample only.
        Op::GridSample2d { mode, .. } if *mode != Interpolation::Bilinear => None,
        _ => Some(2e-6),
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_table_has_a_case_for_every_operation() {
    // Random draws have tests of their own, and no CPU backend has the gradient of the CTC loss.
    let elsewhere = |op: &Op| matches!(op, Op::Random(_) | Op::CtcLossBackward { .. });
    let needed = samples::existing().filter(|op| !elsewhere(op));
    let missing = samples::missing(needed, all_cases().iter().map(|case| &case.op));
    assert!(missing.is_empty(), "no case for {missing:#?}");
}

#[test]
fn operations_that_burn_lacks_cannot_be_run() {
    let absent = samples::samples().into_iter().flatten().filter(|op| !samples::exists(op));
    for op in absent {
        let inputs = vec![wave(&[2], 0.0); op.arity().inputs.expect("a fixed number")];
        let device = Default::default();
        let inputs = inputs.iter().map(|x| x.operand::<burn::backend::Flex>(&device)).collect();
        let ty = ValueType { shape: Shape::from(vec![2]), dtype: DType::F64 };
        let result = apply(&op, inputs, &[ty], &device);
        assert!(matches!(result, Err(ExecuteError::Unsupported { .. })), "{op:?}");
    }
}
