//! Scores of samples, layer by layer. Independent of how they are computed.

/// A number for each sample and vector, split by the parameters that it comes from.
///
/// The parts are the layers, named by their weights and including their biases, and the parameters that belong to no layer.
/// They add up to the total. A parameter on which the outputs do not depend contributes zero and is no part.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleScores {
    parts: Vec<String>,
    columns: usize,
    pub(super) samples: usize,
    /// For each part: sample by sample, a number for each vector.
    pub(super) values: Vec<Vec<f64>>,
}

impl SampleScores {
    /// Scores of no sample.
    pub(super) fn new(parts: Vec<String>, columns: usize) -> Self {
        let values = vec![Vec::new(); parts.len()];
        Self { parts, columns, samples: 0, values }
    }

    /// Takes values `[samples, parts·vectors]`, times a factor.
    pub(super) fn fill(&mut self, samples: usize, values: &[f64], factor: f64) {
        self.samples = samples;
        let rows = values.chunks(self.columns * self.parts.len().max(1));
        for row in rows {
            let parts = self.values.iter_mut().zip(row.chunks(self.columns));
            for (own, found) in parts {
                own.extend(found.iter().map(|value| factor * value));
            }
        }
    }

    /// Adds further samples.
    pub(super) fn append(&mut self, more: Self) {
        self.samples += more.samples;
        for (own, more) in self.values.iter_mut().zip(more.values) {
            own.extend(more);
        }
    }

    /// The first part with a score that is NaN or infinite.
    pub(super) fn not_finite(&self) -> Option<&str> {
        let finite = |values: &[f64]| values.iter().all(|value| value.is_finite());
        self.parts().find(|(_, values)| !finite(values)).map(|(name, _)| name)
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Number of vectors; 1 for quadratic forms.
    pub fn vectors(&self) -> usize {
        self.columns
    }

    /// The parts by name, each with its scores: sample by sample, a number for each vector.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &[f64])> {
        let values = self.values.iter().map(Vec::as_slice);
        self.parts.iter().map(String::as_str).zip(values)
    }

    /// The scores of one part, by the name of its weight or parameter.
    pub fn part(&self, name: &str) -> Option<&[f64]> {
        self.parts().find(|(own, _)| *own == name).map(|(_, values)| values)
    }

    /// The sums over all parts: sample by sample, a number for each vector.
    pub fn total(&self) -> Vec<f64> {
        let mut total = vec![0.0; self.samples * self.columns];
        for part in &self.values {
            total.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
        }
        total
    }
}
