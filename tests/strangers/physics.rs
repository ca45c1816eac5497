//! Networks for physics and for functions.

use burn::{module::Module, nn::Linear, prelude::*};
use burn_curvature::Likelihood;

use crate::{
    networks::physics::{Kan, Ode},
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

#[test]
fn neural_ode() {
    let batch = (normal([6, 2], 1), normal([6, 2], 2));
    as_given(Ode::new([2, 10], &device()), batch, Ode::loss)
        .mean()
        .with(Likelihood::Gaussian { variance: 0.5 })
        .passes();
}

#[test]
fn kan() {
    let batch = (unit([12, 2], 1), normal([12, 1], 2));
    as_given(Kan::new(&[2, 4, 1], &device()), batch, Kan::loss)
        .mean()
        .with(Likelihood::Gaussian { variance: 0.5 })
        .passes();
}
