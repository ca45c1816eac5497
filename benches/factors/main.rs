//! K-FAC's gradient and factors by its defaults, and products with curvature, on architectures that Burn's users train.
//!
//! ```text
//! cargo bench --bench factors -- [--quick] [part of a name, such as swin or field]
//! ```
//!
//! Prints `<model>.factors = <value>`, the median of five ratios, each of the shortest of three runs, in units of a plain Burn
//! gradient (forward and `backward()`) of the same model and batch, `<model>.gradient_ms` and `<model>.outputs`.
//! `<model>.exact` is that of exact factors, which send one cotangent back for every output and are refused where the
//! cotangents of a sample cannot be told apart, as in a language model; `<model>.drawn` that of one drawn target for each
//! sample. Names of models that begin with `field` are those of networks of their authors' or other realistic sizes: there, the
//! default is timed beside what is prepared for products at one θ, and a prepared product with the Hessian and with the
//! Gauss-Newton matrix.
#![allow(clippy::print_stdout)]

mod deep;
mod field;
#[path = "../../tests/support/networks/mod.rs"]
#[allow(dead_code, reason = "shared with other programs")]
mod networks;
mod small;

use std::time::Instant;

use burn::{
    module::Module,
    nn::{Linear, LinearConfig},
    prelude::*,
    tensor::{Distribution, Gradients},
};
use burn_curvature::{
    Batch, CaptureConfig, Captured, Error, KfacConfig, Likelihood, Loss, Objective, Reduction,
    errors::KfacError, kfac::KfacFisher,
};

const BATCH: usize = 32;
const DRAWN: KfacFisher = KfacFisher::MonteCarlo { draws: 1, seed: 1 };

type Labels = Tensor<1, Int>;

fn device() -> Device {
    Device::flex().autodiff()
}

fn normal<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &device())
}

fn below<const D: usize>(shape: [usize; D], bound: usize) -> Tensor<D, Int> {
    Tensor::random(shape, Distribution::Uniform(0.0, bound as f64), &device())
}

fn linear(from: usize, to: usize) -> Linear {
    LinearConfig::new(from, to).init(&device())
}

/// Seconds of the fastest of some runs.
fn fastest<T>(runs: usize, mut run: impl FnMut() -> Result<T, Error>) -> Result<f64, Error> {
    let mut least = f64::INFINITY;
    for _ in 0..runs {
        let start = Instant::now();
        run()?;
        least = least.min(start.elapsed().as_secs_f64());
    }
    Ok(least)
}

/// What to measure.
struct Bench {
    /// Rounds, and runs of each.
    rounds: [usize; 2],
    filter: String,
}

impl Bench {
    fn requested() -> Self {
        let (options, names): (Vec<String>, Vec<String>) =
            std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
        let quick = options.iter().any(|option| option == "--quick");
        Self {
            rounds: if quick { [1, 1] } else { [5, 3] },
            filter: names.into_iter().next().unwrap_or_default(),
        }
    }

    /// Prints what the factors of a model take: those by default, exact ones unless rows reach several rows of the outputs,
    /// and drawn ones.
    fn costs<M, X, const D: usize, L>(
        &self,
        name: &str,
        problem: (M, X),
        likelihood: Likelihood,
        loss: fn(&M, X) -> (Tensor<D>, L),
    ) -> Result<(), Error>
    where
        M: Module + 'static,
        X: Batch + Clone + Send + 'static,
        L: Into<Loss> + 'static,
        (Tensor<D>, L): Captured,
    {
        if !name.contains(&self.filter) {
            return Ok(());
        }
        let problem = Problem::new(problem, loss)?;
        let with = |fisher| KfacConfig::new().with_fisher(fisher);
        for (kind, config) in [
            ("factors", KfacConfig::new()),
            ("exact", with(KfacFisher::Exact)),
            ("drawn", with(DRAWN)),
        ] {
            let factors = || config.init(&problem.objective, likelihood);
            match factors() {
                Err(error) if matches!(error.downcast_ref(), Some(KfacError::Places { .. })) => {
                    continue;
                }
                other => drop(other?),
            }
            self.print(name, kind, &problem, factors)?;
        }
        self.print_milliseconds(name, &problem)?;
        problem.print_outputs(name)
    }

    /// Prints the median ratio of what a run takes to a gradient.
    fn print<T>(
        &self,
        name: &str,
        kind: &str,
        problem: &Problem,
        mut run: impl FnMut() -> Result<T, Error>,
    ) -> Result<(), Error> {
        let [rounds, runs] = self.rounds;
        let ratios = (0..rounds).map(|_| {
            let unit = fastest(runs, || Ok((problem.gradient)()))?;
            Ok(fastest(runs, &mut run)? / unit)
        });
        let mut ratios = ratios.collect::<Result<Vec<f64>, Error>>()?;
        ratios.sort_by(f64::total_cmp);
        println!("{name}.{kind} = {:.2}", ratios[rounds / 2]);
        Ok(())
    }

    fn print_milliseconds(&self, name: &str, problem: &Problem) -> Result<(), Error> {
        let [rounds, runs] = self.rounds;
        let seconds = fastest(rounds * runs, || Ok((problem.gradient)()))?;
        println!("{name}.gradient_ms = {:.1}", seconds * 1e3);
        Ok(())
    }
}

/// An objective, and Burn's own gradient of the same loss.
struct Problem {
    objective: Objective,
    gradient: Box<dyn Fn() -> Gradients>,
}

impl Problem {
    fn new<M, X, const D: usize, L>(
        (model, batch): (M, X),
        loss: fn(&M, X) -> (Tensor<D>, L),
    ) -> Result<Self, Error>
    where
        M: Module + 'static,
        X: Batch + Clone + Send + 'static,
        L: Into<Loss> + 'static,
        (Tensor<D>, L): Captured,
    {
        let recorded: Objective =
            CaptureConfig::new().evaluation().init(&model, batch.clone(), loss)?;
        let objective = recorded.reduced_by(Reduction::Mean)?.without_loss_check();
        let gradient = move || {
            let value: Loss = loss(&model, batch.clone()).1.into();
            value.into_tensor().backward()
        };
        Ok(Self { objective, gradient: Box::new(gradient) })
    }

    fn print_outputs(&self, name: &str) -> Result<(), Error> {
        let outputs = self.objective.outputs()?;
        let shape = outputs.layout().blocks()[0].shape().to_vec();
        println!("{name}.outputs = {}", shape.iter().skip(1).product::<usize>());
        Ok(())
    }
}

const CLASSES: Likelihood = Likelihood::Categorical;
const HALF: Likelihood = Likelihood::Gaussian { variance: 0.5 };

fn main() -> Result<(), Error> {
    let bench = Bench::requested();
    small::classifiers(&bench)?;
    small::regressions(&bench)?;
    deep::classifiers(&bench)?;
    deep::decoders(&bench)?;
    field::transformers(&bench)?;
    field::convolutions(&bench)?;
    field::others(&bench)
}
