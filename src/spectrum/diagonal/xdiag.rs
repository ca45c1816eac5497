//! XDiag: the diagonal exactly on a basis of all random vectors but one, by Bekas' estimator with this one for the rest,
//! averaged.
//!
//! ```text
//! dᵢ = diag P₍ᵢ₎ A + ωᵢ ⊙ (I − P₍ᵢ₎) A ωᵢ        (ωᵢ: random signs)
//!    = diag Q Zᵀ + (Q sᵢ) ⊙ ((sᵢᵀ rᵢ) ωᵢ − Z sᵢ)
//! ```
//!
//! with A ωᵢ = Q rᵢ and (I − P₍ᵢ₎) Q = Q sᵢ sᵢᵀ.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    krylov::{Basis, Products},
    seeds::Seeds,
    space::ParamVector,
    spectrum::sketch::Sketch,
};

use super::moments::Moments;

pub(super) fn estimate<B: AutodiffBackend>(
    products: &Products<'_, B>,
    budget: usize,
    seed: u64,
) -> Result<Moments<B>, Error> {
    let mut seeds = Seeds::new(seed);
    let space = products.space();
    let drawn = (0..budget / 2).map(|_| Ok(space.rademacher(seeds.next())));
    let drawn: Vec<_> = drawn.collect::<Result<_, Error>>()?;
    let sketch = Sketch::new(products, drawn, &mut seeds)?;
    let mut known = space.zeros();
    for index in 0..sketch.basis.len() {
        if let Some([q, z]) = rows(&sketch.basis, &sketch.image, index)? {
            known = known.add(&q.mul(&z)?)?;
        }
    }
    known.expect_finite("the product A v")?;
    let left_out = sketch.basis.combine(&sketch.directions); // Q sᵢ
    let its_image = sketch.image.combine(&sketch.directions); // Z sᵢ
    let mut moments = Moments::new(space);
    for index in 0..sketch.vectors.len() {
        let s = sketch.directions.col(index);
        let weight = s.transpose() * sketch.triangle.col(index);
        let pair = rows(&left_out, &its_image, index)?;
        if let (Some([q, z]), Some(omega)) = (pair, sketch.vectors.vector(index)?) {
            let rest = z.neg().axpy(weight, &omega)?;
            moments.push(q.mul(&rest)?.add(&known)?)?;
        }
    }
    Ok(moments)
}

type Pair<B> = [ParamVector<B>; 2];

/// The same vector of two bases.
fn rows<B: AutodiffBackend>(
    left: &Basis<B>,
    right: &Basis<B>,
    index: usize,
) -> Result<Option<Pair<B>>, Error> {
    Ok(left.vector(index)?.zip(right.vector(index)?).map(|(left, right)| [left, right]))
}
