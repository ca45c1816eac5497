//! Networks for physics and for functions.

use burn::{
    module::{Module, Param},
    nn::Linear,
    prelude::*,
    tensor::activation::silu,
};

use super::{linear, squared};

/// dy/dt = f(y) by Runge and Kutta's classical method, in five steps to t = 1.
#[derive(Module, Debug)]
pub struct Ode {
    first: Linear,
    second: Linear,
}

impl Ode {
    pub fn new([width, hidden]: [usize; 2], device: &Device) -> Self {
        Self { first: linear(width, hidden, device), second: linear(hidden, width, device) }
    }

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

    pub fn loss(&self, (start, end): (Tensor<2>, Tensor<2>)) -> (Tensor<2>, Tensor<1>) {
        squared((0..5).fold(start, |y, _| self.step(y, 0.2)), end)
    }
}

/// Kolmogorov-Arnold layers.
#[derive(Module, Debug)]
pub struct Kan {
    layers: Vec<KanLayer>,
}

/// A spline of degree 3 on every edge, and a base function.
#[derive(Module, Debug)]
struct KanLayer {
    base: Linear,
    spline: Param<Tensor<3>>,
    grid: Tensor<1>,
}

const BASIS: usize = 6;

impl KanLayer {
    fn new(input: usize, output: usize, device: &Device) -> Self {
        let knots: Vec<f32> = (0..BASIS + 4).map(|at| (at as f32 - 3.0) * 0.8 - 1.2).collect();
        Self {
            base: linear(input, output, device),
            spline: Param::from_tensor(Tensor::zeros([input, BASIS, output], device)),
            grid: Tensor::from_floats(knots.as_slice(), device),
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

impl Kan {
    pub fn new(widths: &[usize], device: &Device) -> Self {
        let layers = widths.windows(2).map(|pair| KanLayer::new(pair[0], pair[1], device));
        Self { layers: layers.collect() }
    }

    pub fn loss(&self, (x, y): (Tensor<2>, Tensor<2>)) -> (Tensor<2>, Tensor<1>) {
        squared(self.layers.iter().fold(x, |x, layer| layer.forward(x)), y)
    }
}
