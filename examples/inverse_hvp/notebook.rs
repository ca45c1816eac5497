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
    CaptureConfig, DirectConfig, Hessian, LinearOperator, Objective, Solution, StopReason,
};

use super::{
    support::figures::{Comparison, Figures, largest, median},
    ways::{self, Way},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rand_distr::StandardNormal;

const SEEDS: u64 = 100;
const POINTS: usize = 10;

pub type Train = Autodiff<Flex>;

#[derive(Module, Debug)]
struct Network {
    hidden: Linear,
    output: Linear,
}

/// What one way gave over all seeds.
#[derive(Default)]
struct Outcomes {
    errors: Vec<f64>,
    cosines: Vec<f64>,
    negative_curvature: usize,
    successes: usize,
    report: String,
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
    print_table(&ways, &outcomes, indefinite, median(&conditions));
    note(figures, &outcomes, indefinite, &conditions);
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

impl Outcomes {
    fn add(&mut self, solution: &Solution<Train>, truth: &[f64]) -> Result<(), Box<dyn Error>> {
        let comparison = Comparison::of(&solution.x.to_vec()?, truth);
        self.errors.push(comparison.relative_error);
        self.cosines.push(comparison.cosine);
        self.negative_curvature +=
            usize::from(solution.report.stop == StopReason::NegativeCurvature);
        self.successes += usize::from(solution.report.stop.is_success());
        if self.report.is_empty() {
            self.report = solution.report.to_string();
        }
        Ok(())
    }
}

fn print_table(ways: &[Way], outcomes: &[Outcomes], indefinite: usize, condition: f64) {
    println!("The notebook's problem: 3-5-1 network, 10 points, 26 parameters, {SEEDS} seeds");
    println!(
        "H is indefinite for {indefinite} of {SEEDS} seeds, with a median condition number of {condition:.1e}.\n"
    );
    println!("{:<46} {:>10} {:>10} {:>9}  stopped", "H⁻¹∇ℒ by", "error", "largest", "cosine");
    println!(
        "{:<46} {:>10} {:>10} {:>9}  after 40 steps",
        "the notebook, one seed", "0.6924", "", "0.7375"
    );
    for (way, outcome) in ways.iter().zip(outcomes) {
        println!(
            "{:<46} {:>10.1e} {:>10.1e} {:>9}  {} at negative curvature, {} converged",
            way.name,
            median(&outcome.errors),
            largest(&outcome.errors),
            cosine(median(&outcome.cosines)),
            outcome.negative_curvature,
            outcome.successes,
        );
    }
    println!(
        "\nErrors and cosines are medians over the seeds. What the solver says of the first seed:"
    );
    for index in [0, 4, 7, 9, 12, 13] {
        println!("\n[{}]\n{}", ways[index].name, outcomes[index].report);
    }
}

/// Empty where x = 0 has none.
fn cosine(value: f64) -> String {
    match value.is_finite() {
        true => format!("{value:.4}"),
        false => String::new(),
    }
}

fn note(figures: &mut Figures, outcomes: &[Outcomes], indefinite: usize, conditions: &[f64]) {
    let seeds = SEEDS as f64;
    figures.expect("notebook.indefinite_seeds", indefinite as f64, seeds..=seeds);
    figures.expect("notebook.condition_median", median(conditions), 1e3..=1e6);
    figures.expect(
        "notebook.cg_f64.negative_curvature",
        outcomes[0].negative_curvature as f64,
        seeds..=seeds,
    );
    figures.expect(
        "notebook.cg_f32.negative_curvature",
        outcomes[1].negative_curvature as f64,
        seeds..=seeds,
    );
    figures.note("notebook.cg_f64.error_median", median(&outcomes[0].errors));
    figures.note("notebook.cg_f64.cosine_median", median(&outcomes[0].cosines));
    figures.note("notebook.cg_carried_f64.error_largest", largest(&outcomes[2].errors));
    figures.expect("notebook.cg_carried_f32.error_median", median(&outcomes[3].errors), 0.1..=1e3);
    figures.expect(
        "notebook.cg_orthogonal_f64.error_largest",
        largest(&outcomes[4].errors),
        0.0..=1e-10,
    );
    figures.expect(
        "notebook.cg_orthogonal_f32.error_median",
        median(&outcomes[5].errors),
        0.0..=1e-4,
    );
    figures.note("notebook.minres_f64.error_largest", largest(&outcomes[6].errors));
    figures.expect(
        "notebook.minres_orthogonal_f64.error_largest",
        largest(&outcomes[7].errors),
        0.0..=1e-10,
    );
    figures.expect(
        "notebook.minres_orthogonal_f32.error_median",
        median(&outcomes[8].errors),
        0.0..=1e-3,
    );
    figures.expect("notebook.cg_damped_f64.converged", outcomes[9].successes as f64, seeds..=seeds);
    figures.expect(
        "notebook.cg_damped_f64.error_largest",
        largest(&outcomes[9].errors),
        0.0..=1e-10,
    );
    figures.expect(
        "notebook.cg_damped_f32.converged",
        outcomes[10].successes as f64,
        seeds..=seeds,
    );
    figures.expect(
        "notebook.cg_damped_f32.error_largest",
        largest(&outcomes[10].errors),
        0.0..=1e-3,
    );
    note_gauss_newton(figures, outcomes);
}

fn note_gauss_newton(figures: &mut Figures, outcomes: &[Outcomes]) {
    let seeds = SEEDS as f64;
    let solved = [
        ("notebook.cg_gauss_newton_f64", 11, 1e-10),
        ("notebook.neumann_gauss_newton_f64", 12, 1e-10),
        ("notebook.nystrom_gauss_newton_f64", 14, 1e-8),
    ];
    for (name, index, allowed) in solved {
        let outcome: &Outcomes = &outcomes[index];
        figures.expect(&format!("{name}.converged"), outcome.successes as f64, seeds..=seeds);
        figures.expect(&format!("{name}.error_largest"), largest(&outcome.errors), 0.0..=allowed);
    }
    figures.expect(
        "notebook.neumann_hessian_f64.refused",
        outcomes[13].negative_curvature as f64,
        seeds..=seeds,
    );
}
