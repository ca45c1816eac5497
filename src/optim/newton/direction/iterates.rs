//! The iterates of conjugate gradients, and the best of the last ones. Martens 2010, section 4.6.

use burn_backend::AutodiffBackend;

use crate::{error::Error, optim::newton::point::Point, solver::Iteration, space::ParamVector};

/// An iterate with the quadratic model there.
pub(super) struct Kept<B: AutodiffBackend> {
    pub x: ParamVector<B>,
    /// ½ xᵀAx − bᵀx
    pub model: f64,
    /// h(θ + x), once it is known to be finite.
    pub value: Option<f64>,
}

/// The iterates with numbers ⌈spacingⁱ⌉.
pub(super) struct Iterates<B: AutodiffBackend> {
    spacing: Option<f64>,
    /// spacingⁱ
    next: f64,
    kept: Vec<Kept<B>>,
    last: Option<f64>,
}

impl<B: AutodiffBackend> Iterates<B> {
    /// Keeps none without a spacing.
    pub fn new(spacing: Option<f64>) -> Self {
        Self { spacing, next: spacing.unwrap_or(1.0), kept: Vec::new(), last: None }
    }

    pub fn see(&mut self, iteration: &Iteration<'_, B>) {
        self.last = Some(iteration.objective);
        let Some(spacing) = self.spacing else {
            return;
        };
        if iteration.index as f64 >= self.next.ceil() {
            let (x, model) = (iteration.x.clone(), iteration.objective);
            self.kept.push(Kept { x, model, value: None });
            while iteration.index as f64 >= self.next.ceil() {
                self.next *= spacing;
            }
        }
    }

    /// The model at the last iterate.
    pub fn last_model(&self) -> Option<f64> {
        self.last
    }

    /// From the last iterate backwards, as long as h falls: the iterate where it stops. `None` if none were kept.
    pub fn best(
        &mut self,
        point: &Point<'_, B>,
        last: &ParamVector<B>,
    ) -> Result<Option<Kept<B>>, Error> {
        let (Some(model), false) = (self.last, self.kept.is_empty()) else {
            return Ok(None);
        };
        let value = point.value_at(1.0, last)?;
        let mut best = Kept { x: last.clone(), model, value };
        while let Some(earlier) = self.kept.pop() {
            if earlier.model == best.model {
                continue; // the last iterate itself
            }
            let value = point.value_at(1.0, &earlier.x)?;
            let falls = match (value, best.value) {
                (Some(value), Some(best)) => value < best,
                (value, _) => value.is_some(),
            };
            if !falls && best.value.is_some() {
                break;
            }
            best = Kept { value, ..earlier };
        }
        Ok(Some(best))
    }
}
