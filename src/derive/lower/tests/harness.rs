//! Value, gradient and Hessian product of one row, and their oracles.
//!
//! `f(p) = Σ w·(y + y²/4)` with `y` the operation's output at `x(p)` and fixed random weights `w`; the square makes
//! the cotangent of the operation depend on `p`, so that its backward is differentiated too.

use burn::backend::Flex;
use burn_autodiff::Autodiff;
use burn_backend::{
    AutodiffBackend, Backend, Shape, TensorData, TensorMetadata, read_sync, tensor::FloatTensor,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    super::{
        Detach, Site, apply_at, detach_twice,
        primitive::{add_scalar, mul_scalar},
    },
    case::{Case, Domain, Input},
};
use crate::{
    execute::{ExecuteError, Operand},
    graph::{Op, ValueType},
};

pub(super) type Once = Autodiff<Flex>;
pub(super) type Twice = Autodiff<Once>;

/// How an operation is run.
pub(super) type Run<B> = fn(
    &Op,
    Vec<Operand<B>>,
    &[ValueType],
    &<B as burn_backend::BackendTypes>::Device,
) -> Result<Vec<Operand<B>>, ExecuteError>;

/// Largest relative error of gradient and Hessian product. Below the 3e-8 of an f32 reciprocal.
pub(super) const TOLERANCE: f64 = 3e-9;
const FORWARD_TOLERANCE: f64 = 1e-12;
const STEP: f64 = 2e-4;
const SEEDS: [u64; 2] = [1, 2];

pub(super) fn data(values: Vec<f64>, shape: &[usize]) -> TensorData {
    TensorData::new(values, Shape::from(shape.to_vec()))
}

pub(super) fn numbers<B: Backend>(tensor: FloatTensor<B>) -> Vec<f64> {
    let data = read_sync(B::float_into_data(tensor)).expect("readable");
    data.iter::<f64>().collect()
}

/// A point, a direction and the weights of the outputs, all drawn from a seed.
pub(super) struct Draw {
    pub point: Vec<Vec<f64>>,
    pub direction: Vec<Vec<f64>>,
    pub weights: Vec<Vec<f64>>,
}

impl Draw {
    pub fn new(case: &Case, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut draw = |shape: &[usize]| spread(shape.iter().product(), &mut rng);
        let shapes = case.inputs.iter().filter_map(|input| match input {
            Input::Float(shape, _) => Some(shape.clone()),
            _ => None,
        });
        let shapes: Vec<_> = shapes.collect();
        let mut direction: Vec<_> = shapes.iter().map(|shape| draw(shape)).collect();
        for (values, leaf) in direction.iter_mut().zip(is_leaf(case)) {
            values
                .iter_mut()
                .for_each(|value| *value *= f64::from(u8::from(leaf)));
        }
        Self {
            point: shapes.iter().map(|shape| draw(shape)).collect(),
            direction,
            weights: case
                .outputs
                .iter()
                .map(|output| draw(&output.shape))
                .collect(),
        }
    }

    /// The point, moved along a direction.
    fn moved(&self, direction: &[Vec<f64>], by: f64) -> Vec<Vec<f64>> {
        let pairs = self.point.iter().zip(direction);
        pairs
            .map(|(p, v)| p.iter().zip(v).map(|(p, v)| p + by * v).collect())
            .collect()
    }

    /// One direction per number that is differentiated by.
    fn axes(&self, case: &Case) -> Vec<Vec<Vec<f64>>> {
        let zero: Vec<Vec<f64>> = self
            .point
            .iter()
            .map(|values| vec![0.0; values.len()])
            .collect();
        let places = is_leaf(case)
            .into_iter()
            .enumerate()
            .filter(|(_, leaf)| *leaf);
        let places =
            places.flat_map(|(input, _)| (0..zero[input].len()).map(move |index| (input, index)));
        let axes = places.map(|(input, index)| {
            let mut axis = zero.clone();
            axis[input][index] = 1.0;
            axis
        });
        axes.collect()
    }
}

/// Random numbers in ±1.3 that keep a distance from each other: ties are kinks.
fn spread(count: usize, rng: &mut StdRng) -> Vec<f64> {
    let cell = |index: usize, rng: &mut StdRng| {
        let within = rng.random_range(0.2..0.8);
        1.3 * (2.0 * (index as f64 + within) / count as f64 - 1.0)
    };
    let mut numbers: Vec<f64> = (0..count).map(|index| cell(index, rng)).collect();
    for index in (1..count).rev() {
        numbers.swap(index, rng.random_range(0..=index));
    }
    numbers
}

fn place<B: Backend>(parameter: FloatTensor<B>, domain: Domain) -> FloatTensor<B> {
    let sine = B::float_sin(parameter.clone());
    match domain {
        Domain::Real => B::float_add(parameter, sine),
        Domain::Positive => B::float_exp(mul_scalar::<B>(parameter, 0.5)),
        Domain::Unit => mul_scalar::<B>(sine, 0.8),
        Domain::AboveOne => add_scalar::<B>(B::float_mul(parameter.clone(), parameter), 1.2),
        Domain::Small => mul_scalar::<B>(B::float_add(parameter, sine), 0.2),
        Domain::Plain | Domain::Fixed => parameter,
    }
}

fn operands<B: Backend>(
    case: &Case,
    parameters: &[FloatTensor<B>],
    device: &B::Device,
) -> Vec<Operand<B>> {
    let mut parameters = parameters.iter();
    let operand = |input: &Input| match input {
        Input::Float(_, domain) => Operand::Float(place::<B>(
            parameters.next().expect("one per float").clone(),
            *domain,
        )),
        Input::Given(shape, values) => {
            Operand::Float(B::float_from_data(data(values.clone(), shape), device))
        }
        Input::Int(shape, values) => Operand::Int(B::int_from_data(
            TensorData::new(values.clone(), Shape::from(shape.clone())),
            device,
        )),
        Input::Bool(shape, values) => Operand::Bool(B::bool_from_data(
            TensorData::new(values.clone(), Shape::from(shape.clone())),
            device,
        )),
    };
    case.inputs.iter().map(operand).collect()
}

fn parameters<B: Backend>(
    case: &Case,
    point: &[Vec<f64>],
    device: &B::Device,
) -> Vec<FloatTensor<B>> {
    let shapes = case.inputs.iter().filter_map(|input| match input {
        Input::Float(shape, _) => Some(shape),
        _ => None,
    });
    shapes
        .zip(point)
        .map(|(shape, values)| B::float_from_data(data(values.clone(), shape), device))
        .collect()
}

fn is_leaf(case: &Case) -> Vec<bool> {
    let leaves = case.inputs.iter().filter_map(|input| match input {
        Input::Float(_, domain) => Some(!matches!(domain, Domain::Fixed)),
        _ => None,
    });
    leaves.collect()
}

/// The operation's outputs at a drawn point, or its error.
pub(super) fn try_outputs<B: Backend>(
    case: &Case,
    run: Run<B>,
) -> Result<Vec<Operand<B>>, ExecuteError> {
    let device = B::Device::default();
    let point = parameters::<B>(case, &Draw::new(case, 0).point, &device);
    run(
        &case.op,
        operands::<B>(case, &point, &device),
        &case.outputs,
        &device,
    )
}

/// Float outputs of the operation.
fn outputs<B: Backend>(case: &Case, point: &[FloatTensor<B>], run: Run<B>) -> Vec<FloatTensor<B>> {
    let device = B::Device::default();
    let outputs = run(
        &case.op,
        operands::<B>(case, point, &device),
        &case.outputs,
        &device,
    );
    let outputs = outputs.unwrap_or_else(|error| panic!("{}: {error}", case.name));
    for (operand, expected) in outputs.iter().zip(&case.outputs) {
        assert_eq!(operand.shape(), expected.shape, "shape of {}", case.name);
        assert_eq!(
            operand.dtype(),
            expected.dtype,
            "element type of {}",
            case.name
        );
    }
    let floats = outputs.into_iter().filter_map(|operand| match operand {
        Operand::Float(tensor) => Some(tensor),
        _ => None,
    });
    floats.collect()
}

fn objective<B: Backend>(
    case: &Case,
    point: &[FloatTensor<B>],
    weights: &[Vec<f64>],
    run: Run<B>,
) -> FloatTensor<B> {
    let outputs = outputs::<B>(case, point, run).into_iter().zip(weights);
    let terms = outputs.map(|(y, weights)| {
        let weights = B::float_from_data(data(weights.clone(), &y.shape().to_vec()), &y.device());
        let square = mul_scalar::<B>(B::float_mul(y.clone(), y.clone()), 0.25);
        B::float_sum(B::float_mul(weights, B::float_add(y, square)))
    });
    terms.reduce(B::float_add).expect("an output")
}

/// `f` by the backend's own operation.
fn value(case: &Case, point: &[Vec<f64>], draw: &Draw) -> f64 {
    let point = parameters::<Flex>(case, point, &Default::default());
    numbers::<Flex>(objective::<Flex>(
        case,
        &point,
        &draw.weights,
        crate::execute::apply::<Flex>,
    ))[0]
}

pub(super) fn gradient(case: &Case, point: &[Vec<f64>], draw: &Draw, run: Run<Once>) -> Vec<f64> {
    let point: Vec<_> = parameters::<Once>(case, point, &Default::default())
        .into_iter()
        .zip(is_leaf(case))
        .map(|(tensor, leaf)| {
            <Once as burn_backend::ops::FloatTensorOps<Once>>::float_set_require_grad(tensor, leaf)
        })
        .collect();
    let gradients = Once::backward(objective::<Once>(case, &point, &draw.weights, run));
    let leaves = point.iter().zip(is_leaf(case)).filter(|(_, leaf)| *leaf);
    leaves
        .flat_map(|(tensor, _)| gradient_or_zeros(tensor, Once::grad(tensor, &gradients)))
        .collect()
}

/// `∇²f·v` by reverse over reverse.
pub(super) fn hessian_product(case: &Case, draw: &Draw, run: Run<Twice>) -> Vec<f64> {
    use burn_backend::ops::FloatTensorOps;
    let device = Default::default();
    let leaves = is_leaf(case);
    let inner: Vec<_> = parameters::<Once>(case, &draw.point, &device)
        .into_iter()
        .zip(&leaves)
        .map(|(tensor, &leaf)| <Once as FloatTensorOps<Once>>::float_set_require_grad(tensor, leaf))
        .collect();
    let outer: Vec<_> = inner
        .iter()
        .zip(&leaves)
        .map(|(tensor, &leaf)| {
            <Twice as FloatTensorOps<Twice>>::float_set_require_grad(
                Twice::from_inner(tensor.clone()),
                leaf,
            )
        })
        .collect();
    let gradients = Twice::backward(objective::<Twice>(case, &outer, &draw.weights, run));
    let directions = parameters::<Once>(case, &draw.direction, &device);
    let slope = outer
        .iter()
        .zip(directions)
        .zip(&leaves)
        .filter(|(_, leaf)| **leaf)
        .filter_map(|((tensor, direction), _)| {
            let gradient = Twice::grad(tensor, &gradients)?;
            Some(Once::float_sum(Once::float_mul(gradient, direction)))
        })
        .reduce(Once::float_add)
        .expect("a parameter");
    let gradients = Once::backward(slope);
    let leaves = inner.iter().zip(leaves).filter(|(_, leaf)| *leaf);
    leaves
        .flat_map(|(tensor, _)| gradient_or_zeros(tensor, Once::grad(tensor, &gradients)))
        .collect()
}

/// An operand that only lends its shape or sign has no gradient.
fn gradient_or_zeros(leaf: &FloatTensor<Once>, gradient: Option<FloatTensor<Flex>>) -> Vec<f64> {
    let size = leaf.shape().num_elements();
    gradient.map_or_else(|| vec![0.0; size], numbers::<Flex>)
}

/// Fourth-order central difference along the direction.
fn difference(of: impl Fn(f64) -> Vec<f64>) -> Vec<f64> {
    let [far_back, back, ahead, far_ahead] = [-2.0, -1.0, 1.0, 2.0].map(|steps| of(steps * STEP));
    (0..back.len())
        .map(|i| (8.0 * (ahead[i] - back[i]) - (far_ahead[i] - far_back[i])) / (12.0 * STEP))
        .collect()
}

/// `‖a − b‖ / ‖b‖`.
pub(super) fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let distance = norm(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    let size = norm(&mut expected.iter().copied());
    if distance == 0.0 {
        0.0
    } else {
        distance / size.max(1e-8)
    }
}

pub(super) fn lowered_once<B: Backend>(
    op: &Op,
    inputs: Vec<Operand<B>>,
    outputs: &[ValueType],
    device: &B::Device,
) -> Result<Vec<Operand<B>>, ExecuteError> {
    super::super::apply(op, inputs, outputs, device)
}

pub(super) fn lowered_twice(
    op: &Op,
    inputs: Vec<Operand<Twice>>,
    outputs: &[ValueType],
    device: &<Twice as burn_backend::BackendTypes>::Device,
) -> Result<Vec<Operand<Twice>>, ExecuteError> {
    let detach: Detach<Twice> = detach_twice::<Once>;
    apply_at(
        op,
        inputs,
        &Site {
            outputs,
            device,
            detach,
        },
    )
}

/// What is wrong with a row, if anything.
pub(super) fn check(case: &Case) -> Vec<String> {
    let twice = [
        ("one tape left", lowered_once::<Twice> as Run<Twice>),
        ("both tapes left", lowered_twice),
    ];
    let mut failures: Vec<String> = SEEDS
        .into_iter()
        .flat_map(|seed| check_at(case, seed, lowered_once::<Once>, &twice))
        .collect();
    for seed in SEEDS {
        let point = parameters::<Flex>(case, &Draw::new(case, seed).point, &Default::default());
        let own = outputs::<Flex>(case, &point, crate::execute::apply::<Flex>);
        let lowered = outputs::<Flex>(case, &point, lowered_once::<Flex>);
        for (own, lowered) in own.into_iter().zip(lowered) {
            let error = relative_error(&numbers::<Flex>(lowered), &numbers::<Flex>(own));
            failures.extend(complaint(case, "value", error, FORWARD_TOLERANCE));
        }
    }
    failures
}

/// The same for Burn's own rules.
pub(super) fn check_native(case: &Case) -> Vec<String> {
    let twice = [("native", crate::execute::apply::<Twice> as Run<Twice>)];
    check_at(case, 0, crate::execute::apply::<Once>, &twice)
}

fn check_at(case: &Case, seed: u64, once: Run<Once>, twice: &[(&str, Run<Twice>)]) -> Vec<String> {
    let draw = Draw::new(case, seed);
    let gradient_at = |point: &[Vec<f64>]| gradient(case, point, &draw, once);
    let along =
        |axis: &Vec<Vec<f64>>| difference(|by| vec![value(case, &draw.moved(axis, by), &draw)]);
    let expected: Vec<f64> = draw.axes(case).iter().flat_map(along).collect();
    let error = relative_error(&gradient_at(&draw.point), &expected);
    let mut failures: Vec<String> = complaint(case, "gradient", error, TOLERANCE)
        .into_iter()
        .collect();
    let expected = difference(|by| gradient_at(&draw.moved(&draw.direction, by)));
    for (name, run) in twice {
        let error = relative_error(&hessian_product(case, &draw, *run), &expected);
        failures.extend(complaint(
            case,
            &format!("Hessian product ({name})"),
            error,
            TOLERANCE,
        ));
    }
    failures
}

fn complaint(case: &Case, what: &str, error: f64, tolerance: f64) -> Option<String> {
    let wrong = error.is_nan() || error > tolerance;
    wrong.then(|| format!("{}: {what} off by {error:.1e}", case.name))
}
