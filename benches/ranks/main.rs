//! Weak scaling of shared objectives over MPI ranks: the same number of batches on every rank.
//!
//! ```text
//! cargo bench --bench ranks --features mpi -- [number of turns, 7 if none is given] [mlp or transformer]
//! ```
//!
//! Starts itself under `mpirun` with one and two ranks, one core each, in turns with a single process with two threads on the
//! same two cores, which takes the batches of both ranks. Prints one figure per line, `<model>.<work>.<figure> = <value>`;
//! medians are followed by their quartiles, `_q1` and `_q3`.
//!
//! - `rank1_ms`, `ranks2_ms`: the slowest rank; `speedup`: 2·`rank1_ms` / `ranks2_ms`; `threads2_ms`: the single process.
//! - `independent2_ms`: the slower of two processes on the two cores that have one rank's batches each and send nothing;
//!   `ceiling`: 2·`rank1_ms` / `independent2_ms`, the speed-up that the machine allows.
//! - `own_ms`: time outside of the communicator, of the slowest rank; `moving_ms`: the shortest time within it of any rank;
//!   `waiting_ms`: what the others spend there on top.
//! - `messages`, `bytes`: as counted; `bytes_formula`: n elements and nine in front for each message of a product.
//! - `predicted`: efficiencies over networks, computed from the own time and the model in `predict.rs`, not measured.
#![allow(clippy::panic, clippy::print_stdout, clippy::unwrap_used)]

mod jobs;
mod measure;
#[allow(dead_code, reason = "two of the models are used here")]
#[path = "../../tests/support/models/mod.rs"]
mod models;
mod predict;
#[allow(dead_code, reason = "another benchmark needs more of it")]
#[path = "../harness/quartiles.rs"]
mod quartiles;
#[allow(dead_code, reason = "the models need some of it")]
#[path = "../../tests/support/random.rs"]
mod random;

use std::collections::BTreeMap;

use burn_curvature::{Error, communicator::Mpi};
use jobs::{Job, MODE, Table};
use quartiles::Quartiles;

fn main() -> Result<(), Error> {
    match std::env::var(MODE).as_deref() {
        Ok("threads") => measure::alone(),
        Ok("independent") => Mpi::run(measure::independent),
        Ok("sums") => Mpi::run(|ranks| measure::sums(&ranks)),
        Ok(_) => Mpi::run(measure::shared),
        Err(_) => {
            supervise();
            Ok(())
        }
    }
}

/// Runs the jobs in turns and prints the figures.
fn supervise() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let turns = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(7);
    let mut names =
        arguments.iter().filter(|it| !it.starts_with("--") && it.parse::<usize>().is_err());
    let filter = names.next().cloned().unwrap_or_default();
    let mut samples = Table::new();
    for turn in 0..turns {
        let jobs = [Job::Threads, Job::Ranks(1), Job::Ranks(2), Job::Independent, Job::Sums];
        for at in 0..jobs.len() {
            jobs[(at + turn) % jobs.len()].run(&filter, &mut samples);
        }
    }
    Job::Ranks(4).run(&filter, &mut samples);
    print(&samples);
}

fn print(samples: &Table) {
    let median = |name: &str| samples.get(name).map(|values| quartiles(values).median);
    for (name, values) in samples {
        let Quartiles { lower, median, upper } = quartiles(values);
        println!("{name} = {median:.4}");
        if values.len() > 1 {
            println!("{name}_q1 = {lower:.4}");
            println!("{name}_q3 = {upper:.4}");
        }
    }
    for work in measure::WORKS {
        let figure = |name: &str| median(&format!("{work}.{name}"));
        if let (Some(one), Some(two)) = (figure("rank1_ms"), figure("ranks2_ms")) {
            println!("{work}.speedup = {:.3}", 2.0 * one / two);
        }
        if let (Some(one), Some(both)) = (figure("rank1_ms"), figure("independent2_ms")) {
            println!("{work}.ceiling = {:.3}", 2.0 * one / both);
        }
        if let (Some(threads), Some(two)) = (figure("threads2_ms"), figure("ranks2_ms")) {
            println!("{work}.ranks_over_threads = {:.3}", two / threads);
        }
    }
    if let Some(line) = predict::measured(samples) {
        println!("sums.alpha_us = {:.2}", 1e6 * line.alpha);
        println!("sums.beta_gb_per_s = {:.3}", 1e-9 * line.beta);
    }
    predict::print(&BTreeMap::from_iter(measure::WORKS.into_iter().filter_map(|work| {
        let own = median(&format!("{work}.own_ms"))?;
        let (bytes, messages) =
            (median(&format!("{work}.bytes"))?, median(&format!("{work}.messages"))?);
        Some((work, predict::Work { own: 1e-3 * own, bytes, messages }))
    })));
}

fn quartiles(values: &[f64]) -> Quartiles {
    Quartiles::of(values.iter().copied())
}
