//! The process itself: grow the space, look at the Ritz values, restart, confirm. Keeps nothing beyond one call.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    krylov::{KrylovSpace, Products, RitzPairs},
    seeds::Seeds,
    space::ParamVector,
};

use super::{Eigenpairs, EigenpairsReport, EigenpairsStop, LanczosConfig};

/// One search in progress.
pub(super) struct Run<'a, B: AutodiffBackend> {
    config: &'a LanczosConfig,
    products: &'a Products<'a, B>,
    space: KrylovSpace<B>,
    /// Number of pairs wanted.
    wanted: usize,
    capacity: usize,
    limit: usize,
    restarts: usize,
    confirmation: Option<Confirmation>,
}

/// A fresh start that looks for copies of eigenvalues.
struct Confirmation {
    /// The values to confirm, from the most wanted on.
    values: Vec<f64>,
    /// Steps since the fresh start.
    steps: usize,
}

/// What a look at the Ritz values says.
enum Verdict {
    GoOn,
    Confirm,
    Done,
}

impl Confirmation {
    /// Steps before which the Ritz values of a fresh start may hide an eigenvector that the start holds little of.
    const LEAST_STEPS: usize = 8;
    /// A Ritz value is as good as known if its residual is below this fraction of its distance to the wanted ones.
    const MARGIN: f64 = 0.1;
}

impl<'a, B: AutodiffBackend> Run<'a, B> {
    /// Residuals to aim for, as a fraction of the threshold: a fresh start drops the couplings of what it confirms.
    const AIM: f64 = 0.5;

    pub(super) fn new(
        config: &'a LanczosConfig,
        products: &'a Products<'a, B>,
    ) -> Result<Self, Error> {
        let space = products.space();
        Ok(Self {
            config,
            products,
            space: KrylovSpace::new(space, Seeds::new(config.seed))?,
            wanted: config.wanted().min(space.len()),
            capacity: config.capacity(),
            limit: config.product_limit(space.len()),
            restarts: 0,
            confirmation: None,
        })
    }

    pub(super) fn solve(mut self) -> Result<Eigenpairs<B>, Error> {
        loop {
            self.expand()?;
            let full = self.space.size() >= self.capacity;
            let out_of_products = self.products.count() >= self.limit;
            if !(full || out_of_products || self.space.is_invariant() || self.is_time_to_look()) {
                continue;
            }
            let ritz = self.space.ritz()?;
            let verdict = self.judge(&ritz);
            let everything = self.space.size() == self.products.space().len();
            if everything || matches!(verdict, Verdict::Done) {
                return self.finish(&ritz, EigenpairsStop::Converged);
            }
            if out_of_products {
                let known = self.confirmation.is_some() || matches!(verdict, Verdict::Confirm);
                let stop =
                    if known { EigenpairsStop::Unconfirmed } else { EigenpairsStop::ProductLimit };
                return self.finish(&ritz, stop);
            }
            match verdict {
                Verdict::Confirm => self.confirm(&ritz)?,
                _ if full => self.restart(&ritz),
                _ => {}
            }
            if self.space.is_invariant() {
                self.space.start_afresh()?;
            }
        }
    }

    /// One product, and one vector more in the space.
    fn expand(&mut self) -> Result<(), Error> {
        let Some(step) = self.space.step()? else {
            return Ok(());
        };
        let product = self.products.multiply(&step.vector)?;
        let projection = self.space.project(&step, &product)?;
        let overlaps = projection.read_one()?;
        self.space.settle(&product, projection, overlaps)
    }

    /// The eigenvalues of H cost little in a small space, and need not be looked at in every step of a large one.
    fn is_time_to_look(&self) -> bool {
        let size = self.space.size();
        size >= self.wanted && size.is_multiple_of(1 + size / 16)
    }

    fn judge(&mut self, ritz: &RitzPairs) -> Verdict {
        let ranking = self.config.end.ranking(&ritz.values);
        let Some(wanted) = ranking.get(..self.wanted) else {
            return Verdict::GoOn;
        };
        if let Some(confirmation) = &mut self.confirmation {
            confirmation.steps += 1;
        }
        let threshold = self.threshold();
        let rounding = 2.0 * self.products.space().precision().epsilon() * self.space.largest();
        let aim = (Self::AIM * threshold).max(rounding);
        let residual = |index: &usize| ritz.residuals.get(*index).copied().unwrap_or(f64::NAN);
        let converged = wanted.iter().all(|index| residual(index) <= aim);
        let values: Vec<f64> = picked(&ritz.values, wanted);
        match &self.confirmation {
            _ if !converged => {
                self.confirmation = None;
                Verdict::GoOn
            }
            None if self.needs_confirmation() => Verdict::Confirm,
            None => Verdict::Done,
            Some(before) if !unchanged(&before.values, &values, threshold) => {
                self.confirmation = None;
                Verdict::Confirm
            }
            Some(before) if self.runners_up_are_known(before, ritz, &ranking, threshold) => {
                Verdict::Done
            }
            Some(_) => Verdict::GoOn,
        }
    }

    fn threshold(&self) -> f64 {
        self.config.relative_tolerance * self.space.largest()
    }

    /// With one pair per end the eigenvalue is right whatever its multiplicity.
    fn needs_confirmation(&self) -> bool {
        self.config.confirm_copies && self.config.pairs > 1
    }

    /// Whether the best of the values that are not wanted cannot turn out to be wanted.
    fn runners_up_are_known(
        &self,
        confirmation: &Confirmation,
        ritz: &RitzPairs,
        ranking: &[usize],
        threshold: f64,
    ) -> bool {
        if confirmation.steps < Confirmation::LEAST_STEPS && !self.space.is_invariant() {
            return false;
        }
        let ends = self.config.end.ends();
        let runners_up = ranking.iter().skip(self.wanted).take(ends);
        let last = ranking.iter().skip(self.wanted.saturating_sub(ends));
        let value = |index: &usize| ritz.values.get(*index).copied().unwrap_or(f64::NAN);
        let mut pairs = runners_up.zip(last).peekable();
        pairs.peek().is_some()
            && pairs.all(|(other, wanted)| {
                let distance = self.config.end.distance(value(wanted), value(other));
                let residual = ritz.residuals.get(*other).copied().unwrap_or(f64::NAN);
                residual <= threshold.max(Confirmation::MARGIN * distance)
            })
    }

    /// Keeps the wanted pairs, and starts again from a random vector orthogonal to them.
    fn confirm(&mut self, ritz: &RitzPairs) -> Result<(), Error> {
        let mut wanted = self.config.end.ranking(&ritz.values);
        wanted.truncate(self.wanted);
        self.confirmation = Some(Confirmation { values: picked(&ritz.values, &wanted), steps: 0 });
        self.space.restart(ritz, &wanted);
        self.space.start_afresh()?;
        Ok(())
    }

    /// Keeps the wanted Ritz vectors and a third of the others.
    fn restart(&mut self, ritz: &RitzPairs) {
        self.restarts += 1;
        let others = self.capacity.saturating_sub(self.wanted);
        let kept = self.wanted + (others / 3).max(1).min(others.saturating_sub(1));
        let mut ranking = self.config.end.ranking(&ritz.values);
        ranking.truncate(kept);
        self.space.restart(ritz, &ranking);
    }

    /// The Ritz pairs with their true residuals, which have the last word.
    fn finish(self, ritz: &RitzPairs, claimed: EigenpairsStop) -> Result<Eigenpairs<B>, Error> {
        let mut wanted = self.config.end.ranking(&ritz.values);
        wanted.truncate(self.wanted);
        wanted.sort_by(|a, b| b.cmp(a)); // Ritz values ascend
        let frame = self.space.ritz_vectors(ritz, &wanted);
        let vectors = (0..wanted.len()).filter_map(|index| frame.vector(index).transpose());
        let vectors: Vec<ParamVector<B>> = vectors.collect::<Result<_, Error>>()?;
        let eigenvalues = picked(&ritz.values, &wanted);
        let residuals = self.true_residuals(&eigenvalues, &vectors)?;
        let threshold = self.threshold();
        let reached = residuals.iter().all(|residual| *residual <= threshold);
        let space = self.products.space();
        let report = EigenpairsReport {
            end: self.config.end,
            stop: match claimed {
                EigenpairsStop::Converged if !reached => EigenpairsStop::Rounding,
                EigenpairsStop::Unconfirmed if !reached => EigenpairsStop::ProductLimit,
                claimed => claimed,
            },
            precision: space.precision(),
            unknowns: space.len(),
            eigenvalues,
            residuals,
            threshold,
            products: self.products.count(),
            restarts: self.restarts,
        };
        Ok(Eigenpairs { vectors, report })
    }

    fn true_residuals(
        &self,
        eigenvalues: &[f64],
        vectors: &[ParamVector<B>],
    ) -> Result<Vec<f64>, Error> {
        let products = self.products.multiply_many(vectors)?;
        let rest = products.into_iter().zip(eigenvalues.iter().zip(vectors));
        rest.map(|(product, (eigenvalue, vector))| {
            product.expect_finite("the product A y")?;
            Ok(product.axpy(-eigenvalue, vector)?.norm()?)
        })
        .collect()
    }
}

fn picked(values: &[f64], indices: &[usize]) -> Vec<f64> {
    let picked = indices.iter().filter_map(|index| values.get(*index));
    picked.copied().collect()
}

fn unchanged(before: &[f64], now: &[f64], allowed: f64) -> bool {
    let mut pairs = before.iter().zip(now);
    pairs.all(|(before, now)| (before - now).abs() <= allowed)
}
