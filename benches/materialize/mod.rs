//! The matrix of a Hessian of about a thousand parameters: all columns, several at a time, against one by one.

use burn::{
    module::Module,
    nn::{Linear, LinearConfig},
    tensor::{Device, Distribution, Tensor},
};
use burn_backend::AutodiffBackend;
use burn_curvature::{
    CaptureConfig, Hessian, LinearOperator, Objective, backend::ProgramBackend, materialize,
};

use crate::{
    Backend,
    figures::Figures,
    finish,
    harness::{Plan, Rounds},
};

/// A regression 20-30-12 on 32 points: 1,002 parameters.
#[derive(Module, Debug)]
struct Network {
    hidden: Linear,
    output: Linear,
}

const POINTS: usize = 32;
const WIDTHS: [usize; 3] = [20, 30, 12];

/// Prints `materialize.<backend>.materialize`, in single products, and `one_by_one`, the same with single products.
pub fn measure<B: AutodiffBackend>((backend, device): &Backend, plan: Plan)
where
    B::InnerBackend: ProgramBackend,
{
    let objective = objective::<B>(&device.clone().autodiff());
    let together = Hessian::new(&objective).expect("a Hessian");
    let columns = objective.layout().len();
    let units: Vec<_> = (0..columns)
        .map(|place| {
            let unit: Vec<f64> = (0..columns).map(|at| f64::from(u8::from(at == place))).collect();
            objective.parameters().space().vector(&unit).expect("a unit vector")
        })
        .collect();
    let mut rounds = Rounds::default();
    rounds.add("product", || finish(device, together.apply(&units[0]).expect("a product")));
    rounds.add("materialize", || finish(device, materialize(&together).expect("a matrix")));
    rounds.add("one_by_one", || {
        for unit in &units {
            let column = together.apply(unit).expect("a product");
            finish(device, column.to_vec().expect("a column"));
        }
    });
    let samples = rounds.measure(plan);
    let figures = Figures::new("materialize", backend);
    figures.milliseconds("materialize_ms", samples.seconds("materialize"));
    figures.quartiles("materialize", samples.ratio("materialize", "product"));
    figures.quartiles("one_by_one", samples.ratio("one_by_one", "product"));
    figures.quartiles("speedup", samples.ratio("one_by_one", "materialize"));
}

fn objective<B: AutodiffBackend>(device: &Device) -> Objective<B>
where
    B::InnerBackend: ProgramBackend,
{
    let [input, hidden, output] = WIDTHS;
    let model = Network {
        hidden: LinearConfig::new(input, hidden).init(device),
        output: LinearConfig::new(hidden, output).init(device),
    };
    let batch = (
        Tensor::<2>::random([POINTS, input], Distribution::Default, device),
        Tensor::<2>::random([POINTS, output], Distribution::Default, device),
    );
    let config = CaptureConfig::new();
    let loss = |model: &Network, (x, y): (Tensor<2>, Tensor<2>)| {
        let hidden = burn::tensor::activation::tanh(model.hidden.forward(x));
        (model.output.forward(hidden) - y).powi_scalar(2).mean()
    };
    Objective::capture_with(&config, &model, batch, loss).expect("a smooth loss")
}
