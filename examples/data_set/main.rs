//! Curvature over a data set: a classifier of handwritten digits, its Gauss-Newton matrix over mini-batches, one solve
//! with a progress bar, and what a memory budget changes.
//!
//! Every figure stands on a line `name = value`; the program exits with an error when one leaves its stated range.
#![allow(clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

use std::{error::Error, process::ExitCode, time::Instant};

use burn::{
    backend::{Autodiff, Dispatch},
    module::Module,
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::{AdamConfig, GradientsParams},
    prelude::*,
    tensor::activation::tanh,
};
use burn_curvature::{
    ConjugateGradientConfig, Fisher, GaussNewton, Kfac, KfacConfig, Likelihood, LinearOperator,
    Objective, ParamVector, Reduction, Solution, SolveOptions, StopReason,
};
use indicatif::{ProgressBar, ProgressStyle};
use support::{
    digits::Digits,
    figures::{Figures, exit_code, median},
};

const TRAIN_ROWS: usize = 1297;
/// The last batch is ragged: 1297 = 12 · 100 + 97.
const BATCH: usize = 100;
const STEPS: usize = 120;
const DAMPING: f64 = 1e-2;
const LITTLE_DAMPING: f64 = 1e-4;
/// Timed products.
const REPEATS: usize = 9;

type OnDevice = Autodiff<Dispatch>;
type Samples = (Tensor<2>, Tensor<1, Int>);

#[derive(Module, Debug)]
struct Classifier {
    hidden: Linear,
    output: Linear,
}

/// Logits and mean cross-entropy.
fn loss(model: &Classifier, (images, labels): Samples) -> (Tensor<2>, Tensor<1>) {
    let logits = model.output.forward(tanh(model.hidden.forward(images)));
    let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits.clone(), labels);
    (logits, loss)
}

fn main() -> ExitCode {
    exit_code(run)
}

fn run() -> Result<bool, Box<dyn Error>> {
    let mut figures = Figures::default();
    let device = Device::default().autodiff();
    device.seed(1);
    let (train, _) = Digits::load()?.split(TRAIN_ROWS, 1);
    let (images, labels) = (train.images(&device), train.classes(&device));
    let model = fit(&device, &(images.clone(), labels.clone()));
    let batches: Vec<Samples> = (0..TRAIN_ROWS)
        .step_by(BATCH)
        .map(|from| {
            let rows = from..(from + BATCH).min(TRAIN_ROWS);
            (images.clone().slice([rows.clone()]), labels.clone().slice([rows]))
        })
        .collect();

    // One recording for each size of batch: 100 and 97.
    let objective = Objective::capture(&model, batches[0].clone(), loss)?;
    let risk = objective.over(batches.clone(), Reduction::Mean)?;
    println!(
        "{} parameters, {TRAIN_ROWS} images in {} batches, loss {:.4}",
        risk.layout().len(),
        risk.batches(),
        risk.value()?
    );

    let whole = objective.on((images, labels))?;
    let (x, y) = (solve(&risk)?, solve(&whole)?);
    println!("\n[(G + {DAMPING}·I)⁻¹g over batches]\n{}", x.report);
    figures.expect("batches_and_whole.difference", difference(&x.x, &y.x)?, 0.0..=1e-3);

    let stream = objective
        .over_stream(Reduction::Mean, move |visit| batches.iter().cloned().try_for_each(visit))?;
    let streamed = GaussNewton::new(&stream)?.apply(&x.x)?;
    let held = GaussNewton::new(&risk)?.apply(&x.x)?;
    figures.expect("stream_and_held.difference", difference(&streamed, &held)?, 0.0..=1e-6);
    let fisher = Fisher::exact(&risk, Likelihood::Categorical)?;
    let fisher = difference(&fisher.apply(&x.x)?, &held)?;
    figures.expect("fisher_and_gauss_newton.difference", fisher, 0.0..=1e-4);

    budgets(&risk, &x.x, &mut figures)?;
    preconditioned(&risk, &mut figures)?;
    Ok(figures.print())
}

/// Adam on the whole training set.
fn fit(device: &Device, batch: &Samples) -> Classifier {
    let mut model = Classifier {
        hidden: LinearConfig::new(64, 24).init(device),
        output: LinearConfig::new(24, 10).init(device),
    };
    let mut optimizer = AdamConfig::new().init();
    for _ in 0..STEPS {
        let (_, loss) = loss(&model, batch.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(0.02, model, gradients);
    }
    model
}

/// (G + λI)⁻¹g by conjugate gradients, with a bar that counts batches.
fn solve(risk: &Objective<OnDevice>) -> Result<Solution<OnDevice>, Box<dyn Error>> {
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {pos} batches in {elapsed}")?);
    let counter = bar.clone();
    let risk = risk.with_progress(move |_| counter.inc(1));
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-5).init()?;
    let solution = solver.solve(&GaussNewton::new(&risk)?.damped(DAMPING)?, &risk.gradient()?)?;
    bar.finish_and_clear();
    Ok(solution)
}

/// ‖a − b‖ / ‖b‖
fn difference(a: &ParamVector<OnDevice>, b: &ParamVector<OnDevice>) -> Result<f64, Box<dyn Error>> {
    Ok(a.clone().sub(b)?.norm()? / b.norm()?)
}

/// The same product with nothing, half and all of what does not depend on the vector kept.
fn budgets(
    risk: &Objective<OnDevice>,
    v: &ParamVector<OnDevice>,
    figures: &mut Figures,
) -> Result<(), Box<dyn Error>> {
    let whole = GaussNewton::new(&risk.with_memory_budget(usize::MAX))?;
    whole.prepare()?;
    let (all, expected) = (whole.kept_bytes(), whole.apply(v)?);
    println!("\nmemory budget   kept      milliseconds a product");
    for budget in [0, all / 2, all] {
        let newton = GaussNewton::new(&risk.with_memory_budget(budget))?;
        newton.prepare()?;
        let mut times = Vec::new();
        let mut product = newton.apply(v)?;
        for _ in 0..REPEATS {
            let clock = Instant::now();
            product = newton.apply(v)?;
            times.push(clock.elapsed().as_secs_f64() * 1e3);
        }
        let error = difference(&product, &expected)?;
        let (kept, time) = (newton.kept_bytes(), median(&times));
        println!("{budget:>13} {kept:>9} {time:>10.2}");
        figures.expect("budget.difference", error, 0.0..=0.0);
    }
    Ok(())
}

/// A solve with little damping, without and with K-FAC as preconditioner.
fn preconditioned(risk: &Objective<OnDevice>, figures: &mut Figures) -> Result<(), Box<dyn Error>> {
    let config = KfacConfig::new();
    let kfac = Kfac::new(risk, Likelihood::Categorical, &config)?;
    println!("\n{}", kfac.coverage());
    let inverse = kfac.inverse(LITTLE_DAMPING)?;
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-4).init()?;
    let newton = GaussNewton::new(risk)?.damped(LITTLE_DAMPING)?;
    let gradient = risk.gradient()?;
    for (name, helped) in [("plain", false), ("kfac", true)] {
        let options = match helped {
            true => SolveOptions::new().with_preconditioner(&inverse),
            false => SolveOptions::new(),
        };
        let report = solver.solve_with(&newton, &gradient, options)?.report;
        println!("\n[(G + {LITTLE_DAMPING}·I)⁻¹g, {name}]\n{report}");
        let converged = f64::from(u8::from(report.stop == StopReason::Converged));
        figures.expect(&format!("{name}.converged"), converged, 1.0..=1.0);
        figures.note(&format!("{name}.iterations"), report.iterations as f64);
    }
    Ok(())
}
