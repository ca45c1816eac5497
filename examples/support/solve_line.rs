//! A line on the terminal that follows a solve: its residual, how fast it falls, and about how long it will take. Nothing is
//! shown where there is no terminal.

use std::time::{Duration, Instant};

use burn_curvature::solver::{Convergence, Iteration};
use indicatif::{ProgressBar, ProgressStyle};

/// The line of a solve, or of several one after the other.
pub struct SolveLine {
    bar: ProgressBar,
    convergence: Convergence,
    tolerance: f64,
    clock: Instant,
}

impl SolveLine {
    /// For a solve to a relative residual.
    pub fn new(tolerance: f64) -> Result<Self, indicatif::style::TemplateError> {
        let bar = ProgressBar::new_spinner(); // hidden by indicatif if standard error is no terminal
        bar.set_style(ProgressStyle::with_template("{spinner} {msg}")?);
        Ok(Self { bar, convergence: Convergence::new(), tolerance, clock: Instant::now() })
    }

    /// The observer of the solve. The line is gone at its end, and there again for the next one.
    pub fn see(&mut self, iteration: &Iteration<'_>) {
        if iteration.index == 1 {
            self.bar.reset();
            self.clock = Instant::now();
        }
        self.convergence.observe(iteration);
        if iteration.relative_residual <= self.tolerance {
            return self.bar.finish_and_clear();
        }
        self.bar.set_message(self.text(self.clock.elapsed()));
        self.bar.tick();
    }

    /// `step 12, residual 3.10e-4, times 0.620 per step, 0.4 s, about 0.2 s left`
    fn text(&self, elapsed: Duration) -> String {
        let (done, seconds) = (self.convergence.iterations(), elapsed.as_secs_f64());
        let left = self.convergence.steps_left(self.tolerance);
        let left = left.map(|steps| steps as f64 * seconds / done.max(1) as f64);
        let left = left.map_or_else(String::new, |left| format!(", about {left:.1} s left"));
        format!("{}, {seconds:.1} s{left}", self.convergence)
    }
}

impl Drop for SolveLine {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
