//! Networks for physics and for functions.

use burn::{
    module::{Module, Param},
    nn::Linear,
    prelude::*,
    tensor::activation::silu,
};
use burn_curvature::Likelihood;

use crate::{
    parts::linear,
    stranger::{OF_OUTPUTS, as_given, device, normal, unit},
};

/// u(x) with three layers.
#[derive(Module, Debug)]
struct Pinn {
    first: Linear,
    second: Linear,
    third: Linear,
}

impl Pinn {
    fn new() -> Self {
        Self { first: linear(1, 8), second: linear(8, 8), third: linear(8, 1) }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let hidden = self.second.forward(self.first.forward(x).tanh()).tanh();
        self.third.forward(hidden)
    }

    /// u, u′ and u″ by the chain rule: weights are used once with their biases and twice without.
    fn jet(&self, x: Tensor<2>) -> [Tensor<2>; 3] {
        let through = |layer: &Linear, [u, du, ddu]: [Tensor<2>; 3]| {
            let weight = layer.weight.val();
            [layer.forward(u), du.matmul(weight.clone()), ddu.matmul(weight)]
        };
        let bent = |[u, du, ddu]: [Tensor<2>; 3]| {
            let t = u.tanh();
            let slope = t.clone().square() * -1.0 + 1.0;
            let bend = t.clone() * slope.clone() * -2.0;
            [t, slope.clone() * du.clone(), bend * du.square() + slope * ddu]
        };
        let start = [x.clone(), x.ones_like(), x.zeros_like()];
        let hidden = bent(through(&self.first, start));
        through(&self.third, bent(through(&self.second, hidden)))
    }
}

/// u″ = −π² sin πx in the inside, u = 0 at both ends.
fn source(x: Tensor<2>) -> Tensor<2> {
    let pi = std::f64::consts::PI;
    (x * pi).sin() * (-pi * pi)
}

fn ends(model: &Pinn) -> Tensor<1> {
    let ends = Tensor::from_floats([[0.0], [1.0]], &model.first.weight.device());
    model.forward(ends).square().mean()
}

#[test]
fn pinn_with_differences() {
    as_given(Pinn::new(), unit([10, 1], 1), |model, x: Tensor<2>| {
        let h = 0.05;
        let beside = model.forward(x.clone() + h) + model.forward(x.clone() - h);
        let curvature = (beside - model.forward(x.clone()) * 2.0) / (h * h);
        (curvature - source(x)).square().mean() + ends(model)
    })
    .mean()
    .without(&OF_OUTPUTS)
    .passes();
}

#[test]
fn pinn_by_the_chain_rule() {
    as_given(Pinn::new(), unit([10, 1], 1), |model, x: Tensor<2>| {
        let [_, _, curvature] = model.jet(x.clone());
        (curvature - source(x)).square().mean() + ends(model)
    })
    .mean()
    .without(&OF_OUTPUTS)
    .passes();
}

/// The residuals are the outputs.
#[test]
fn pinn_with_gauss_newton() {
    as_given(Pinn::new(), unit([10, 1], 1), |model, x: Tensor<2>| {
        let [_, _, curvature] = model.jet(x.clone());
        let residuals = curvature - source(x);
        (residuals.clone(), residuals.square().mean())
    })
    .mean()
    .with(Likelihood::Gaussian { variance: 0.5 })
    .passes();
}

/// A branch over sensors and a trunk over places, joined by `einsum`.
#[derive(Module, Debug)]
struct DeepONet {
    branch: Vec<Linear>,
    trunk: Vec<Linear>,
}

#[test]
fn deeponet() {
    let model = DeepONet {
        branch: vec![linear(6, 8), linear(8, 5)],
        trunk: vec![linear(1, 8), linear(8, 5)],
    };
    let batch = (normal([4, 6], 1), unit([7, 1], 2), normal([4, 7], 3));
    as_given(
        model,
        batch,
        |model, (sensors, places, values): (Tensor<2>, Tensor<2>, Tensor<2>)| {
            let net =
                |layers: &[Linear], x: Tensor<2>| layers[1].forward(layers[0].forward(x).tanh());
            let branch = net(&model.branch, sensors);
            let trunk = net(&model.trunk, places);
            let found = Tensor::<2>::einsum("bp,np->bn", [branch.into(), trunk.into()]);
            // Summed over the places, as the likelihood is.
            (found.clone(), (found - values).square().mean() * 7.0)
        },
    )
    .mean()
    .with(Likelihood::Gaussian { variance: 0.5 })
    .passes();
}

/// dy/dt = f(y) by Runge and Kutta's classical method.
#[derive(Module, Debug)]
struct Ode {
    first: Linear,
    second: Linear,
}

impl Ode {
    fn slope(&self, y: Tensor<2>) -> Tensor<2> {
        self.second.forward(self.first.forward(y).tanh())
    }

    fn step(&self, y: Tensor<2>, h: f64) -> Tensor<2> {
        let k1 = self.slope(y.clone());
        let k2 = self.slope(y.clone() + k1.clone() * (h / 2.0));
        let k3 = self.slope(y.clone() + k2.clone() * (h / 2.0));
        let k4 = self.slope(y.clone() + k3.clone() * h);
        y + (k1 + (k2 + k3) * 2.0 + k4) * (h / 6.0)
    }
}

#[test]
fn neural_ode() {
    let model = Ode { first: linear(2, 10), second: linear(10, 2) };
    let batch = (normal([6, 2], 1), normal([6, 2], 2));
    as_given(model, batch, |model, (start, end): (Tensor<2>, Tensor<2>)| {
        let found = (0..5).fold(start, |y, _| model.step(y, 0.2));
        (found.clone(), (found - end).square().mean() * 2.0)
    })
    .mean()
    .with(Likelihood::Gaussian { variance: 0.5 })
    .passes();
}

/// A Kolmogorov-Arnold layer: a spline of degree 3 on every edge, and a base function.
#[derive(Module, Debug)]
struct KanLayer {
    base: Linear,
    spline: Param<Tensor<3>>,
    grid: Tensor<1>,
}

const BASIS: usize = 6;

impl KanLayer {
    fn new(input: usize, output: usize) -> Self {
        let knots: Vec<f32> = (0..BASIS + 4).map(|at| (at as f32 - 3.0) * 0.8 - 1.2).collect();
        Self {
            base: linear(input, output),
            spline: Param::from_tensor(Tensor::zeros([input, BASIS, output], &device())),
            grid: Tensor::from_floats(knots.as_slice(), &device()),
        }
    }

    /// The values of all B-splines, `[batch, input, basis]`, by the recursion of de Boor and Cox.
    fn basis(&self, x: Tensor<2>) -> Tensor<3> {
        let x: Tensor<3> = x.unsqueeze_dim(2);
        let grid: Tensor<3> = self.grid.clone().unsqueeze();
        let count = BASIS + 4;
        let knots = |start: usize, length: usize| grid.clone().narrow(2, start, length);
        let above = x.clone().greater_equal(knots(0, count - 1)).float();
        let below = x.clone().lower(knots(1, count - 1)).float();
        let mut values = above * below;
        for degree in 1..4 {
            let n = count - 1 - degree;
            let left = (x.clone() - knots(0, n)) / (knots(degree, n) - knots(0, n));
            let right = (knots(degree + 1, n) - x.clone()) / (knots(degree + 1, n) - knots(1, n));
            values = left * values.clone().narrow(2, 0, n) + right * values.narrow(2, 1, n);
        }
        values
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let [batch, input] = x.dims();
        let [_, _, output] = self.spline.dims();
        let basis = self.basis(x.clone()).reshape([batch, input * BASIS]);
        let spline = self.spline.val().reshape([input * BASIS, output]);
        self.base.forward(silu(x)) + basis.matmul(spline)
    }
}

#[test]
fn kan() {
    let model = (KanLayer::new(2, 4), KanLayer::new(4, 1));
    let batch = (unit([12, 2], 1), normal([12, 1], 2));
    as_given(model, batch, |(first, second), (x, y): (Tensor<2>, Tensor<2>)| {
        let found = second.forward(first.forward(x));
        (found.clone(), (found - y).square().mean())
    })
    .mean()
    .with(Likelihood::Gaussian { variance: 0.5 })
    .passes();
}
