//! Burn's reparameterizations: low-rank adapters on frozen weights, and one of the user's. The derivatives of the dense model
//! at the weights that they make, pulled back by the chain rule, are those of the adapters.

use super::device;
use burn::{
    module::{Lora, Param, Reparameterization, Reparameterizer},
    nn::{Linear, LinearConfig},
    optim::{GradientsParams, SgdConfig},
    prelude::*,
    tensor::{Shape, activation::tanh},
};
use burn_curvature::{GaussNewton, Hessian, LinearOperator, Objective, ParamVector};

#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    output: Linear,
}

fn net() -> Net {
    let device = device();
    device.seed(5);
    Net {
        hidden: LinearConfig::new(3, 4).init(&device),
        output: LinearConfig::new(4, 2).init(&device),
    }
}

fn data() -> Tensor<2> {
    let values: Vec<f32> = (0..15).map(|i| (1.3 * i as f32).sin()).collect();
    Tensor::<1>::from_floats(values.as_slice(), &device()).reshape([5, 3])
}

fn loss(model: &Net, x: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
    let z = model.output.forward(tanh(model.hidden.forward(x)));
    (z.clone(), (z.sin() - 0.3).square().sum())
}

fn objective(model: &Net) -> Objective {
    Objective::capture(model, data(), loss).expect("a model of Burn").in_f64().unwrap()
}

/// Adapters of rank 2 and scale 3 on both layers, with B ≠ 0.
fn adapted() -> Net {
    let mut model = net().apply_lora(Lora::new(2, 6.0));
    let start = ParamVector::from_module(&model).unwrap();
    let start: ParamVector = start.space().normal(3).scale(0.3);
    model = start.write_to(&model).unwrap();
    model
}

/// A block of a vector, row by row.
fn block(vector: &ParamVector, name: &str) -> Vec<f64> {
    let block = vector.layout().block(name).expect("a block of that name");
    vector.to_vec().unwrap()[block.range()].to_vec()
}

/// The product of an m×k and a k×n matrix, row by row, each transposed on request.
fn product((a, at): (&[f64], bool), (b, bt): (&[f64], bool), [m, k, n]: [usize; 3]) -> Vec<f64> {
    let of = |x: &[f64], transposed, i, j, [rows, columns]: [usize; 2]| {
        if transposed { x[j * rows + i] } else { x[i * columns + j] }
    };
    let entry = |i, j| (0..k).map(|l| of(a, at, i, l, [m, k]) * of(b, bt, l, j, [k, n])).sum();
    (0..m * n).map(|at| entry(at / n, at % n)).collect()
}

const SCALE: f64 = 3.0;
const LAYERS: [(&str, usize, usize); 2] = [("hidden", 3, 4), ("output", 4, 2)];

/// The derivative of the weights W₀ + s·A·B in the adapters at `at`, along v.
fn pushed(at: &ParamVector, dense: &ParamVector, v: &ParamVector) -> ParamVector {
    let mut weights = vec![0.0; dense.len()];
    for (layer, inputs, outputs) in LAYERS {
        let [a, b] = ["a", "b"].map(|part| format!("{layer}.weight.lora.{part}"));
        let size = [inputs, 2, outputs];
        let first = product((&block(v, &a), false), (&block(at, &b), false), size);
        let second = product((&block(at, &a), false), (&block(v, &b), false), size);
        let range = dense.layout().block(&format!("{layer}.weight")).unwrap().range();
        for (position, (x, y)) in range.zip(first.iter().zip(&second)) {
            weights[position] = SCALE * (x + y);
        }
    }
    dense.space().vector(&weights).unwrap()
}

/// Its transpose.
fn pulled(at: &ParamVector, u: &ParamVector) -> ParamVector {
    let mut values = vec![0.0; at.len()];
    for (layer, inputs, outputs) in LAYERS {
        let [a, b] = ["a", "b"].map(|part| format!("{layer}.weight.lora.{part}"));
        let w = block(u, &format!("{layer}.weight"));
        let of_a = product((&w, false), (&block(at, &b), true), [inputs, outputs, 2]);
        let of_b = product((&block(at, &a), true), (&w, false), [2, inputs, outputs]);
        for (name, found) in [(a, of_a), (b, of_b)] {
            let range = at.layout().block(&name).unwrap().range();
            values[range].iter_mut().zip(found).for_each(|(value, x)| *value = SCALE * x);
        }
    }
    at.space().vector(&values).unwrap()
}

#[test]
fn adapters_of_low_rank_have_the_derivatives_of_the_dense_weights() {
    let model = adapted();
    let own = objective(&model);
    let names: Vec<_> = own.layout().blocks().iter().map(|block| block.name()).collect();
    let expected = [
        "hidden.weight.lora.a",
        "hidden.weight.lora.b",
        "output.weight.lora.a",
        "output.weight.lora.b",
    ];
    assert_eq!(names, expected);

    let dense = objective(&model.clone().materialize().unfreeze());
    assert!((own.value().unwrap() - dense.value().unwrap()).abs() < 1e-5);
    let (at, weights) = (own.parameters(), dense.parameters());
    let close = |found: &ParamVector, expected: &ParamVector| {
        let difference = found.clone().sub(expected).unwrap().norm().unwrap();
        assert!(difference < 1e-5 * expected.norm().unwrap(), "{difference:e}");
    };
    close(&own.gradient().unwrap(), &pulled(at, &dense.gradient().unwrap()));

    let v = at.space().normal(4);
    let through = GaussNewton::new(&dense).unwrap().apply(&pushed(at, weights, &v)).unwrap();
    close(&GaussNewton::new(&own).unwrap().apply(&v).unwrap(), &pulled(at, &through));
    // The Hessian has the second derivative of A·B too: differences of the gradient know of it.
    let step = 1e-5;
    let gradient = |step: f64| {
        let moved = at.clone().axpy(step, &v).unwrap();
        own.at(&moved).unwrap().gradient().unwrap()
    };
    let difference = gradient(step).sub(&gradient(-step)).unwrap().scale(0.5 / step);
    let product = Hessian::new(&own).unwrap().apply(&v).unwrap();
    close(&product, &difference);
}

/// Steps move the adapters alone, and a training by Burn is followed.
#[test]
fn adapters_are_moved_and_their_weights_are_not() {
    let model = adapted();
    let own = objective(&model);
    let stepped = own.gradient().unwrap().add_to(&model, -0.01).unwrap();
    let base = |model: &Net| model.hidden.weight.base().into_data();
    assert_eq!(base(&stepped), base(&model));
    let there = own.at_model(&stepped).unwrap().value().unwrap();
    assert!(there < own.value().unwrap());
    let burn = loss(&stepped, data()).1;
    let gradients = GradientsParams::from_grads(burn.backward(), &stepped);
    let trained = SgdConfig::new().init().step(0.01, stepped, gradients);
    let expected: f32 = loss(&trained, data()).1.into_scalar();
    let found = own.at_model(&trained).unwrap().value().unwrap();
    assert!((found - f64::from(expected)).abs() < 1e-5 * found);
}

/// W = g·V/‖V‖
#[derive(Module, Debug)]
struct Normed {
    g: Param<Tensor<1>>,
}

impl Reparameterization for Normed {
    const NAME: &'static str = "norm";

    fn apply<const D: usize>(&self, base: Tensor<D>) -> Tensor<D> {
        let one = Shape::from(vec![1; D]);
        let norm = base.clone().square().sum().sqrt().reshape(one.clone());
        base / norm * self.g.val().reshape(one)
    }
}

struct Norms;

impl Reparameterizer for Norms {
    type Reparam = Normed;

    fn reparameterize<const D: usize>(
        &mut self,
        _path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<Normed>) {
        let g = Param::from_tensor(Tensor::full([1], 1.5, &param.lazy_device()));
        (param, (D == 2).then_some(Normed { g }))
    }
}

/// The loss does not depend on the length of V: the gradient is orthogonal to it, and H·V = −∇ in the block of V.
#[test]
fn a_reparameterization_of_the_users_obeys_its_invariance() {
    let own = objective(&net().apply_reparameterization(Norms));
    assert!(own.layout().block("hidden.weight.norm.g").is_some());
    let range = own.layout().block("hidden.weight").unwrap().range();
    let mut direction = own.parameters().to_vec().unwrap();
    let outside = |at: &usize| !range.contains(at);
    (0..direction.len()).filter(outside).for_each(|at| direction[at] = 0.0);
    let direction = own.parameters().space().vector(&direction).unwrap();
    let gradient = own.gradient().unwrap();
    assert!(gradient.dot(&direction).unwrap().abs() < 1e-12);
    let product = own.hessian_vector_product(&direction).unwrap().to_vec().unwrap();
    let gradient = gradient.to_vec().unwrap();
    let size = gradient.iter().fold(0.0, |most: f64, g| most.max(g.abs()));
    for at in 0..gradient.len() {
        let expected = if range.contains(&at) { -gradient[at] } else { 0.0 };
        assert!((product[at] - expected).abs() < 1e-10 * size, "{at}");
    }
}
