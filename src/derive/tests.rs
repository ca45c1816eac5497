//! Products with the square root of a metric against products with the metric.

use burn::backend::Flex;
use burn_backend::{DType, Shape, TensorData, ops::FloatTensorOps, read_sync, tensor::FloatTensor};

use super::{Likelihood, Metric, Product, ProductInputs, eager_product};
use crate::{
    graph::{Binary, Graph, GraphBuilder, Op, Reduction, ValueType},
    tensor::Operand,
};

const SAMPLES: usize = 2;
const OUTPUTS: usize = 3;

fn ty(shape: &[usize]) -> ValueType {
    ValueType { shape: Shape::from(shape.to_vec()), dtype: DType::F64 }
}

fn tensor(shape: &[usize], seed: usize) -> FloatTensor<Flex> {
    let count = shape.iter().product();
    let values: Vec<f64> = (0..count).map(|i| ((3 * i + seed + 1) as f64).sin()).collect();
    Flex::float_from_data(TensorData::new(values, shape.to_vec()), &Default::default())
}

fn read(tensor: FloatTensor<Flex>) -> Vec<f64> {
    read_sync(Flex::float_into_data(tensor)).expect("values").iter::<f64>().collect()
}

/// z = x W and Σ z², with the parameter W.
fn squares() -> Graph {
    let mut b = GraphBuilder::default();
    let (w, x) = (b.input(ty(&[2, OUTPUTS])), b.input(ty(&[SAMPLES, 2])));
    let z = b.node(Op::Matmul, vec![x, w], vec![ty(&[SAMPLES, OUTPUTS])])[0];
    let squares = b.node(Op::Binary(Binary::Mul), vec![z, z], vec![ty(&[SAMPLES, OUTPUTS])])[0];
    let loss = b.node(Op::Reduce(Reduction::Sum), vec![squares], vec![ty(&[1])])[0];
    b.finish(vec![loss, z])
}

/// One in some places, else zero.
fn indicator(shape: &[usize], is_one: impl Fn(usize) -> bool) -> FloatTensor<Flex> {
    let count = shape.iter().product();
    let values: Vec<f64> = (0..count).map(|at| if is_one(at) { 1.0 } else { 0.0 }).collect();
    Flex::float_from_data(TensorData::new(values, shape.to_vec()), &Default::default())
}

#[test]
fn roots_make_their_metrics() {
    let (graph, device) = (squares(), Default::default());
    let (parameters, batch) =
        ([tensor(&[2, OUTPUTS], 1)], [Operand::Float(tensor(&[SAMPLES, 2], 4))]);
    let v = tensor(&[2, OUTPUTS], 7);
    let draws = 2;
    let drawn = Metric::Drawn { family: Likelihood::Bernoulli.family(), draws };
    let noise = || {
        let noise = tensor(&[draws, SAMPLES, OUTPUTS], 2);
        Flex::float_mul(noise.clone(), noise) // from zero to one
    };
    let product = |product: Product, vector: FloatTensor<Flex>| -> Vec<f64> {
        let inputs = ProductInputs::<Flex> {
            device: &device,
            parameters: &parameters,
            batch: &batch,
            noise: Some(noise()),
            vector: &[vector],
        };
        read(eager_product(product, &graph, inputs).expect("a product").remove(0))
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let shape = [SAMPLES, OUTPUTS];
    // One vector for each output, or for each direction and sample.
    let outputs = || (0..SAMPLES * OUTPUTS).map(|k| indicator(&shape, |at| at == k));
    let samples = || (0..SAMPLES).map(|k| indicator(&shape, |at| at / OUTPUTS == k));
    let directions =
        (0..draws * SAMPLES).map(|k| indicator(&[draws, SAMPLES, OUTPUTS], |at| at / OUTPUTS == k));
    let exact = |likelihood: Likelihood| Metric::Exact(likelihood.family());
    let cases: [(Metric, Vec<_>); 6] = [
        (exact(Likelihood::Categorical), outputs().collect()),
        (exact(Likelihood::Bernoulli), outputs().collect()),
        (exact(Likelihood::Gaussian { variance: 1.0 }), outputs().collect()),
        (exact(Likelihood::Poisson), outputs().collect()),
        (Metric::Empirical, samples().collect()),
        (drawn, directions.collect()),
    ];
    for (metric, roots) in cases {
        let whole = dot(&product(Product::Fisher(metric), v.clone()), &read(v.clone()));
        let squares = roots
            .into_iter()
            .map(|root| dot(&product(Product::Root(metric), root), &read(v.clone())).powi(2));
        let sum: f64 = squares.sum();
        assert!(whole > 1e-3 && (sum - whole).abs() < 1e-12 * whole, "{metric:?}: {sum}, {whole}");
    }
}
