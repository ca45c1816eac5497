//! Curvature of a digit classifier whose data are spread over ranks: a damped Gauss-Newton solve and steps of K-FAC, with the
//! numbers of one process. Three threads are the ranks here; with MPI they are processes, on as many machines as there are:
//!
//! ```sh
//! cargo run --release --example ranks
//! cargo build --release --features mpi --example ranks && mpirun -n 3 target/release/examples/ranks
//! ```
#![allow(clippy::print_stdout)]

#[path = "../tests/support/digits.rs"]
mod digits;
#[path = "../tests/support/random.rs"]
mod random;

use std::sync::Arc;

use burn::{module::Param, nn, prelude::*, tensor::activation::tanh};
#[cfg(feature = "mpi")]
use burn_curvature::communicator::Mpi;
#[cfg(not(feature = "mpi"))]
use burn_curvature::communicator::Threads;
use burn_curvature::{
    ConjugateGradientConfig, Error, GaussNewton, KfacOptimizerConfig, Likelihood, LinearOperator,
    LinearSolver, Objective, ParamVector, Reduction, StopReason,
    communicator::{Communicator, Counted},
};
use digits::{CLASSES, Digits, PIXELS};
use random::SplitMix64;

const BATCH: usize = 150;
const STEPS: usize = 5;
type Samples = (Tensor<2>, Tensor<1, Int>);

#[derive(Module, Debug)]
struct Classifier {
    hidden: nn::Linear,
    output: nn::Linear,
}

impl Classifier {
    /// The same θ on every rank, whatever random numbers other threads draw.
    fn new(device: &Device) -> Self {
        let mut numbers = SplitMix64::new(1);
        let mut layer = |input: usize, output: usize| {
            let scale = (3.0 / input as f32).sqrt();
            let weight: Vec<f32> = (0..input * output).map(|_| numbers.symmetric(scale)).collect();
            let mut layer = nn::LinearConfig::new(input, output).init(device);
            layer.weight = Param::from_data(TensorData::new(weight, [input, output]), device);
            layer.bias = Some(Param::from_tensor(Tensor::zeros([output], device)));
            layer
        };
        Self { hidden: layer(PIXELS, 32), output: layer(32, CLASSES) }
    }

    fn loss(&self, (images, labels): Samples) -> (Tensor<2>, Tensor<1>) {
        let z = self.output.forward(tanh(self.hidden.forward(images)));
        let loss = nn::loss::CrossEntropyLossConfig::new().init(&z.device());
        (z.clone(), loss.forward(z, labels))
    }
}

/// The loss, the iterations for (G + λI) x = ∇ℒ, the loss after some steps of K-FAC; and x.
fn work(model: &Classifier, risk: &Objective) -> Result<([f64; 3], ParamVector), Error> {
    let matrix = GaussNewton::new(risk)?.damped(0.1)?;
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-4).init()?;
    let solution = solver.solve(&matrix, &risk.gradient()?)?;
    if solution.report.stop != StopReason::Converged {
        return Err(Error::new(std::io::Error::other(solution.report.to_string())));
    }
    let mut optimizer =
        KfacOptimizerConfig::new().with_damping(0.1).init(risk, Likelihood::Categorical)?;
    let mut model = model.clone();
    for _ in 0..STEPS {
        model = optimizer.step_on(&model, risk)?.0;
    }
    let after = risk.at_model(&model)?.value()?;
    Ok(([risk.value()?, solution.report.iterations as f64, after], solution.x))
}

fn rank<C: Communicator + 'static>(ranks: Arc<C>) -> Result<(), Error> {
    let device = Device::default().autodiff();
    let (digits, _) = Digits::load().map_err(Error::new)?.split(usize::MAX, 1); // shuffled
    let order: Vec<usize> = (0..digits.len()).collect();
    let samples = |part: &[usize]| {
        let part = digits.select(part);
        (part.images(&device), part.classes(&device))
    };
    let all: Vec<Samples> = order.chunks(BATCH).map(samples).collect();
    let share = all.len().div_ceil(ranks.size());
    let mine = all.iter().skip(share * ranks.rank()).take(share).cloned();

    let model = Classifier::new(&device);
    let objective = Objective::capture(&model, all[0].clone(), Classifier::loss)?;
    let counted = Arc::new(Counted::new(ranks.clone()));
    let shared = objective.shared(counted.clone())?; // the one line more
    let risk = shared.over(mine, Reduction::Mean)?;
    let (found, solution) = work(&model, &risk)?;
    let before = counted.traffic();
    risk.hessian_vector_product(&solution)?;
    let bytes = (counted.traffic() - before).bytes;

    if ranks.rank() == 0 {
        let (_, one) = work(&model, &objective.over(all, Reduction::Mean)?)?;
        let difference = one.clone().sub(&solution)?.norm()? / one.norm()?;
        println!("ranks = {}", ranks.size());
        println!("bytes of a product, as counted = {bytes}");
        let formula = if ranks.size() > 1 { 4 * (9 + solution.len() as u64) } else { 0 };
        println!("bytes of a product, by the formula 4·(9 + n) = {formula}");
        println!("loss = {:.6}", found[0]);
        println!("CG iterations = {}", found[1]);
        println!("loss after {STEPS} steps of K-FAC = {:.6}", found[2]);
        println!("difference of the solution from that of one process = {difference:.1e}");
        if difference > 1e-3 || found[2] > 0.5 * found[0] || bytes != formula {
            return Err(Error::new(std::io::Error::other("the figures are out of range")));
        }
    }
    Ok(())
}

#[cfg(feature = "mpi")]
fn main() -> Result<(), Error> {
    Mpi::run(rank)
}

#[cfg(not(feature = "mpi"))]
fn main() -> Result<(), Error> {
    Threads::run(3, rank).into_iter().collect()
}
