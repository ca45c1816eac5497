//! Value, gradient and Hessian product of one row, and their oracles.
//!
//! `f(p) = Σ w·(y + y²/4)` with `y` the operation's output at `x(p)` and fixed random weights `w`; the square makes
//! the cotangent of the operation depend on `p`, so that its backward is differentiated too.

use burn::backend::Flex;
use burn_autodiff::Autodiff;
use burn_backend::{
    AutodiffBackend, Backend, Shape, TensorData, TensorMetadata, ops::FloatTensorOps, read_sync,
    tensor::FloatTensor,
};

use super::{
    super::primitive::{add_scalar, mul_scalar},
    case::{Case, Domain, Input},
    draw::{Draw, is_leaf},
};
use crate::{
    error::Error,
    graph::{Op, ValueType},
    tensor::Operand,
};

pub(super) type Once = Autodiff<Flex>;
pub(super) type Twice = Autodiff<Once>;

/// How an operation is run.
pub(super) type Run<B> = fn(
    &Op,
    Vec<Operand<B>>,
    &[ValueType],
    &<B as burn_backend::BackendTypes>::Device,
) -> Result<Vec<Operand<B>>, Error>;

/// Without lowerings.
pub(super) fn as_burn_does<B: Backend>(
    op: &Op,
    inputs: Vec<Operand<B>>,
    outputs: &[ValueType],
    device: &B::Device,
) -> Result<Vec<Operand<B>>, Error> {
    Ok(crate::execute::apply(op, inputs, outputs, device)?)
}

pub(super) fn data(values: Vec<f64>, shape: &[usize]) -> TensorData {
    TensorData::new(values, Shape::from(shape.to_vec()))
}

pub(super) fn numbers<B: Backend>(tensor: FloatTensor<B>) -> Vec<f64> {
    let data = read_sync(B::float_into_data(tensor)).expect("readable");
    data.iter::<f64>().collect()
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
        Input::Float(_, domain) => {
            Operand::Float(place::<B>(parameters.next().expect("one per float").clone(), *domain))
        }
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

pub(super) fn parameters<B: Backend>(
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

/// The operation's outputs at a drawn point, or its error.
pub(super) fn try_outputs<B: Backend>(case: &Case, run: Run<B>) -> Result<Vec<Operand<B>>, Error> {
    let device = B::Device::default();
    let point = parameters::<B>(case, &Draw::new(case, 0).point, &device);
    run(&case.op, operands::<B>(case, &point, &device), &case.outputs, &device)
}

/// Float outputs of the operation.
pub(super) fn outputs<B: Backend>(
    case: &Case,
    point: &[FloatTensor<B>],
    run: Run<B>,
    device: &B::Device,
) -> Vec<FloatTensor<B>> {
    let outputs = run(&case.op, operands::<B>(case, point, device), &case.outputs, device);
    let outputs = outputs.unwrap_or_else(|error| panic!("{}: {error}", case.name));
    for (operand, expected) in outputs.iter().zip(&case.outputs) {
        assert_eq!(operand.shape(), expected.shape, "shape of {}", case.name);
        assert_eq!(operand.dtype(), expected.dtype, "element type of {}", case.name);
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
    device: &B::Device,
) -> FloatTensor<B> {
    let outputs = outputs::<B>(case, point, run, device).into_iter().zip(weights);
    let terms = outputs.map(|(y, weights)| {
        let weights = B::float_from_data(data(weights.clone(), &y.shape().to_vec()), device);
        let square = mul_scalar::<B>(B::float_mul(y.clone(), y.clone()), 0.25);
        B::float_sum(B::float_mul(weights, B::float_add(y, square)))
    });
    terms.reduce(B::float_add).expect("an output")
}

/// `f` by the backend's own operation.
pub(super) fn value(case: &Case, point: &[Vec<f64>], draw: &Draw) -> f64 {
    let device = Default::default();
    let point = parameters::<Flex>(case, point, &device);
    let run = as_burn_does::<Flex>;
    numbers::<Flex>(objective::<Flex>(case, &point, &draw.weights, run, &device))[0]
}

/// Parameters put on a tape, those that are differentiated by as leaves.
fn on_tape<A: AutodiffBackend>(
    case: &Case,
    tensors: impl IntoIterator<Item = FloatTensor<A::InnerBackend>>,
) -> Vec<FloatTensor<A>> {
    tensors
        .into_iter()
        .zip(is_leaf(case))
        .map(|(tensor, leaf)| A::float_set_require_grad(A::from_inner(tensor), leaf))
        .collect()
}

/// Those of a list that are differentiated by.
fn leaves<T>(case: &Case, list: Vec<T>) -> Vec<T> {
    let pairs = list.into_iter().zip(is_leaf(case));
    pairs.filter(|(_, leaf)| *leaf).map(|(item, _)| item).collect()
}

pub(super) fn gradient(case: &Case, point: &[Vec<f64>], draw: &Draw, run: Run<Once>) -> Vec<f64> {
    let device = Default::default();
    let point = on_tape::<Once>(case, parameters::<Flex>(case, point, &device));
    let gradients = Once::backward(objective::<Once>(case, &point, &draw.weights, run, &device));
    let gradient = |leaf: FloatTensor<Once>| {
        let gradient = Once::grad(&leaf, &gradients);
        gradient.map_or_else(|| vec![0.0; leaf.shape().num_elements()], numbers::<Flex>)
    };
    leaves(case, point).into_iter().flat_map(gradient).collect()
}

/// `∇²f·v` by reverse over reverse, one tensor per leaf; `None` if only the shape or sign of the operand matters.
pub(super) fn product_tensors<L: Backend>(
    case: &Case,
    point: Vec<FloatTensor<L>>,
    direction: Vec<FloatTensor<L>>,
    weights: &[Vec<f64>],
    run: Run<Autodiff<Autodiff<L>>>,
    device: &L::Device,
) -> Vec<Option<FloatTensor<L>>> {
    let inner = on_tape::<Autodiff<L>>(case, point);
    let outer = on_tape::<Autodiff<Autodiff<L>>>(case, inner.iter().cloned());
    let objective = objective::<Autodiff<Autodiff<L>>>(case, &outer, weights, run, device);
    let gradients = Autodiff::<Autodiff<L>>::backward(objective);
    let direction = direction.into_iter().map(Autodiff::<L>::from_inner).collect();
    let slope = leaves(case, outer)
        .into_iter()
        .zip(leaves(case, direction))
        .filter_map(|(leaf, direction)| {
            let gradient = Autodiff::<Autodiff<L>>::grad(&leaf, &gradients)?;
            Some(Autodiff::<L>::float_sum(Autodiff::<L>::float_mul(gradient, direction)))
        })
        .reduce(Autodiff::<L>::float_add)
        .expect("a parameter");
    let gradients = Autodiff::<L>::backward(slope);
    let leaves = leaves(case, inner).into_iter();
    leaves.map(|leaf| Autodiff::<L>::grad(&leaf, &gradients)).collect()
}

/// The same as plain values, on Flex.
pub(super) fn hessian_product(case: &Case, draw: &Draw, run: Run<Twice>) -> Vec<f64> {
    let device = Default::default();
    let point = parameters::<Flex>(case, &draw.point, &device);
    let direction = parameters::<Flex>(case, &draw.direction, &device);
    let sizes = leaves(case, draw.point.iter().map(Vec::len).collect());
    product_tensors::<Flex>(case, point, direction, &draw.weights, run, &device)
        .into_iter()
        .zip(sizes)
        .flat_map(|(product, size)| product.map_or_else(|| vec![0.0; size], numbers::<Flex>))
        .collect()
}

/// `‖a − b‖ / ‖b‖`.
pub(super) fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let distance = norm(&mut found.iter().zip(expected).map(|(a, b)| a - b));
    let size = norm(&mut expected.iter().copied());
    if distance == 0.0 { 0.0 } else { distance / size.max(1e-8) }
}
