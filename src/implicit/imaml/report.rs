//! How far to trust a meta-gradient, task by task.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::Verdict;
use crate::solver::SolveReport;

/// The report on one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// L̂(φ), without the proximal term.
    pub training_loss: f64,
    /// L(φ).
    pub test_loss: f64,
    /// ‖∇L̂(φ) + λ(φ − θ)‖, zero at the minimizer.
    pub stationarity: f64,
    /// ‖φ − θ‖.
    pub moved: f64,
    /// The smallest eigenvalue of I + H/λ that the solver met: a Ritz value, too large rather than too small.
    pub smallest_eigenvalue: Option<f64>,
    /// The report of the solve.
    pub solve: SolveReport,
    /// Whether the task's meta-gradient can be used.
    pub verdict: Verdict,
}

impl TaskReport {
    /// Sets the verdict from the other fields: `far` is the largest distance from the minimizer over ‖φ − θ‖.
    pub(super) fn judged(mut self, regularization: f64, far: f64) -> Self {
        // λ(I + H/λ) is the Hessian of the inner problem.
        let smallest = self.smallest_eigenvalue.unwrap_or(1.0);
        self.verdict = if smallest < 0.0 && self.solve.is_indefinite() {
            Verdict::Indefinite
        } else if !self.solve.stop.is_success() {
            Verdict::Unsolved
        } else if self.stationarity <= far * regularization * smallest.max(0.0) * self.moved {
            Verdict::Sound
        } else {
            Verdict::NotStationary // also if it is no number
        };
        self
    }
}

/// The report on all tasks of a meta-gradient. Prints as a short table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetaReport {
    /// F(θ), the mean of the test losses.
    pub loss: f64,
    /// The tasks in their order.
    pub tasks: Vec<TaskReport>,
}

impl MetaReport {
    pub(super) fn of(tasks: Vec<TaskReport>) -> Self {
        let loss = tasks.iter().map(|task| task.test_loss).sum::<f64>() / tasks.len() as f64;
        Self { loss, tasks }
    }

    /// The tasks with a verdict other than sound.
    pub fn doubtful(&self) -> impl Iterator<Item = &TaskReport> {
        self.tasks.iter().filter(|task| task.verdict != Verdict::Sound)
    }

    /// One sentence: what to do next.
    pub fn advice(&self) -> String {
        let count = |verdict| self.tasks.iter().filter(|task| task.verdict == verdict).count();
        let of = self.tasks.len();
        match [Verdict::Indefinite, Verdict::Unsolved, Verdict::NotStationary].map(count) {
            [0, 0, 0] => "Nothing speaks against this meta-gradient.".into(),
            [0, 0, far] => format!(
                "In {far} of {of} tasks φ is far from the minimizer of its inner problem: take more inner steps, or a larger λ."
            ),
            [0, unsolved, _] => format!(
                "In {unsolved} of {of} tasks the solver stopped short of its tolerance, which is usual for a few steps of \
                 conjugate gradients: take more for a more exact meta-gradient."
            ),
            [indefinite, ..] => format!(
                "In {indefinite} of {of} tasks I + H/λ has a negative eigenvalue, so that φ is no minimum: raise λ."
            ),
        }
    }
}

impl fmt::Display for MetaReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "meta-gradient over {} tasks, mean test loss {:.6e}",
            self.tasks.len(),
            self.loss
        )?;
        writeln!(
            f,
            "  training loss   test loss   inner gradient   ‖φ − θ‖      residual   verdict"
        )?;
        for task in &self.tasks {
            writeln!(
                f,
                "  {:>13.4e} {:>11.4e} {:>16.4e} {:>9.3e} {:>13.4e}   {:?}",
                task.training_loss,
                task.test_loss,
                task.stationarity,
                task.moved,
                task.solve.relative_residual,
                task.verdict
            )?;
        }
        write!(f, "{}", self.advice())
    }
}
