//! Second moments of rows: Σ over rows of row·rowᵀ, and the mean with ones behind the rows. Independent of layers.

use burn_backend::{Backend, tensor::FloatTensor};

use super::{
    product::{panels, whole},
    rows::{Rows, times},
};
use crate::tensor::reshape;

/// Width from which a product with itself may be computed by panels: below, they are too narrow to be fast.
const LEAST_WIDTH: usize = 1024;
/// Most columns for each row at which it is: above, the product is little work compared with writing it twice.
const WIDTH_PER_ROW: usize = 4;
/// Nine sixteenths of the work of the whole product.
const PANELS: usize = 8;
/// Number of rows that are collected for one product: many small ones wait for each other.
const MOST_ROWS: usize = 4096;

impl<B: Backend> Rows<B> {
    /// factor·Σ over rows of row·rowᵀ, `[groups, width, width]`; wide ones `in_panels` of which half is left out.
    pub fn second_moment(&self, factor: f64, in_panels: bool) -> FloatTensor<B> {
        self.moment(factor, None, in_panels)
    }

    /// The mean of row·rowᵀ over rows with a one behind each, `[groups, width + 1, width + 1]`.
    pub fn mean_with_ones(self, in_panels: bool) -> FloatTensor<B> {
        let share = (self.count().max(1) as f64).recip();
        // Ones are added where there are fewer elements: to the rows, or around their moments.
        if self.count() <= self.width() && !(in_panels && self.is_halved()) {
            return self.with_constant(1.0).second_moment(share, in_panels);
        }
        self.moment(share, Some(self.sum(share)), in_panels)
    }

    /// The factor, which is not negative, is applied where there are fewer elements: its root to both operands, so that one is
    /// the transpose of the other.
    fn moment(
        &self,
        factor: f64,
        border: Option<FloatTensor<B>>,
        in_panels: bool,
    ) -> FloatTensor<B> {
        let [_, _, groups, width] = self.sizes();
        let few = matches!(self, Self::Rows(_)) && self.count() < width;
        let (before, after) = if few { (factor.sqrt(), 1.0) } else { (1.0, factor) };
        let products = match self {
            Self::Rows(_) => {
                let count = if in_panels && self.is_halved() { PANELS } else { 1 };
                panels::<B>(&times::<B>(self.by_group(), before), count)
            }
            Self::Columns(columns) => {
                let turned = B::float_swap_dims(columns.clone(), 2, 3);
                let sum = B::float_sum_dim(B::float_matmul(columns.clone(), turned), 0);
                vec![reshape::<B>(sum, &[groups, width, width])]
            }
        };
        let products: Vec<_> = products.into_iter().map(|part| times::<B>(part, after)).collect();
        whole::<B>(&products, border)
    }

    /// Whether half of the product with itself is left out.
    fn is_halved(&self) -> bool {
        let wide = self.width() >= LEAST_WIDTH;
        wide && WIDTH_PER_ROW * self.count() >= self.width() && matches!(self, Self::Rows(_))
    }

    /// factor·Σ over rows, `[groups, 1, width]`.
    fn sum(&self, factor: f64) -> FloatTensor<B> {
        let [_, _, groups, width] = self.sizes();
        let sum = match self {
            Self::Rows(_) => B::float_sum_dim(self.by_group(), 1),
            Self::Columns(columns) => B::float_sum_dim(B::float_sum_dim(columns.clone(), 3), 0),
        };
        times::<B>(reshape::<B>(sum, &[groups, 1, width]), factor)
    }
}

/// Σ over rows of row·rowᵀ, many rows at a time.
pub(super) struct Sum<B: Backend> {
    held: Vec<Rows<B>>,
    count: usize,
    sum: Option<FloatTensor<B>>,
    in_panels: bool,
}

impl<B: Backend> Sum<B> {
    pub fn new(in_panels: bool) -> Self {
        Self { held: Vec::new(), count: 0, sum: None, in_panels }
    }

    pub fn add(&mut self, rows: Rows<B>) {
        self.count += rows.count();
        // Columns are multiplied sample by sample.
        let are_many = self.count >= MOST_ROWS || matches!(rows, Rows::Columns(_));
        self.held.push(rows);
        if are_many {
            self.reduce();
        }
    }

    fn reduce(&mut self) {
        self.count = 0;
        let term = Rows::joined(std::mem::take(&mut self.held), 0);
        let term = term.map(|rows| rows.second_moment(1.0, self.in_panels));
        self.sum = self.sum.take().into_iter().chain(term).reduce(B::float_add);
    }

    pub fn finish(mut self) -> Option<FloatTensor<B>> {
        self.reduce();
        self.sum
    }
}
