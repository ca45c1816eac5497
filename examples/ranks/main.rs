//! Curvature of a digit classifier whose data are spread over ranks: a damped Gauss-Newton solve and steps of K-FAC, with the
//! numbers of one process. Three threads are the ranks here; with MPI they are processes, on as many machines as there are:
//!
//! ```sh
//! cargo run --release --example ranks
//! cargo build --release --features mpi --example ranks && mpirun -n 3 target/release/examples/ranks
//! ```
#![allow(clippy::print_stdout)]

#[path = "../../tests/support/digits.rs"]
mod digits;
mod found;
mod network;
#[path = "../../tests/support/random.rs"]
mod random;

use std::sync::Arc;

use burn::tensor::Device;
#[cfg(feature = "mpi")]
use burn_curvature::communicator::Mpi;
#[cfg(not(feature = "mpi"))]
use burn_curvature::communicator::Threads;
use burn_curvature::{
    ConjugateGradientConfig, Error, GaussNewton, KfacOptimizerConfig, Likelihood, LinearOperator,
    LinearSolver, Objective, Reduction, StopReason,
    communicator::{Communicator, Counted},
};
use found::Found;
use network::{Classifier, batches};

const STEPS: usize = 5;

/// A solve and some steps of K-FAC, which need not know that the data are spread.
fn work(model: &Classifier, risk: &Objective) -> Result<Found, Error> {
    let matrix = GaussNewton::new(risk)?.damped(0.1)?;
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-4).init()?;
    let solve = solver.solve(&matrix, &risk.gradient()?)?;
    if solve.report.stop != StopReason::Converged {
        return Err(Error::new(std::io::Error::other(solve.report.to_string())));
    }
    let config = KfacOptimizerConfig::new().with_damping(0.1);
    let mut optimizer = config.init(risk, Likelihood::Categorical)?;
    let mut model = model.clone();
    for _ in 0..STEPS {
        model = optimizer.step_on(&model, risk)?.0;
    }
    let (loss, loss_after) = (risk.value()?, risk.at_model(&model)?.value()?);
    let iterations = solve.report.iterations;
    Ok(Found { loss, solution: solve.x, iterations, loss_after })
}

fn rank<C: Communicator + 'static>(ranks: Arc<C>) -> Result<(), Error> {
    let device = Device::default().autodiff();
    let all = batches(&device)?;
    let share = all.len().div_ceil(ranks.size());
    let mine = all.iter().skip(share * ranks.rank()).take(share).cloned();

    let model = Classifier::new(&device);
    let objective = Objective::capture(&model, all[0].clone(), Classifier::loss)?;
    let counted = Arc::new(Counted::new(ranks.clone()));
    let shared = objective.shared(counted.clone())?; // the one line more
    let risk = shared.over(mine, Reduction::Mean)?;
    let found = work(&model, &risk)?;
    let before = counted.traffic();
    risk.hessian_vector_product(&found.solution)?;
    let bytes = (counted.traffic() - before).bytes;

    if ranks.rank() == 0 {
        let one = work(&model, &objective.over(all, Reduction::Mean)?)?;
        found.compare(&one, ranks.size(), bytes)?;
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
