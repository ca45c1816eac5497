//! Closures timed twice: their first call, in which a device compiles and tunes kernels, and rounds of later ones.

use std::time::Instant;

use crate::harness::{Plan, Rounds, Samples};

/// Closures to be timed against each other, whose first calls have been.
#[derive(Default)]
pub struct Timed<'a> {
    rounds: Rounds<'a>,
    names: Vec<&'static str>,
    first: Vec<f64>,
}

/// What was found: names, seconds of the first calls, and of the rounds.
pub struct Found {
    pub names: Vec<&'static str>,
    pub first: Vec<f64>,
    pub samples: Samples,
}

impl<'a> Timed<'a> {
    /// Calls it once.
    pub fn add(&mut self, name: &'static str, mut run: impl FnMut() + 'a) {
        let first = seconds(&mut run);
        self.add_called(name, first, run);
    }

    /// One that has been called before.
    pub fn add_called(&mut self, name: &'static str, first: f64, run: impl FnMut() + 'a) {
        self.first.push(first);
        self.names.push(name);
        self.rounds.add(name, run);
    }

    pub fn measure(self, plan: Plan) -> Found {
        Found { names: self.names, first: self.first, samples: self.rounds.measure(plan) }
    }
}

pub fn seconds(run: impl FnOnce()) -> f64 {
    timed(run).0
}

/// Seconds, and the result.
pub fn timed<T>(run: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let result = run();
    (start.elapsed().as_secs_f64(), result)
}
