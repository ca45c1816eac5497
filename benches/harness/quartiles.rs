//! Median and quartiles of a sample.

/// The three cuts of a sample into four equal parts.
#[derive(Clone, Copy, Debug)]
pub struct Quartiles {
    pub lower: f64,
    pub median: f64,
    pub upper: f64,
}

impl Quartiles {
    /// Quartiles with linear interpolation between ranks; NaN for an empty sample.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self {
            lower: quantile(&sorted, 0.25),
            median: quantile(&sorted, 0.5),
            upper: quantile(&sorted, 0.75),
        }
    }

    /// All three divided by a number.
    pub fn divided_by(self, number: f64) -> Self {
        let Self { lower, median, upper } = self;
        Self { lower: lower / number, median: median / number, upper: upper / number }
    }
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let rank = share * last as f64;
    let below = rank.floor() as usize;
    let above = rank.ceil() as usize;
    sorted[below] + (sorted[above] - sorted[below]) * (rank - below as f64)
}
