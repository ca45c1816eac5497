//! Objectives shared by the processes of an MPI job. Started plainly, this program starts itself under `mpirun` with 1, 2, 3
//! and 4 ranks, each time under a deadline; started by `mpirun` it is one rank of a case.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "../support/applied.rs"]
mod applied;
mod cases;
#[path = "../support/compare.rs"]
mod compare;
mod jobs;
#[path = "../support/modes.rs"]
mod modes;
#[path = "../support/random.rs"]
mod random;
#[path = "../support/shares.rs"]
mod shares;

use std::process::ExitCode;

use jobs::{CASE, Job};

fn main() -> ExitCode {
    if let Ok(case) = std::env::var(CASE) {
        return cases::run(&case);
    }
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let jobs = Job::all().into_iter().filter(|job| match &filter {
        Some(filter) => job.name().contains(filter.as_str()),
        None => true,
    });
    let (mut passed, mut failed) = (0, 0);
    for job in jobs {
        let (name, start) = (job.name(), std::time::Instant::now());
        match job.run() {
            Ok(()) => {
                println!("test {name} ... ok ({:.1} s)", start.elapsed().as_secs_f64());
                passed += 1;
            }
            Err(why) => {
                println!("test {name} ... FAILED\n{why}");
                failed += 1;
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
