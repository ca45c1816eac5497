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
    Objective, ParamVector, Reduction, SelfAdjoint, Solution, SolveOptions,
};
use indicatif::{ProgressBar, ProgressStyle};
use support::{digits::Digits, figures::Figures};

const TRAIN_ROWS: usize = 1297;
/// The last batch is ragged: 1297 = 12 · 100 + 97.
const BATCH: usize = 100;
const STEPS: usize = 120;
const DAMPING: f64 = 1e-2;

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
    let loss = CrossEntropyLossConfig::new()
        .init(&logits.device())
        .forward(logits.clone(), labels);
    (logits, loss)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
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
            (
                images.clone().slice([rows.clone()]),
                labels.clone().slice([rows]),
            )
        })
        .collect();

    // One recording for each size of batch: 100 and 97.
    let objective = Objective::trace(&model, batches[0].clone(), loss)?;
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
    figures.expect(
        "batches_and_whole.difference",
        difference(&x.x, &y.x)?,
        0.0..=1e-3,
    );

    let stream = objective.over_stream(Reduction::Mean, move |visit| {
        batches.iter().cloned().try_for_each(visit)
    })?;
    let streamed = GaussNewton::new(&stream)?.apply(&x.x)?;
    let held = GaussNewton::new(&risk)?.apply(&x.x)?;
    figures.expect(
        "stream_and_held.difference",
        difference(&streamed, &held)?,
        0.0..=1e-6,
    );
    let fisher = Fisher::exact(&risk, Likelihood::Categorical, Reduction::Mean)?;
    let fisher = difference(&fisher.apply(&x.x)?, &held)?;
    figures.expect("fisher_and_gauss_newton.difference", fisher, 0.0..=1e-4);

    budgets(&risk, &x.x, &mut figures)?;
    preconditioned(&risk, x.report.iterations, &mut figures)?;
    Ok(figures.print())
}

/// Adam on the whole training set.
fn fit(device: &Device, batch: &Samples) -> Classifier {
    let mut model = Classifier {
        hidden: LinearConfig::new(64, 24).init(device),
        output: LinearConfig::new(24, 10).init(device),
    };
    let mut optimiser = AdamConfig::new().init();
    for _ in 0..STEPS {
        let (_, loss) = loss(&model, batch.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimiser.step(0.02, model, gradients);
    }
    model
}

/// (G + λI)⁻¹g by conjugate gradients, with a bar that counts batches.
fn solve(risk: &Objective<OnDevice>) -> Result<Solution<OnDevice>, Box<dyn Error>> {
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template(
        "{spinner} {pos} batches in {elapsed}",
    )?);
    let counter = bar.clone();
    let risk = risk.with_progress(move |_| counter.inc(1));
    let solver = ConjugateGradientConfig::new()
        .with_relative_tolerance(1e-5)
        .init()?;
    let solution = solver.solve(
        &GaussNewton::new(&risk)?.damped(DAMPING)?,
        &risk.gradient()?,
    )?;
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
        let clock = Instant::now();
        let product = newton.apply(v)?;
        let error = difference(&product, &expected)?;
        let (kept, time) = (newton.kept_bytes(), clock.elapsed());
        println!("{budget:>13} {kept:>9} {:>10.2}", time.as_secs_f64() * 1e3);
        figures.expect("budget.difference", error, 0.0..=0.0);
    }
    Ok(())
}

/// The same solve with K-FAC as preconditioner.
fn preconditioned(
    risk: &Objective<OnDevice>,
    plain: usize,
    figures: &mut Figures,
) -> Result<(), Box<dyn Error>> {
    let config = KfacConfig::new();
    let kfac = Kfac::new(risk, Likelihood::Categorical, Reduction::Mean, &config)?;
    println!("\n{}", kfac.coverage());
    let inverse = kfac.inverse(DAMPING)?;
    let preconditioner: &dyn SelfAdjoint<OnDevice> = &inverse;
    let solver = ConjugateGradientConfig::new()
        .with_relative_tolerance(1e-5)
        .init()?;
    let solution = solver.solve_with(
        &GaussNewton::new(risk)?.damped(DAMPING)?,
        &risk.gradient()?,
        SolveOptions::new().with_preconditioner(preconditioner),
    )?;
    println!("\n[the same, preconditioned by K-FAC]\n{}", solution.report);
    figures.note("iterations.plain", plain as f64);
    figures.note("iterations.kfac", solution.report.iterations as f64);
    Ok(())
}
