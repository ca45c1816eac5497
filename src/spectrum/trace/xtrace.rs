//! XTrace: the Hutch++ estimate with each random vector in turn for the rest and all others for the basis, averaged.
//!
//! ```text
//! tᵢ = tr P₍ᵢ₎ A + (n − m + 1) · μᵀA μ / μᵀμ        μ = (I − P₍ᵢ₎) ωᵢ
//! ```
//!
//! The direction of μ is uniform in the n − m + 1 dimensions that P₍ᵢ₎ leaves, so that its length can be divided out
//! (Epperly, Tropp & Webber 2024, section 2.3).

use burn_backend::AutodiffBackend;
use faer::{Col, Scale};

use crate::{
    error::Error,
    krylov::Products,
    seeds::Seeds,
    spectrum::{
        Estimate,
        sketch::{SHARED_VECTORS, Sketch},
    },
};

pub(super) fn estimate<B: AutodiffBackend>(
    products: &Products<'_, B>,
    budget: usize,
    seed: u64,
) -> Result<Estimate, Error> {
    let mut seeds = Seeds::new(seed);
    let space = products.space();
    let drawn = (0..budget / 2).map(|_| Ok(space.normal(seeds.next())));
    let drawn: Vec<_> = drawn.collect::<Result<_, Error>>()?;
    let sketch = Sketch::new(products, drawn, &mut seeds)?;
    let samples = samples(&sketch, space.len())?;
    let scatter = Estimate::of_samples(0.0, &samples, products.count());
    Ok(Estimate { standard_error: SHARED_VECTORS * scatter.standard_error, ..scatter })
}

/// tᵢ for every random vector, by small matrices.
fn samples<B: AutodiffBackend>(sketch: &Sketch<B>, unknowns: usize) -> Result<Vec<f64>, Error> {
    let omega = &sketch.vectors;
    let inner = sketch.basis.overlaps(&sketch.image)?; //       QᵀA Q
    let within = sketch.basis.overlaps(omega)?; //              QᵀΩ
    let across = sketch.image.overlaps(omega)?; //              ZᵀΩ
    let trace: f64 = (0..inner.nrows()).map(|i| inner[(i, i)]).sum();
    let squares = omega.squares()?;
    let left = (unknowns + 1).saturating_sub(squares.len()) as f64;
    let sample = |(index, square): (usize, f64)| {
        let s = sketch.directions.col(index);
        let w = within.col(index);
        let r = sketch.triangle.col(index); //                  A ωᵢ = Q r
        let overlap = s.transpose() * w;
        let c: Col<f64> = w - Scale(overlap) * s; //            P₍ᵢ₎ ωᵢ = Q c
        let rest: Col<f64> = w - &c;
        let inner_s: Col<f64> = &inner * s;
        let inner_c: Col<f64> = &inner * &c;
        let kept = trace - s.transpose() * &inner_s;
        let known = across.col(index).transpose() * &c;
        let curvature = rest.transpose() * r - known + c.transpose() * &inner_c;
        kept + left * curvature / (square - c.squared_norm_l2())
    };
    Ok(squares.into_iter().enumerate().map(sample).collect())
}
