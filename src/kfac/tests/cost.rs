//! What programs of gradient and factors consist of, by their listings, so that no product comes in unseen.

use burn::{
    module::{Module, Param},
    prelude::*,
    tensor::activation::tanh,
};

use burn_flex::FlexTensor;

use super::{B, KfacCollector, KfacConfig, KfacFisher, numbers};
use crate::{
    CaptureConfig, Likelihood, Objective, Reduction,
    graph::{Graph, Node, Op},
    tensor::flex::held,
};

const DRAWN: KfacFisher = KfacFisher::MonteCarlo { draws: 1, seed: 1 };

#[derive(Module, Debug)]
struct Stack {
    weights: Vec<Param<Tensor<2>>>,
    biases: Vec<Param<Tensor<1>>>,
}

/// A classifier with layers between these widths, on so many rows, and its mean cross-entropy against the first class.
pub fn classifier(widths: &[usize], rows: usize) -> Objective<B> {
    let layers = widths.windows(2).enumerate();
    let model = Stack {
        weights: layers
            .clone()
            .map(|(seed, pair)| Param::from_tensor(numbers([pair[0], pair[1]], seed as f64)))
            .collect(),
        biases: layers
            .map(|(seed, pair)| Param::from_tensor(numbers([pair[1]], seed as f64)))
            .collect(),
    };
    let x = numbers([rows, widths[0]], 3.0);
    let objective =
        Objective::capture_with(&CaptureConfig::new(), &model, x, |model: &Stack, x| {
            let mut z = x;
            let layers = model.weights.iter().zip(&model.biases);
            for (position, (weight, bias)) in layers.enumerate() {
                let input = if position == 0 { z } else { tanh(z) };
                z = input.matmul(weight.val()) + bias.val().unsqueeze::<2>();
            }
            let logs = burn::tensor::activation::log_softmax(z.clone(), 1);
            (z, logs.narrow(1, 0, 1).mean().neg())
        });
    objective.unwrap().reduced_by(Reduction::Mean).unwrap()
}

fn program(objective: &Objective<B>, fisher: KfacFisher) -> Graph {
    program_with(objective, fisher, false)
}

fn program_with(objective: &Objective<B>, fisher: KfacFisher, in_panels: bool) -> Graph {
    let config = KfacConfig::new().with_fisher(fisher);
    let collector = KfacCollector::new(objective, Likelihood::Categorical, &config).unwrap();
    collector.program(objective, in_panels).unwrap()
}

/// Products in a listing.
fn products(program: &Graph) -> usize {
    program.to_string().matches("= Matmul(").count()
}

/// Multiplications of all products.
fn multiplications(program: &Graph) -> usize {
    let products = program.nodes().iter().filter(|node| node.op == Op::Matmul);
    let sizes = products.map(|node| {
        let [output, left] =
            [node.outputs[0], node.inputs[0]].map(|value| &program.value(value).shape);
        output.num_elements() * left.last().copied().unwrap_or(1)
    });
    sizes.sum()
}

#[test]
fn factors_take_two_products_a_layer_and_one_pass_back_for_all_cotangents() {
    for widths in [&[5, 4][..], &[5, 4, 3], &[3, 6, 5, 4, 4]] {
        let layers = widths.len() - 1;
        let objective = classifier(widths, 7);
        let gradient = products(&objective.gradient_program().unwrap());
        assert_eq!(gradient, 3 * layers - 1, "{widths:?}");
        // Back from the outputs of the network to those of its first layer.
        let back = layers - 1;
        for (fisher, expected) in [
            (KfacFisher::ForwardOnly, layers),
            (KfacFisher::Empirical, 2 * layers),
            (DRAWN, back + 2 * layers),
            (KfacFisher::MonteCarlo { draws: 3, seed: 1 }, back + 2 * layers),
            (KfacFisher::Exact, back + 2 * layers),
        ] {
            let found = products(&program(&objective, fisher));
            assert_eq!(found - gradient, expected, "{widths:?}, {fisher:?}");
        }
    }
}

/// Products of a matrix with its transpose.
fn squares(program: &Graph) -> usize {
    let nodes = program.nodes();
    let is_square = |node: &&Node| {
        let &[first, second] = &node.inputs[..] else { return false };
        let swapped = |a, b| {
            let writer = nodes.iter().find(|node| node.outputs.contains(&a));
            writer.is_some_and(|it| matches!(it.op, Op::SwapDims(1, 2)) && it.inputs == [b])
        };
        node.op == Op::Matmul && (swapped(first, second) || swapped(second, first))
    };
    nodes.iter().filter(is_square).count()
}

/// The executor on host memory computes half of them.
#[test]
fn second_moments_are_products_of_a_matrix_with_its_transpose() {
    for rows in [7, 300] {
        let objective = classifier(&[256, 256, 4], rows);
        assert_eq!(squares(&objective.gradient_program().unwrap()), 0);
        for (fisher, expected) in [(KfacFisher::ForwardOnly, 2), (DRAWN, 4)] {
            assert_eq!(squares(&program(&objective, fisher)), expected, "{rows}, {fisher:?}");
        }
    }
}

/// Wide layers elsewhere: half of each second moment is left out but for what stands in panels on the diagonal. That of the
/// last layer's gradients is one product, however many cotangents there are.
#[test]
fn products_of_wide_layers_with_themselves_are_computed_by_half() {
    let (width, rows, classes) = (1024, 256, 4);
    let objective = classifier(&[width, width, classes], rows);
    let gradient = multiplications(&objective.gradient_program().unwrap());
    let last = rows * classes * classes;
    for (fisher, cotangents) in [(DRAWN, 1), (KfacFisher::Exact, classes - 1)] {
        let program = program_with(&objective, fisher, true);
        let back = cotangents * rows * width * classes;
        // A of both layers, to which ones for the bias are added as sums, and G of the first.
        let squares = (2 + cotangents) * rows * width.pow(2);
        let rest = multiplications(&program) - gradient - back - last;
        let share = rest as f64 / squares as f64;
        assert_eq!(share, 0.5625, "{fisher:?}");
    }
}

/// What the network computes forward is computed once, however many cotangents go back.
#[test]
fn nothing_that_depends_on_no_cotangent_is_computed_again() {
    let objective = classifier(&[3, 6, 5, 4], 7);
    let forward = |program: &Graph| program.to_string().matches("= Unary(Tanh)").count();
    assert_eq!(forward(&program(&objective, KfacFisher::Exact)), 2);
    assert_eq!(forward(&program(&objective, DRAWN)), 2);
}

/// By sizes that no other test has, since what is left serves all.
#[test]
fn factors_are_computed_in_the_memory_of_those_before() {
    let objective = classifier(&[181, 187, 4], 7);
    let places = || {
        let kfac = KfacConfig::new().init(&objective, Likelihood::Categorical).unwrap();
        let factors = kfac.layers().iter().flat_map(|layer| layer.factors());
        let tensors = factors.filter_map(|factor| held(factor.device()?));
        let place = |tensor: &FlexTensor| tensor.bytes().as_ptr() as usize;
        tensors.filter(|it| it.bytes().len() > 1 << 16).map(place).collect::<Vec<_>>()
    };
    let first = places();
    assert_eq!(first.len(), 3);
    assert_eq!(places(), first);
}
