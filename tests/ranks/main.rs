//! Objectives shared by ranks, as threads of this process: equal to one process, with the same bits on all ranks; faults are
//! errors on all of them. Every test ends by a deadline.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../support/applied.rs"]
mod applied;
mod background;
#[path = "../support/compare.rs"]
mod compare;
mod equal;
#[path = "../support/failure.rs"]
mod failure;
mod faults;
#[path = "../support/modes.rs"]
mod modes;
mod newton;
#[path = "../support/random.rs"]
mod random;
mod settings;
#[path = "../support/shares.rs"]
mod shares;
mod stores;
mod training_mode;

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use burn::prelude::*;
use burn_curvature::{Error, communicator::Threads};

/// The outcomes of all ranks; a failure if they take longer than a deadline.
fn run<T: Send + 'static>(
    size: usize,
    work: impl Fn(Arc<Threads>) -> Result<T, Error> + Send + Sync + 'static,
) -> Vec<Result<T, Error>> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(Threads::run(size, work)));
    receive.recv_timeout(DEADLINE).expect("the ranks hang")
}

const DEADLINE: Duration = Duration::from_secs(240);

fn device() -> Device {
    Device::flex().autodiff()
}
