//! What one rank, or the process with two threads, measures.

use std::{hint::black_box, sync::Arc, time::Instant};

use burn::{module::Module, prelude::*};
use burn_curvature::{
    Batch, ConjugateGradientConfig, Error, GaussNewton, Hessian, LinearOperator, LinearSolver,
    Objective, Reduction, SolveOptions,
    communicator::{Communicator, Counted, Mpi},
    solver::OnNegativeCurvature,
};

use crate::models::{
    Case, mlp,
    transformer::{self, Transformer},
};

/// Batches of each rank.
pub const BATCHES: usize = 20;

/// Steps of conjugate gradients.
const STEPS: usize = 20;

/// Measured products in a job, after one that is not. A solve, of many products, is measured once.
const REPETITIONS: usize = 5;

/// All that is measured, by name.
pub const WORKS: [&str; 4] =
    ["mlp.product", "mlp.solve", "transformer.product", "transformer.solve"];

type Ranks = Arc<Counted<Mpi>>;

/// Whose batches a process works on.
#[derive(Clone)]
enum Work {
    /// Those of two ranks, alone.
    OfTwo,
    /// Its own, as one rank of several.
    Shared(Ranks),
    /// Its own, on an objective that is not shared, beside other processes that start with it.
    Independent(Ranks),
}

impl Work {
    /// The processes that start together.
    fn ranks(&self) -> Option<&Ranks> {
        match self {
            Work::OfTwo => None,
            Work::Shared(ranks) | Work::Independent(ranks) => Some(ranks),
        }
    }
}

/// One process with the batches of two ranks.
pub fn alone() -> Result<(), Error> {
    each(&Work::OfTwo)
}

/// One rank of several.
pub fn shared(ranks: Arc<Mpi>) -> Result<(), Error> {
    each(&Work::Shared(Arc::new(Counted::new(ranks))))
}

/// One of several processes with the batches of one rank each, and no messages.
pub fn independent(ranks: Arc<Mpi>) -> Result<(), Error> {
    each(&Work::Independent(Arc::new(Counted::new(ranks))))
}

fn each(work: &Work) -> Result<(), Error> {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let device = Device::flex().autodiff();
    if "mlp".contains(&filter) {
        measure(mlp::case(&device), work)?;
    }
    if "transformer".contains(&filter) {
        measure(sequences(transformer::case(&device)), work)?;
    }
    Ok(())
}

/// Tokens and targets by sequence.
type Sequences = (Tensor<2, Int>, Tensor<2, Int>);

/// The same case with the targets of a sequence in a row, so that a batch can be divided into sequences.
fn sequences(case: Case<Transformer, transformer::Batch>) -> Case<Transformer, Sequences> {
    let (tokens, targets) = case.batch;
    let shape = tokens.dims();
    Case {
        name: case.name,
        model: case.model,
        batch: (tokens, targets.reshape(shape)),
        loss: |model, (tokens, targets)| transformer::loss(model, (tokens, targets.flatten(0, 1))),
        gradient_flops: case.gradient_flops,
    }
}

fn measure<M, X>(case: Case<M, X>, work: &Work) -> Result<(), Error>
where
    M: Module + 'static,
    X: Batch + Clone + Send + 'static,
{
    let captured = Objective::capture(&case.model, case.batch.clone(), case.loss)?;
    let batches = |count: usize| std::iter::repeat_n(case.batch.clone(), count);
    let risk = match work {
        Work::Shared(ranks) => {
            captured.shared(ranks.clone())?.over(batches(BATCHES), Reduction::Mean)?
        }
        Work::Independent(_) => captured.over(batches(BATCHES), Reduction::Mean)?,
        Work::OfTwo => captured.over(batches(2 * BATCHES), Reduction::Mean)?,
    };
    let v = risk.parameters().space().normal(1);
    let hessian = Hessian::new(&risk)?;
    let product = || hessian.apply(&v).map(drop);
    product()?; // prepares the batches, and warms up
    time(&format!("{}.product", case.name), (v.len(), REPETITIONS), work, product)?;
    if work.ranks().is_some_and(|ranks| ranks.size() > 2) {
        return Ok(()); // more ranks than cores: counts alone
    }
    let matrix = GaussNewton::new(&risk)?.damped(1.0)?;
    let solver = ConjugateGradientConfig::new()
        .with_relative_tolerance(1e-30)
        .with_max_iterations(Some(STEPS))
        .with_on_negative_curvature(OnNegativeCurvature::Continue)
        .init()?;
    matrix.apply(&v)?;
    let solve = || solver.solve_with(&matrix, &v, SolveOptions::default()).map(drop);
    time(&format!("{}.solve", case.name), (v.len(), 1), work, solve)
}

/// Prints how long some work takes on the ranks, and what goes through the communicator.
fn time(
    name: &str,
    (elements, repetitions): (usize, usize),
    whose: &Work,
    work: impl Fn() -> Result<(), Error>,
) -> Result<(), Error> {
    for _ in 0..repetitions {
        let Some(ranks) = whose.ranks() else {
            let start = Instant::now();
            black_box(work()?);
            println!("{name}.threads2_ms = {}", 1e3 * start.elapsed().as_secs_f64());
            continue;
        };
        ranks.sum_f64(&mut [0.0])?; // together
        let (start, before) = (Instant::now(), ranks.traffic());
        black_box(work()?);
        let (total, traffic) = (start.elapsed().as_secs_f64(), ranks.traffic() - before);
        let inside = traffic.time.as_secs_f64();
        let (totals, insides) = (gather(ranks, total)?, gather(ranks, inside)?);
        if ranks.rank() > 0 {
            continue;
        }
        let largest = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        if matches!(whose, Work::Independent(_)) {
            println!("{name}.independent2_ms = {}", 1e3 * largest(&totals));
            continue;
        }
        let moving = insides.iter().copied().fold(f64::INFINITY, f64::min);
        let own = totals.iter().zip(&insides).map(|(total, inside)| total - inside);
        let size = ranks.size();
        match size {
            1 => println!("{name}.rank1_ms = {}", 1e3 * largest(&totals)),
            2 => {
                println!("{name}.ranks2_ms = {}", 1e3 * largest(&totals));
                println!("{name}.own_ms = {}", 1e3 * largest(&own.collect::<Vec<_>>()));
                println!("{name}.moving_ms = {}", 1e3 * moving);
                println!("{name}.waiting_ms = {}", 1e3 * (largest(&insides) - moving));
            }
            // More ranks than cores: counts alone.
            _ => println!("{name}.ranks{size}_bytes_sent_by_a_rank = {}", traffic.sent(size)),
        }
        if size == 2 {
            println!("{name}.messages = {}", traffic.sums);
            println!("{name}.bytes = {}", traffic.bytes);
            let formula = 4 * (elements + 9) * traffic.sums as usize;
            println!("{name}.bytes_formula = {formula}");
        }
    }
    Ok(())
}

/// The numbers of all ranks.
fn gather(ranks: &Counted<Mpi>, own: f64) -> Result<Vec<f64>, Error> {
    let mut all = vec![0.0; ranks.size()];
    all[ranks.rank()] = own;
    ranks.sum_f64(&mut all)?;
    Ok(all)
}

/// Sums of f32 at four sizes.
pub fn sums(ranks: &Mpi) -> Result<(), Error> {
    for elements in crate::predict::SIZES {
        let mut numbers = vec![1.0_f32; elements];
        for round in 0..25 {
            ranks.sum_f64(&mut [0.0])?; // together
            let start = Instant::now();
            ranks.sum_f32(&mut numbers)?;
            if round >= 5 && ranks.rank() == 0 {
                println!("sums.f32_{elements}_ms = {}", 1e3 * start.elapsed().as_secs_f64());
            }
            numbers.fill(1.0);
        }
    }
    Ok(())
}
