//! The notebook's problem: a 3-5-1 network with a sigmoid, mean squared error on ten random points, 26 parameters,
//! and H⁻¹∇ℒ by conjugate gradients and by MINRES. The Hessian is indefinite there, which the notebook did not notice.

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
    ConjugateGradientConfig, Direct, DirectConfig, Hessian, LinearOperator, LinearSolver,
    MinresConfig, Objective, OnNegativeCurvature, SelfAdjoint, Solution, StopReason, TraceConfig,
};

use super::support::figures::{Comparison, Figures, largest, median};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rand_distr::StandardNormal;

const SEEDS: u64 = 100;
const POINTS: usize = 10;
const PARAMETERS: usize = 26;
/// At 0.1 about one seed in a hundred is definite; at 1 all are.
const DAMPING: f64 = 1.0;

type Train = Autodiff<Flex>;

#[derive(Module, Debug)]
struct Network {
    hidden: Linear,
    output: Linear,
}

/// One way to compute an inverse-Hessian-vector product.
struct Way {
    name: &'static str,
    solver: Box<dyn LinearSolver<Train>>,
    damping: f64,
    f64: bool,
}

/// What one way gave over all seeds.
#[derive(Default)]
struct Outcomes {
    errors: Vec<f64>,
    cosines: Vec<f64>,
    negative_curvature: usize,
    converged: usize,
    report: String,
}

/// Runs all ways on all seeds.
pub fn run(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let ways = ways()?;
    let mut outcomes: Vec<Outcomes> = ways.iter().map(|_| Outcomes::default()).collect();
    let (mut indefinite, mut conditions) = (0, Vec::new());
    for seed in 0..SEEDS {
        let objective = objective(seed)?;
        let exact = objective.in_f64()?;
        let direct = DirectConfig::new().init()?;
        let spectrum = exact_solution(&direct, &exact, 0.0)?
            .report
            .spectrum
            .ok_or("no spectrum")?;
        indefinite += usize::from(spectrum.smallest < 0.0 && spectrum.largest > 0.0);
        conditions.push(spectrum.condition.unwrap_or(f64::INFINITY));
        for (way, outcome) in ways.iter().zip(&mut outcomes) {
            let truth = exact_solution(&direct, &exact, way.damping)?.x.to_vec()?;
            let solution = solve(way, if way.f64 { &exact } else { &objective })?;
            outcome.add(&solution, &truth)?;
        }
    }
    print_table(&ways, &outcomes, indefinite, median(&conditions));
    note(figures, &outcomes, indefinite, &conditions);
    Ok(())
}

fn ways() -> Result<Vec<Way>, Box<dyn Error>> {
    let plain = ConjugateGradientConfig::new()
        .with_relative_tolerance(1e-12)
        .with_max_iterations(Some(40))
        .with_stagnation_window(None);
    let carried = plain
        .clone()
        .with_on_negative_curvature(OnNegativeCurvature::Continue);
    let orthogonal = carried
        .clone()
        .with_reorthogonalisation(true)
        .with_max_iterations(Some(PARAMETERS));
    let minres = MinresConfig::new()
        .with_relative_tolerance(1e-15)
        .with_max_iterations(Some(PARAMETERS));
    let minres_orthogonal = minres.clone().with_reorthogonalisation(true);
    let single = plain.clone().with_relative_tolerance(1e-5);
    let conjugate = |name, solver: &ConjugateGradientConfig, damping, f64| {
        let solver = Box::new(solver.init()?);
        Ok::<_, Box<dyn Error>>(Way {
            name,
            solver,
            damping,
            f64,
        })
    };
    let residual = |name, solver: &MinresConfig, f64| {
        let solver = Box::new(solver.init()?);
        Ok::<_, Box<dyn Error>>(Way {
            name,
            solver,
            damping: 0.0,
            f64,
        })
    };
    Ok(vec![
        conjugate("CG on H, as the notebook ran it, f64", &plain, 0.0, true)?,
        conjugate("CG on H, as the notebook ran it, f32", &plain, 0.0, false)?,
        conjugate(
            "CG on H, 40 steps carried through, f64",
            &carried,
            0.0,
            true,
        )?,
        conjugate(
            "CG on H, 40 steps carried through, f32",
            &carried,
            0.0,
            false,
        )?,
        conjugate(
            "CG on H, reorthogonalised, 26 steps, f64",
            &orthogonal,
            0.0,
            true,
        )?,
        conjugate(
            "CG on H, reorthogonalised, 26 steps, f32",
            &orthogonal,
            0.0,
            false,
        )?,
        residual("MINRES on H, 26 steps, f64", &minres, true)?,
        residual(
            "MINRES on H, reorthogonalised, 26 steps, f64",
            &minres_orthogonal,
            true,
        )?,
        residual(
            "MINRES on H, reorthogonalised, 26 steps, f32",
            &minres_orthogonal,
            false,
        )?,
        conjugate("CG on H + I, f64", &plain, DAMPING, true)?,
        conjugate("CG on H + I, f32", &single, DAMPING, false)?,
    ])
}

fn objective(seed: u64) -> Result<Objective<Train>, Box<dyn Error>> {
    let device = Device::flex().autodiff();
    let mut random = StdRng::seed_from_u64(seed);
    let mut normal = |shape: [usize; 2]| {
        let values: Vec<f32> = (0..shape[0] * shape[1])
            .map(|_| random.sample(StandardNormal))
            .collect();
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
        linear.weight = Param::from_data(
            TensorData::new(uniform(input * output), [input, output]),
            &device,
        );
        linear.bias = Some(Param::from_data(
            TensorData::new(uniform(output), [output]),
            &device,
        ));
        linear
    };
    let network = Network {
        hidden: layer(3, 5),
        output: layer(5, 1),
    };
    Ok(Objective::trace_with(
        &TraceConfig::new(),
        &network,
        (points, targets),
        loss,
    )?)
}

fn loss(network: &Network, (points, targets): (Tensor<2>, Tensor<2>)) -> Tensor<1> {
    let predictions = network
        .output
        .forward(sigmoid(network.hidden.forward(points)));
    MseLoss::new().forward(predictions, targets, Reduction::Mean)
}

/// (H + λI)⁻¹∇ℒ by the dense matrix in f64.
fn exact_solution(
    direct: &Direct,
    objective: &Objective<Train>,
    damping: f64,
) -> Result<Solution<Train>, Box<dyn Error>> {
    let gradient = objective.gradient()?;
    Ok(direct.solve(&Hessian::new(objective).damped(damping)?, &gradient)?)
}

fn solve(way: &Way, objective: &Objective<Train>) -> Result<Solution<Train>, Box<dyn Error>> {
    let gradient = objective.gradient()?;
    let hessian = Hessian::new(objective);
    let damped;
    let operator: &dyn SelfAdjoint<Train> = match way.damping {
        0.0 => &hessian,
        damping => {
            damped = hessian.damped(damping)?;
            &damped
        }
    };
    Ok(way.solver.solve(operator, &gradient)?)
}

impl Outcomes {
    fn add(&mut self, solution: &Solution<Train>, truth: &[f64]) -> Result<(), Box<dyn Error>> {
        let comparison = Comparison::of(&solution.x.to_vec()?, truth);
        self.errors.push(comparison.relative_error);
        self.cosines.push(comparison.cosine);
        self.negative_curvature +=
            usize::from(solution.report.stop == StopReason::NegativeCurvature);
        self.converged += usize::from(solution.report.stop == StopReason::Converged);
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
    println!(
        "{:<46} {:>10} {:>10} {:>9}  stopped",
        "H⁻¹∇ℒ by", "error", "largest", "cosine"
    );
    println!(
        "{:<46} {:>10} {:>10} {:>9}  after 40 steps",
        "the notebook, one seed", "0.6924", "", "0.7375"
    );
    for (way, outcome) in ways.iter().zip(outcomes) {
        println!(
            "{:<46} {:>10.1e} {:>10.1e} {:>9.4}  {} at negative curvature, {} converged",
            way.name,
            median(&outcome.errors),
            largest(&outcome.errors),
            median(&outcome.cosines),
            outcome.negative_curvature,
            outcome.converged,
        );
    }
    println!(
        "\nErrors and cosines are medians over the seeds. What the solver says of the first seed:"
    );
    for index in [0, 4, 7, 9] {
        println!("\n[{}]\n{}", ways[index].name, outcomes[index].report);
    }
}

fn note(figures: &mut Figures, outcomes: &[Outcomes], indefinite: usize, conditions: &[f64]) {
    let seeds = SEEDS as f64;
    figures.expect(
        "notebook.indefinite_seeds",
        indefinite as f64,
        seeds..=seeds,
    );
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
    figures.note(
        "notebook.cg_f64.cosine_median",
        median(&outcomes[0].cosines),
    );
    figures.note(
        "notebook.cg_carried_f64.error_largest",
        largest(&outcomes[2].errors),
    );
    figures.expect(
        "notebook.cg_carried_f32.error_median",
        median(&outcomes[3].errors),
        0.1..=1e3,
    );
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
    figures.note(
        "notebook.minres_f64.error_largest",
        largest(&outcomes[6].errors),
    );
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
    figures.expect(
        "notebook.cg_damped_f64.converged",
        outcomes[9].converged as f64,
        seeds..=seeds,
    );
    figures.expect(
        "notebook.cg_damped_f64.error_largest",
        largest(&outcomes[9].errors),
        0.0..=1e-10,
    );
    figures.expect(
        "notebook.cg_damped_f32.converged",
        outcomes[10].converged as f64,
        seeds..=seeds,
    );
    figures.expect(
        "notebook.cg_damped_f32.error_largest",
        largest(&outcomes[10].errors),
        0.0..=1e-3,
    );
}
