//! Checks on demand that an operator keeps its promises.

use burn_backend::AutodiffBackend;

use crate::{error::Error, seeds::Seeds, space::ParamVector};

use super::{Adjoint, LinearOperator, OperatorError, SelfAdjoint};

const ALPHA: f64 = 1.5;
const BETA: f64 = -0.75;

/// Checks that an operator gives the same product twice, that it is linear, and that `apply_many` agrees
/// with `apply`.
///
/// ```text
/// A x  twice: the same bits
/// A(αx + βy) = αA x + βA y      to √ε of the norms, for random x and y (ε: rounding of the format)
/// ```
///
/// What fails: dropout that draws a new mask for every product, a data set that is shuffled between products, a closure
/// with state, finite differences, a product that adds a constant. A device that adds in a varying order (atomic additions
/// on GPUs) fails the first check by rounding; the size of the difference shows it.
///
/// # Cost
/// Six products.
///
/// # Errors
/// [`OperatorError::NotDeterministic`], [`OperatorError::NotLinear`], [`OperatorError::ManyDiffer`];
/// [`VectorError::NonFinite`](crate::errors::VectorError::NonFinite) for a product that holds NaN or infinity;
/// [`VectorError::LayoutMismatch`](crate::errors::VectorError::LayoutMismatch) for one that is not laid out as promised.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{ParamSpace, operator::{FromFn, Identity, check_operator}};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(9)?;
/// assert!(check_operator(&Identity::new(&space)?, 1).is_ok());
/// let square = FromFn::new(&space, |v| Ok(v.clone().mul(v)?))?;
/// assert!(check_operator(&square, 1).is_err());
/// # Ok::<(), burn_curvature::Error>(())
/// ```
pub fn check_operator<B, A>(operator: &A, seed: u64) -> Result<(), Error>
where
    B: AutodiffBackend,
    A: LinearOperator<B> + ?Sized,
{
    probe(operator, &mut Seeds::new(seed)).map(|_| ())
}

/// [`check_operator`], and that A is symmetric: ⟨y, A x⟩ = ⟨A y, x⟩ for random x and y.
///
/// # Cost
/// Six products.
///
/// # Errors
/// As [`check_operator`]; [`OperatorError::NotSelfAdjoint`].
pub fn check_self_adjoint<B, A>(operator: &A, seed: u64) -> Result<(), Error>
where
    B: AutodiffBackend,
    A: SelfAdjoint<B> + ?Sized,
{
    super::expect_square(operator)?;
    let Probe { x, y, ax, ay } = probe(operator, &mut Seeds::new(seed))?;
    let found = disagreement((&y, &ax), (&ay, &x))?;
    let allowed = allowed(operator);
    if found <= allowed {
        return Ok(());
    }
    Err(OperatorError::NotSelfAdjoint { found, allowed }.into())
}

/// [`check_operator`] for A and Aᵀ, and that they belong together: ⟨u, A x⟩ = ⟨Aᵀu, x⟩ for random x and u.
///
/// # Cost
/// Six products with A and six with Aᵀ.
///
/// # Errors
/// As [`check_operator`]; [`OperatorError::NotAdjoint`].
pub fn check_adjoint<B, A>(operator: &A, seed: u64) -> Result<(), Error>
where
    B: AutodiffBackend,
    A: Adjoint<B>,
{
    let mut seeds = Seeds::new(seed);
    let forward = probe(operator, &mut seeds)?;
    let backward = probe(&super::Transposed::new(operator), &mut seeds)?;
    let found = disagreement((&backward.x, &forward.ax), (&backward.ax, &forward.x))?;
    let allowed = allowed(operator);
    if found <= allowed {
        return Ok(());
    }
    Err(OperatorError::NotAdjoint { found, allowed }.into())
}

/// Two random vectors and their products.
struct Probe<B: AutodiffBackend> {
    x: ParamVector<B>,
    y: ParamVector<B>,
    ax: ParamVector<B>,
    ay: ParamVector<B>,
}

fn probe<B, A>(operator: &A, seeds: &mut Seeds) -> Result<Probe<B>, Error>
where
    B: AutodiffBackend,
    A: LinearOperator<B> + ?Sized,
{
    let x = operator.domain().normal(seeds.next());
    let y = operator.domain().normal(seeds.next());
    let ax = product(operator, &x)?;
    let again = product(operator, &x)?;
    if ax.to_vec()? != again.to_vec()? {
        let difference = relative(&again, &ax, ax.norm()?)?;
        return Err(OperatorError::NotDeterministic { difference }.into());
    }
    let ay = product(operator, &y)?;
    let allowed = allowed(operator);
    let together = product(operator, &x.clone().scale(ALPHA).axpy(BETA, &y)?)?;
    let apart = ax.clone().scale(ALPHA).axpy(BETA, &ay)?;
    let scale = ALPHA.abs() * ax.norm()? + BETA.abs() * ay.norm()?;
    let found = relative(&together, &apart, scale)?;
    if found > allowed {
        return Err(OperatorError::NotLinear { found, allowed }.into());
    }
    let many = operator.apply_many(&[x.clone(), y.clone()])?;
    let mut found = if many.len() == 2 { 0.0 } else { f64::INFINITY };
    for (many, one) in many.iter().zip([&ax, &ay]) {
        one.expect_like(many)?;
        found = relative(many, one, scale)?.max(found);
    }
    if found > allowed {
        return Err(OperatorError::ManyDiffer { found, allowed }.into());
    }
    Ok(Probe { x, y, ax, ay })
}

fn product<B, A>(operator: &A, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error>
where
    B: AutodiffBackend,
    A: LinearOperator<B> + ?Sized,
{
    let product = operator.apply(vector)?;
    operator.codomain().expect_same(product.space())?;
    product.expect_finite("a product with a random vector")?;
    Ok(product)
}

fn allowed<B, A>(operator: &A) -> f64
where
    B: AutodiffBackend,
    A: LinearOperator<B> + ?Sized,
{
    operator.domain().precision().epsilon().sqrt()
}

/// ‖a − b‖ / scale, and 0 for two equal vectors.
fn relative<B: AutodiffBackend>(
    a: &ParamVector<B>,
    b: &ParamVector<B>,
    scale: f64,
) -> Result<f64, Error> {
    let difference = a.clone().sub(b)?.norm()?;
    Ok(ratio(difference, scale))
}

/// |⟨a, b⟩ − ⟨c, d⟩| on the scale of the rounding errors of such products: a and d are random with entries around 1, so
/// that a relative error δ of b and c leaves about δ‖b‖ and δ‖c‖.
fn disagreement<B: AutodiffBackend>(
    (a, b): (&ParamVector<B>, &ParamVector<B>),
    (c, d): (&ParamVector<B>, &ParamVector<B>),
) -> Result<f64, Error> {
    let difference = (a.dot(b)? - c.dot(d)?).abs();
    Ok(ratio(difference, b.norm()? + c.norm()?))
}

fn ratio(difference: f64, scale: f64) -> f64 {
    if difference == 0.0 { 0.0 } else { difference / scale }
}
