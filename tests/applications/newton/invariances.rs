//! Laws of the steps: scaling of the loss, and the same step by a batch and by a data set.

use burn::prelude::*;
use burn_curvature::{
    Objective, Reduction,
    optim::{HessianFreeConfig, LevenbergMarquardtConfig, NewtonCgConfig, NewtonOptimizer},
};

use super::{B, Point, number};

/// r = (10(y − x²), 1 − x), and c/2 ‖r‖².
fn scaled(p: &Point, c: Tensor<1>) -> (Tensor<1>, Tensor<1>) {
    let (x, y) = (p.x(0), p.x(1));
    let r = Tensor::cat(vec![(y - x.clone() * x.clone()) * 10.0, (x - 1.0) * -1.0], 0);
    (r.clone(), (r.clone() * r).sum() * c * 0.5)
}

type Init = fn(f64, &Objective<B>) -> NewtonOptimizer<B>;

/// ℒ·c with λ·c takes the same steps, whatever the rule.
#[test]
fn a_scaled_loss_with_a_scaled_damping_takes_the_same_steps() {
    let inits: [Init; 3] = [
        |c, objective| NewtonCgConfig::new().with_damping(0.1 * c).init(objective).unwrap(),
        |c, objective| {
            LevenbergMarquardtConfig::new().with_damping(0.1 * c).init(objective).unwrap()
        },
        |c, objective| {
            HessianFreeConfig::new().with_damping(0.1 * c).with_probes(0).init(objective).unwrap()
        },
    ];
    for init in inits {
        let paths = [1.0, 1024.0].map(|c| {
            let mut model = Point::at(&[-1.2, 1.0]);
            let objective =
                Objective::capture(&model, number(c), scaled).unwrap().in_f64().unwrap();
            let mut optimizer = init(c, &objective);
            let mut path = Vec::new();
            for _ in 0..12 {
                let step;
                (model, step) = optimizer.step(&model, number(c)).unwrap();
                assert!((optimizer.damping() / c).is_finite());
                path.push((model.values(), step.verdict, step.damping / c));
            }
            path
        });
        for (one, other) in paths[0].iter().zip(&paths[1]) {
            assert_eq!((one.1, one.2), (other.1, other.2));
            for (a, b) in one.0.iter().zip(&other.0) {
                assert!((a - b).abs() <= 1e-9 * a.abs().max(1.0), "{one:?} {other:?}");
            }
        }
    }
}

/// Weight decay is a term of h, not of λ: ℒ + η/2 ‖θ‖² in the closure takes the same steps.
#[test]
fn weight_decay_is_that_of_the_loss() {
    let decay = 0.3;
    let start = Point::at(&[-1.2, 1.0]);
    let plain = super::objective(&start, super::functions::rosenbrock);
    let written = super::objective(&start, |p| {
        let w = p.w.val();
        super::functions::rosenbrock(p) + (w.clone() * w).sum() * 0.15
    });
    let mut one = NewtonCgConfig::new().with_weight_decay(decay).init(&plain).unwrap();
    let mut other = NewtonCgConfig::new().init(&written).unwrap();
    let (mut a, mut b) = (start.clone(), start);
    for _ in 0..15 {
        let (left, right);
        (a, left) = one.step(&a, number(1.0)).unwrap();
        (b, right) = other.step(&b, number(1.0)).unwrap();
        assert!((left.value - right.value).abs() <= 1e-10 * left.value.abs(), "{left}\n{right}");
        let pairs = a.values().into_iter().zip(b.values());
        assert!(pairs.into_iter().all(|(x, y)| (x - y).abs() < 1e-8), "{left}\n{right}");
    }
}

#[derive(Module, Debug)]
struct Line {
    w: burn::module::Param<Tensor<2>>,
}

/// One step on all samples, on the batches of a data set, and with the curvature on its own objective: the same.
#[test]
fn a_data_set_takes_the_step_of_its_samples() {
    let device = Device::default().autodiff();
    let tensor = |values: Vec<f32>, shape: [usize; 2]| {
        Tensor::<2>::from_data(TensorData::new(values, shape), &device)
    };
    let x: Vec<f32> = (0..20).map(|i| ((i * 7 % 11) as f32 - 5.0) / 5.0).collect();
    let y: Vec<f32> = (0..10).map(|i| if i % 3 == 0 { 1.0 } else { 0.0 }).collect();
    let all = (tensor(x.clone(), [10, 2]), tensor(y.clone(), [10, 1]));
    let model = Line { w: burn::module::Param::from_tensor(Tensor::zeros([2, 1], &device)) };
    let loss = |model: &Line, (x, y): (Tensor<2>, Tensor<2>)| {
        let z = x.matmul(model.w.val());
        let loss = (burn::tensor::activation::softplus(z.clone(), 1.0) - z.clone() * y).mean();
        (z, loss)
    };
    let whole: Objective<B> =
        Objective::capture(&model, all.clone(), loss).unwrap().in_f64().unwrap();
    let batches = [(0, 4), (4, 6)].map(|(from, len)| {
        let rows = from..from + len;
        (all.0.clone().slice([rows.clone(), 0..2]), all.1.clone().slice([rows, 0..1]))
    });
    let risk = whole.over(batches.clone(), Reduction::Mean).unwrap();
    let config = NewtonCgConfig::new().with_weight_decay(0.01);
    let mut optimizers = [0; 3].map(|_| config.init(&whole).unwrap());
    let steps = [
        optimizers[0].step(&model, all.clone()).unwrap(),
        optimizers[1].step_on(&model, &risk).unwrap(),
        optimizers[2].step_with_curvature(&model, &risk, &whole).unwrap(),
    ];
    let values = steps
        .each_ref()
        .map(|(model, _)| model.w.val().into_data().iter::<f64>().collect::<Vec<_>>());
    for other in &values[1..] {
        assert!(other.iter().zip(&values[0]).all(|(a, b)| (a - b).abs() < 1e-6), "{values:?}");
    }
    // Curvature of some samples only gives another step, with the same gradient.
    let few = whole.on(batches[0].clone()).unwrap();
    let (_, step) = config.init(&whole).unwrap().step_with_curvature(&model, &risk, &few).unwrap();
    assert!((step.gradient_norm - steps[0].1.gradient_norm).abs() < 1e-12);
    assert!((step.length - steps[0].1.length).abs() > 1e-3 * step.length);
    assert!(step.is_taken());
}
