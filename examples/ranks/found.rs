//! What the ranks found, and whether it is what one process finds.

use burn_curvature::{Error, ParamVector};

use crate::STEPS;

pub struct Found {
    pub loss: f64,
    /// x with (G + λI) x = ∇ℒ, and the iterations for it.
    pub solution: ParamVector,
    pub iterations: usize,
    /// After some steps of K-FAC.
    pub loss_after: f64,
}

impl Found {
    /// Prints the figures, with the bytes that each rank sent for a product.
    ///
    /// # Errors
    /// A figure that is out of its range.
    pub fn compare(&self, one: &Self, ranks: usize, bytes: u64) -> Result<(), Error> {
        let difference = one.solution.clone().sub(&self.solution)?.norm()? / one.solution.norm()?;
        println!("ranks = {ranks}");
        println!("bytes of a product, as counted = {bytes}");
        let formula = if ranks > 1 { 4 * (9 + self.solution.len() as u64) } else { 0 };
        println!("bytes of a product, by the formula 4·(9 + n) = {formula}");
        println!("loss = {:.6}", self.loss);
        println!("CG iterations = {}", self.iterations);
        println!("loss after {STEPS} steps of K-FAC = {:.6}", self.loss_after);
        println!("difference of the solution from that of one process = {difference:.1e}");
        if difference > 1e-3 || self.loss_after > 0.5 * self.loss || bytes != formula {
            return Err(Error::new(std::io::Error::other("the figures are out of range")));
        }
        Ok(())
    }
}
