//! Gradients that are stopped again and again along a recurrence: truncated propagation back through time.

use burn::prelude::*;
use burn_curvature::Objective;

use super::{Weights, close, device, hessian, weights};

/// Where h ← tanh(½h + w x) stops its gradient.
#[derive(Clone, Copy)]
struct Stops {
    steps: usize,
    /// The state, before such a step.
    state: fn(usize) -> bool,
    /// The weight, at such a step.
    weight: fn(usize) -> bool,
    /// Whether the weight is scaled once for all steps.
    scaled: bool,
}

const W: f32 = 0.3;
const SCALE: f64 = 1.25;

fn x(step: usize) -> f64 {
    (0.7 * step as f64).sin()
}

fn sum_of_squares(stops: Stops) -> Objective {
    let objective = Objective::capture(&weights::<1>([W]), (), move |m: &Weights<1>, ()| {
        let w = if stops.scaled { m.w.val() * SCALE } else { m.w.val() };
        let (mut h, mut loss) =
            (Tensor::<1>::zeros([1], &w.device()), Tensor::zeros([1], &w.device()));
        for step in 0..stops.steps {
            let (state, weight) = ((stops.state)(step), (stops.weight)(step));
            let own = if weight { w.clone().detach() } else { w.clone() };
            h = if state { h.detach() } else { h };
            h = (h * 0.5 + own * x(step)).tanh();
            loss = loss + h.clone().square();
        }
        loss.sum() * 0.5
    });
    objective.unwrap()
}

/// Gradient and second derivative of ½Σh² by the rules for h′ and h″, to which a stopped value gives 0.
fn reference(stops: Stops) -> [f64; 2] {
    let scale = if stops.scaled { SCALE } else { 1.0 };
    let w = f64::from(W) * scale;
    let (mut h, mut slope, mut second) = (0.0_f64, 0.0, 0.0);
    let [mut gradient, mut curvature] = [0.0; 2];
    for step in 0..stops.steps {
        if (stops.state)(step) {
            [slope, second] = [0.0; 2];
        }
        let of_weight = if (stops.weight)(step) { 0.0 } else { scale * x(step) };
        h = (0.5 * h + w * x(step)).tanh();
        let inner = 0.5 * slope + of_weight;
        slope = (1.0 - h * h) * inner;
        second = (1.0 - h * h) * (0.5 * second - 2.0 * h * inner * inner);
        gradient += h * slope;
        curvature += slope * slope + h * second;
    }
    [gradient, curvature]
}

#[test]
fn derivatives_are_those_of_the_recurrence_that_is_stopped() {
    let never = |_: usize| false;
    type Chosen = fn(usize) -> bool;
    let cases: [(&str, Chosen, Chosen); 5] = [
        ("truncated", |step| step % 20 == 0, never),
        ("some uses of the weight", never, |step| step % 3 == 1),
        ("all but a few uses", never, |step| step % 17 != 5),
        ("all but the last use", never, |step| step != 199),
        ("both", |step| step % 7 == 0, |step| step % 5 == 2),
    ];
    for (name, state, weight) in cases {
        for scaled in [false, true] {
            let stops = Stops { steps: 200, state, weight, scaled };
            let objective = sum_of_squares(stops);
            let [gradient, curvature] = reference(stops);
            let found = objective.in_f64().unwrap().gradient().unwrap().to_vec().unwrap();
            assert!((found[0] - gradient).abs() < 1e-6 * gradient.abs(), "{name}: {found:?}");
            close(&hessian(&objective), &[curvature]);
        }
    }
}

/// Σ over uses of (w xₖ − sg(w) yₖ)², with a stop in every use, of a weight matrix.
#[test]
fn a_weight_matrix_that_is_stopped_in_every_other_use() {
    let model = weights([[0.25, -0.5], [0.75, 1.0]]);
    let rows = |seed: usize| -> Tensor<2> {
        let values: Vec<f32> = (0..48).map(|i| ((i * 5 + seed) % 13) as f32 / 13.0 - 0.4).collect();
        Tensor::from_data(TensorData::new(values, [24, 2]), &device())
    };
    let objective = Objective::capture(&model, rows(1), |m: &Weights<2>, x: Tensor<2>| {
        let pairs = x.chunk(12, 0).into_iter().enumerate();
        let terms = pairs.map(|(at, x)| {
            let own = x.clone().matmul(m.w.val());
            let stopped = (x * (1.0 + at as f64)).matmul(m.w.val().detach());
            (own - stopped).square().sum()
        });
        terms.reduce(|a, b| a + b).unwrap()
    });
    // 2 I ⊗ XᵀX, whatever is stopped.
    let x: Vec<f64> = rows(1).into_data().iter::<f64>().collect();
    let gram = |i: usize, j: usize| 2.0 * x.chunks(2).map(|row| row[i] * row[j]).sum::<f64>();
    let entry = |at: usize| {
        let (row, column) = (at / 4, at % 4);
        if row % 2 == column % 2 { gram(row / 2, column / 2) } else { 0.0 }
    };
    close(&hessian(&objective.unwrap()), &(0..16).map(entry).collect::<Vec<_>>());
}
