//! Prints figures, one per line, for readers and scripts.

use crate::harness::Quartiles;

/// Prints under `<model>.<backend>.`.
pub struct Figures {
    prefix: String,
}

impl Figures {
    pub fn new(model: &str, backend: &str) -> Self {
        Self { prefix: format!("{model}.{backend}") }
    }

    /// One line `<model>.<backend>.<figure> = <value>`.
    pub fn value(&self, figure: &str, value: f64) {
        println!("{}.{figure} = {value:.4}", self.prefix);
    }

    /// The median under the figure's own name, then both quartiles.
    pub fn quartiles(&self, figure: &str, quartiles: Quartiles) {
        self.value(figure, quartiles.median);
        self.value(&format!("{figure}_q1"), quartiles.lower);
        self.value(&format!("{figure}_q3"), quartiles.upper);
    }

    /// A time in milliseconds with its quartiles.
    pub fn milliseconds(&self, figure: &str, seconds: Quartiles) {
        self.quartiles(
            figure,
            Quartiles {
                lower: seconds.lower * 1e3,
                median: seconds.median * 1e3,
                upper: seconds.upper * 1e3,
            },
        );
    }

    /// GFLOP/s at the median time.
    pub fn rate(&self, figure: &str, flops: f64, seconds: Quartiles) {
        self.value(figure, flops / seconds.median / 1e9);
    }
}
