//! Real data: a classifier of handwritten digits trained by plain Burn, then H⁻¹g and (H + λI)⁻¹g against the dense
//! exact solve, and the same solve in f64 on the f32 model.

use std::error::Error;

use burn::{
    backend::{Autodiff, Dispatch},
    module::Module,
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::{AdamConfig, GradientsParams},
    prelude::*,
    tensor::activation::tanh,
};
use burn_curvature::{
    ConjugateGradientConfig, DirectConfig, Hessian, LinearOperator, LinearSolver, MinresConfig,
    Objective, Solution, StopReason,
};

use super::support::digits::Digits;
use super::support::figures::{Comparison, Figures};

const HIDDEN: usize = 16;
const TRAIN_ROWS: usize = 1297;
const STEPS: usize = 200;
const DAMPING: f64 = 1e-2;

type OnDevice = Autodiff<Dispatch>;

#[derive(Module, Debug)]
struct Classifier {
    hidden: Linear,
    output: Linear,
}

impl Classifier {
    fn forward(&self, images: Tensor<2>) -> Tensor<2> {
        self.output.forward(tanh(self.hidden.forward(images)))
    }
}

fn loss(
    model: &Classifier,
    (images, labels): (Tensor<2>, Tensor<1, Int>),
) -> (Tensor<2>, Tensor<1>) {
    let logits = model.forward(images);
    let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits.clone(), labels);
    (logits, loss)
}

/// Trains, then solves in several ways and compares.
pub fn run(figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let device = Device::default().autodiff();
    device.seed(1);
    let (train, test) = Digits::load()?.split(TRAIN_ROWS, 1);
    let batch = (train.images(&device), train.classes(&device));
    let model = fit(&device, &batch);
    let accuracy = accuracy(&model, &test.images(&device), &test.classes(&device));
    let objective = Objective::capture(&model, batch, loss)?;
    println!(
        "\nDigits: {} parameters trained on {TRAIN_ROWS} images, {:.1} % right on {} others, loss {:.4}",
        objective.layout().len(),
        100.0 * accuracy,
        test.len(),
        objective.value()?
    );
    figures.expect("digits.test_accuracy", accuracy, 0.9..=1.0);
    undamped(&objective, figures)?;
    damped(&objective, figures)
}

/// 200 steps of Adam on the whole training set.
fn fit(device: &Device, batch: &(Tensor<2>, Tensor<1, Int>)) -> Classifier {
    let mut model = Classifier {
        hidden: LinearConfig::new(64, HIDDEN).init(device),
        output: LinearConfig::new(HIDDEN, 10).init(device),
    };
    let mut optimizer = AdamConfig::new().init();
    for _ in 0..STEPS {
        let (_, loss) = loss(&model, batch.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(0.02, model, gradients);
    }
    model
}

fn accuracy(model: &Classifier, images: &Tensor<2>, classes: &Tensor<1, Int>) -> f64 {
    let predicted = model.forward(images.clone()).argmax(1).flatten::<1>(0, 1);
    let right = predicted.inner().equal(classes.clone().inner()).float().mean();
    right.into_data().iter::<f64>().next().unwrap_or(f64::NAN)
}

/// H⁻¹g: the Hessian of a network is indefinite, and singular where pixels are always blank. The solvers say so.
fn undamped(objective: &Objective<OnDevice>, figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let gradient = objective.gradient()?;
    let solution =
        ConjugateGradientConfig::new().init()?.solve(&Hessian::new(objective)?, &gradient)?;
    println!("\n[H⁻¹g by CG, f32]\n{}", solution.report);
    let stopped = solution.report.stop;
    let refused = !matches!(stopped, StopReason::Converged);
    figures.expect("digits.cg_undamped.not_converged", f64::from(u8::from(refused)), 1.0..=1.0);

    let exact = objective.in_f64()?;
    let (hessian, gradient) = (Hessian::new(&exact)?, exact.gradient()?);
    let truth = DirectConfig::new().init()?.solve(&hessian, &gradient)?;
    println!("\n[H⁻¹g by the dense matrix, f64]\n{}", truth.report);

    let solver = MinresConfig::new().with_relative_tolerance(1e-8).init()?;
    let solution = solver.solve(&hessian, &gradient)?;
    println!("\n[H⁻¹g by MINRES, f64]\n{}", solution.report);
    let comparison = Comparison::of(&solution.x.to_vec()?, &truth.x.to_vec()?);
    println!("relative error {:.2e}, cosine {:.6}", comparison.relative_error, comparison.cosine);
    // Without damping the condition number is out of reach in any number of steps, and the report says so.
    let refused = solution.report.stop != StopReason::Converged;
    figures.expect(
        "digits.minres_undamped_f64.not_converged",
        f64::from(u8::from(refused)),
        1.0..=1.0,
    );
    figures.expect(
        "digits.minres_undamped_f64.residual",
        solution.report.relative_residual,
        0.0..=0.1,
    );
    figures.note("digits.minres_undamped_f64.error", comparison.relative_error);
    figures.note("digits.minres_undamped_f64.products", solution.report.applications as f64);
    Ok(())
}

/// (H + λI)⁻¹g in f32 and, from the same recording, in f64.
fn damped(objective: &Objective<OnDevice>, figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let exact = objective.in_f64()?;
    let direct = DirectConfig::new().init()?;
    let truth = direct.solve(&Hessian::new(&exact)?.damped(DAMPING)?, &exact.gradient()?)?;
    println!("\n[(H + {DAMPING}·I)⁻¹g by the dense matrix, f64]\n{}", truth.report);
    let truth = truth.x.to_vec()?;
    for (name, objective, tolerance, allowed) in
        [("f32", objective, 1e-5, 1e-2), ("f64", &exact, 1e-10, 1e-7)]
    {
        let conjugate = ConjugateGradientConfig::new().with_relative_tolerance(tolerance);
        let minimum = MinresConfig::new().with_relative_tolerance(tolerance);
        let solvers: [(&str, Box<dyn LinearSolver<OnDevice>>); 2] =
            [("cg", Box::new(conjugate.init()?)), ("minres", Box::new(minimum.init()?))];
        let operator = Hessian::new(objective)?.damped(DAMPING)?;
        for (method, solver) in solvers {
            let solution = solver.solve(&operator, &objective.gradient()?)?;
            judge(&format!("digits.{method}_damped_{name}"), &solution, &truth, allowed, figures)?;
        }
    }
    Ok(())
}

/// Prints a solution of the damped system and notes its figures.
fn judge(
    name: &str,
    solution: &Solution<OnDevice>,
    truth: &[f64],
    allowed: f64,
    figures: &mut Figures,
) -> Result<(), Box<dyn Error>> {
    let report = &solution.report;
    let comparison = Comparison::of(&solution.x.to_vec()?, truth);
    println!("\n[(H + {DAMPING}·I)⁻¹g]\n{report}");
    println!("relative error {:.2e}, cosine {:.6}", comparison.relative_error, comparison.cosine);
    let converged = f64::from(u8::from(report.stop == StopReason::Converged));
    figures.expect(&format!("{name}.converged"), converged, 1.0..=1.0);
    figures.expect(&format!("{name}.error"), comparison.relative_error, 0.0..=allowed);
    figures.expect(&format!("{name}.cosine"), comparison.cosine, 0.999..=1.0 + 1e-9);
    let condition = report.spectrum.and_then(|spectrum| spectrum.condition);
    figures.note(&format!("{name}.condition"), condition.unwrap_or(f64::NAN));
    figures.note(&format!("{name}.products"), report.applications as f64);
    Ok(())
}
