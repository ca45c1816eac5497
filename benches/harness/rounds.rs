//! Interleaved rounds: every closure runs once in each round, in an order that
//! changes from round to round, so that a slow spell of the machine affects all
//! of them alike. Independent of what the closures compute.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Quartiles;

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Measured rounds.
    pub rounds: usize,
    /// Closures faster than this are repeated within a round.
    pub shortest_sample: Duration,
}

impl Plan {
    /// For figures to be quoted.
    pub const FULL: Self = Self { rounds: 41, shortest_sample: Duration::from_millis(5) };
    /// For a quick look, and to check that the benchmark works.
    pub const QUICK: Self = Self { rounds: 7, shortest_sample: Duration::from_millis(2) };
}

/// Named closures to be timed against each other.
#[derive(Default)]
pub struct Rounds<'a> {
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    name: String,
    run: Box<dyn FnMut() + 'a>,
    repetitions: u32,
    seconds: Vec<f64>,
}

impl<'a> Rounds<'a> {
    /// Adds a closure under a name of its own.
    pub fn add(&mut self, name: impl Into<String>, run: impl FnMut() + 'a) {
        self.entries.push(Entry {
            name: name.into(),
            run: Box::new(run),
            repetitions: 1,
            seconds: Vec::new(),
        });
    }

    /// Warms up, then measures all closures round by round.
    pub fn measure(mut self, plan: Plan) -> Samples {
        for entry in &mut self.entries {
            entry.calibrate(plan.shortest_sample);
        }
        for round in 0..plan.rounds {
            self.run_round(round);
        }
        Samples {
            seconds: self.entries.into_iter().map(|entry| (entry.name, entry.seconds)).collect(),
        }
    }

    fn run_round(&mut self, round: usize) {
        let count = self.entries.len();
        for position in 0..count {
            // Rounds start one entry further each time and change direction.
            let step = if round.is_multiple_of(2) { position } else { count - 1 - position };
            let entry = &mut self.entries[(round + step) % count];
            let seconds = entry.sample();
            entry.seconds.push(seconds);
        }
    }
}

impl Entry<'_> {
    /// Seconds per call, after one that is not timed: what the entry before has left in the caches and in the allocator is
    /// none of this one's business.
    fn sample(&mut self) -> f64 {
        (self.run)();
        let start = Instant::now();
        for _ in 0..self.repetitions {
            (self.run)();
        }
        start.elapsed().as_secs_f64() / f64::from(self.repetitions)
    }

    fn calibrate(&mut self, shortest: Duration) {
        self.sample();
        let seconds = self.sample().max(1e-9);
        self.repetitions = (shortest.as_secs_f64() / seconds).ceil().max(1.0) as u32;
    }
}

/// Seconds per call of every closure, by round.
pub struct Samples {
    seconds: BTreeMap<String, Vec<f64>>,
}

impl Samples {
    /// Seconds per call.
    pub fn seconds(&self, name: &str) -> Quartiles {
        Quartiles::of(self.of(name).iter().copied())
    }

    /// The overhead of each step over a product, in products; `whole` takes one product more than `steps`.
    pub fn overhead(&self, whole: &str, product: &str, steps: usize) -> Quartiles {
        let pairs = self.of(whole).iter().zip(self.of(product));
        let steps = steps as f64;
        Quartiles::of(
            pairs.map(|(whole, product)| (whole - (steps + 1.0) * product) / (steps * product)),
        )
    }

    /// Time of `name` in units of `unit`, round by round.
    pub fn ratio(&self, name: &str, unit: &str) -> Quartiles {
        let pairs = self.of(name).iter().zip(self.of(unit));
        Quartiles::of(pairs.map(|(time, unit)| time / unit))
    }

    /// Shortest time of `name` in units of the shortest of `unit`: what remains on a busy machine.
    pub fn ratio_of_shortest(&self, name: &str, unit: &str) -> f64 {
        let shortest = |name| self.of(name).iter().copied().fold(f64::INFINITY, f64::min);
        shortest(name) / shortest(unit)
    }

    fn of(&self, name: &str) -> &[f64] {
        self.seconds.get(name).map_or(&[], Vec::as_slice)
    }
}
