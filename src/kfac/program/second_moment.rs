//! Second moments of rows: Σ over rows of row·rowᵀ, and the mean with ones behind the rows. Knows nothing of layers.

use burn_backend::{Backend, Shape, tensor::FloatTensor};

use super::{
    product::Symmetric,
    rows::{Rows, times},
};

/// Width from which a product with itself is computed by panels: below, they are too narrow to be fast.
const LEAST_WIDTH: usize = 256;
/// Most columns for each row at which it is: above, the product is little work compared with writing it twice.
const WIDTH_PER_ROW: usize = 4;
/// Nine sixteenths of the work of the whole product.
const PANELS: usize = 8;
/// Numbers below which an operation takes as long as with more.
const LEAST_NUMBERS: usize = 1 << 16;

/// Largest number of gradient elements that are collected for one product.
const MOST_HELD: usize = 1 << 24;

impl<B: Backend> Rows<B> {
    /// factor·Σ over rows of row·rowᵀ, `[groups, width, width]`.
    pub fn second_moment(&self, factor: f64) -> FloatTensor<B> {
        self.moment(factor).finish()
    }

    /// The mean of row·rowᵀ over rows with a one behind each, `[groups, width + 1, width + 1]`.
    pub fn mean_with_ones(self) -> FloatTensor<B> {
        let share = (self.count().max(1) as f64).recip();
        // Ones are added where there are fewer elements: to the rows, or around their moments.
        if self.count() <= self.width() && !self.is_halved() {
            return self.with_constant(1.0).second_moment(share);
        }
        self.moment(share).bordered(self.sum(share))
    }

    /// factor·Σ over rows of row·rowᵀ, with the factor applied where there are fewer elements.
    fn moment(&self, factor: f64) -> Symmetric<B> {
        match self {
            Self::Rows(_) if self.count() < self.width() => self.outer(factor),
            Self::Rows(_) | Self::Columns(_) => self.outer(1.0).scaled(factor),
        }
    }

    /// factor·Σ over rows of row·rowᵀ, of which half may be left out.
    pub fn outer(&self, factor: f64) -> Symmetric<B> {
        if let Self::Columns(columns) = self {
            let [_, _, groups, width] = self.sizes();
            let turned = B::float_swap_dims(columns.clone(), 2, 3);
            let left = times::<B>(columns.clone(), factor);
            let sum = B::float_sum_dim(B::float_matmul(left, turned), 0);
            let dims = vec![groups, width, width];
            return Symmetric::whole(B::float_reshape(sum, Shape::from(dims)));
        }
        let rows = self.by_group();
        let panels = if self.is_halved() { PANELS } else { 1 };
        Symmetric::product(&times::<B>(rows.clone(), factor), &rows, panels)
    }

    /// Whether half of the product with itself is left out.
    fn is_halved(&self) -> bool {
        let wide = self.width() >= LEAST_WIDTH;
        wide && WIDTH_PER_ROW * self.count() >= self.width() && matches!(self, Self::Rows(_))
    }

    /// Whether their second moments take less work to add up than to compute, so that nothing is won by taking those
    /// of further rows along.
    pub fn are_many(&self) -> bool {
        let numbers = self.sizes().iter().product::<usize>();
        let many = match self {
            Self::Rows(_) => 2 * self.count() >= self.width(),
            Self::Columns(_) => true,
        };
        many && numbers >= LEAST_NUMBERS
    }

    /// factor·Σ over rows, `[groups, 1, width]`.
    pub fn sum(&self, factor: f64) -> FloatTensor<B> {
        let [_, _, groups, width] = self.sizes();
        let sum = match self {
            Self::Rows(_) => B::float_sum_dim(self.by_group(), 1),
            Self::Columns(columns) => B::float_sum_dim(B::float_sum_dim(columns.clone(), 3), 0),
        };
        let sum = B::float_reshape(sum, Shape::from(vec![groups, 1, width]));
        times::<B>(sum, factor)
    }
}

/// Σ over rows of row·rowᵀ, many rows at a time.
pub(super) struct Sum<B: Backend> {
    held: Vec<Rows<B>>,
    numbers: usize,
    sum: Option<Symmetric<B>>,
}

impl<B: Backend> Default for Sum<B> {
    fn default() -> Self {
        Self { held: Vec::new(), numbers: 0, sum: None }
    }
}

impl<B: Backend> Sum<B> {
    /// Rows that are many are added at once, so that their memory serves for the next ones; few ones are held until
    /// there are more.
    pub fn add(&mut self, rows: Rows<B>) {
        if rows.are_many() {
            return self.include(&rows);
        }
        let numbers = rows.sizes().iter().product::<usize>();
        if self.numbers + numbers > MOST_HELD {
            self.reduce();
        }
        self.numbers += numbers;
        self.held.push(rows);
    }

    fn include(&mut self, rows: &Rows<B>) {
        let moment = rows.outer(1.0);
        self.sum = Some(match self.sum.take() {
            Some(sum) => sum.add(moment),
            None => moment,
        });
    }

    fn reduce(&mut self) {
        self.numbers = 0;
        if let Some(rows) = Rows::stacked(std::mem::take(&mut self.held)) {
            self.include(&rows);
        }
    }

    pub fn finish(mut self) -> Option<FloatTensor<B>> {
        self.reduce();
        self.sum.map(Symmetric::finish)
    }
}
