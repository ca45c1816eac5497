//! The notebook's problem: a 3-5-1 network with a sigmoid, mean squared error on ten random points, 26 parameters,
//! and H⁻¹∇ℒ in several ways. The Hessian is indefinite there, which the notebook did not notice.

use std::error::Error;

use burn::{
    backend::{Autodiff, Flex},
    module::{Module, Param},
    nn::{
        Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    prelude::*,
    tensor::{TensorData, activation::sigmoid},
};
use burn_curvature::{
    CaptureConfig, DirectConfig, Hessian, LinearOperator, LinearSolver, Objective,
};

use super::{
    comparison::median,
    figures::Figures,
    outcomes::{self, Outcomes},
    ways,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rand_distr::StandardNormal;

pub const SEEDS: u64 = 100;
const POINTS: usize = 10;

pub type Train = Autodiff<Flex>;

#[derive(Module, Debug)]
struct Network {
    hidden: Linear,
    output: Linear,
}

/// Runs all ways on all seeds.
pub fn run(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let ways = ways::all()?;
    let mut outcomes: Vec<Outcomes> = ways.iter().map(|_| Outcomes::default()).collect();
    let (mut indefinite, mut conditions) = (0, Vec::new());
    for seed in 0..SEEDS {
        let objective = objective(seed)?;
        let exact = objective.in_f64()?;
        let direct = DirectConfig::new().init()?;
        let hessian = Hessian::new(&exact)?.damped(0.0)?;
        let whole = direct.solve(&hessian, &exact.gradient()?)?;
        let spectrum = whole.report.spectrum.ok_or("no spectrum")?;
        indefinite += usize::from(spectrum.smallest < 0.0 && spectrum.largest > 0.0);
        conditions.push(spectrum.condition.unwrap_or(f64::INFINITY));
        for (way, outcome) in ways.iter().zip(&mut outcomes) {
            let truth = way.exact(&direct, &exact)?.x.to_vec()?;
            let solution = way.solve(if way.f64 { &exact } else { &objective })?;
            outcome.add(&solution, &truth)?;
        }
    }
    println!("The notebook's problem: 3-5-1 network, 10 points, 26 parameters, {SEEDS} seeds");
    println!(
        "H is indefinite for {indefinite} of {SEEDS} seeds, with a median condition number of {:.1e}.\n",
        median(&conditions)
    );
    outcomes::print_table(&ways, &outcomes);
    let seeds = SEEDS as f64;
    figures.expect("notebook.indefinite_seeds", indefinite as f64, seeds..=seeds);
    figures.expect("notebook.condition_median", median(&conditions), 1e3..=1e6);
    for (way, outcome) in ways.iter().zip(&outcomes) {
        outcome.judge(way, figures);
    }
    Ok(())
}

fn objective(seed: u64) -> Result<Objective<Train>, Box<dyn Error>> {
    let device = Device::flex().autodiff();
    let mut random = StdRng::seed_from_u64(seed);
    let mut normal = |shape: [usize; 2]| {
        let values: Vec<f32> =
            (0..shape[0] * shape[1]).map(|_| random.sample(StandardNormal)).collect();
        Tensor::<2>::from_data(TensorData::new(values, shape), &device)
    };
    let points = normal([POINTS, 3]);
    let targets = normal([POINTS, 1]);
    let mut layer = |input: usize, output: usize| {
        // Uniform in ±1/√inputs, the usual start of a linear layer.
        let bound = 1.0 / (input as f32).sqrt();
        let mut uniform =
            |n: usize| -> Vec<f32> { (0..n).map(|_| random.random_range(-bound..bound)).collect() };
        let mut linear = LinearConfig::new(input, output).init(&device);
        linear.weight =
            Param::from_data(TensorData::new(uniform(input * output), [input, output]), &device);
        linear.bias = Some(Param::from_data(TensorData::new(uniform(output), [output]), &device));
        linear
    };
    let network = Network { hidden: layer(3, 5), output: layer(5, 1) };
    Ok(Objective::capture_with(&CaptureConfig::new(), &network, (points, targets), loss)?)
}

/// Predictions and mean squared error.
fn loss(network: &Network, (points, targets): (Tensor<2>, Tensor<2>)) -> (Tensor<2>, Tensor<1>) {
    let predictions = network.output.forward(sigmoid(network.hidden.forward(points)));
    let loss = MseLoss::new().forward(predictions.clone(), targets, Reduction::Mean);
    (predictions, loss)
}
