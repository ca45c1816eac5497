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
    probe(operator, &mut Seeds::new(seed))?.properties.expect_operator()
}

/// [`check_operator`], and that A is symmetric: ⟨y, A x⟩ = ⟨A y, x⟩ for random x and y.
///
/// # Cost
/// Six products.
///
/// # Errors
/// As [`check_operator`]; [`OperatorError::NotSelfAdjoint`].
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearOperator, ParamSpace, operator::{Dense, DenseMatrix, check_self_adjoint}};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let promised = |rows: [[f64; 2]; 2]| {
///     Dense::new(&DenseMatrix::from_rows(&rows)?, &space)?.assume_self_adjoint()
/// };
/// assert!(check_self_adjoint(&promised([[1.0, 2.0], [2.0, 5.0]])?, 1).is_ok());
/// assert!(check_self_adjoint(&promised([[1.0, 2.0], [3.0, 5.0]])?, 1).is_err());
/// # Ok::<(), burn_curvature::Error>(())
/// ```
pub fn check_self_adjoint<B, A>(operator: &A, seed: u64) -> Result<(), Error>
where
    B: AutodiffBackend,
    A: SelfAdjoint<B> + ?Sized,
{
    let (properties, asymmetry) = measure_self_adjoint(operator, seed)?;
    properties.expect_operator()?;
    let allowed = properties.allowed;
    if asymmetry <= allowed {
        return Ok(());
    }
    Err(OperatorError::NotSelfAdjoint { found: asymmetry, allowed }.into())
}

/// How far an operator is from deterministic, linear and symmetric, by six products; the last is
/// |⟨y, A x⟩ − ⟨A y, x⟩| on the scale of the products.
pub(crate) fn measure_self_adjoint<B, A>(
    operator: &A,
    seed: u64,
) -> Result<(Properties, f64), Error>
where
    B: AutodiffBackend,
    A: SelfAdjoint<B> + ?Sized,
{
    super::expect_square(operator)?;
    let Probe { x, y, ax, ay, properties } = probe(operator, &mut Seeds::new(seed))?;
    let asymmetry = disagreement((&y, &ax), (&ay, &x))?;
    Ok((properties, asymmetry))
}

/// [`check_operator`] for A and Aᵀ, and that they belong together: ⟨u, A x⟩ = ⟨Aᵀu, x⟩ for random x and u.
///
/// # Cost
/// Six products with A and six with Aᵀ.
///
/// # Errors
/// As [`check_operator`]; [`OperatorError::NotAdjoint`].
///
/// # Example
/// The derivative of a sequence by differences, with its transpose and with a transpose of the wrong sign.
///
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{ParamSpace, operator::{FromFn, check_adjoint}};
///
/// let (long, short) = (ParamSpace::<Autodiff<Flex>>::flat(3)?, ParamSpace::flat(2)?);
/// let operator = |sign: f64| {
///     let (from, to) = (long.clone(), short.clone());
///     let differences = FromFn::between(&long, &short, move |v| {
///         let v = v.to_vec()?;
///         Ok(to.vector(&[v[1] - v[0], v[2] - v[1]])?)
///     })?;
///     Ok::<_, burn_curvature::Error>(differences.with_adjoint(move |u| {
///         let u = u.to_vec()?;
///         Ok(from.vector(&[-u[0], u[0] - u[1], u[1]].map(|x| sign * x))?)
///     }))
/// };
/// assert!(check_adjoint(&operator(1.0)?, 1).is_ok());
/// assert!(check_adjoint(&operator(-1.0)?, 1).is_err());
/// # Ok::<(), burn_curvature::Error>(())
/// ```
pub fn check_adjoint<B, A>(operator: &A, seed: u64) -> Result<(), Error>
where
    B: AutodiffBackend,
    A: Adjoint<B>,
{
    let mut seeds = Seeds::new(seed);
    let forward = probe(operator, &mut seeds)?;
    forward.properties.expect_operator()?;
    let backward = probe(&super::Transposed::new(operator), &mut seeds)?;
    backward.properties.expect_operator()?;
    let found = disagreement((&backward.x, &forward.ax), (&backward.ax, &forward.x))?;
    let allowed = allowed(operator);
    if found <= allowed {
        return Ok(());
    }
    Err(OperatorError::NotAdjoint { found, allowed }.into())
}

/// How far an operator is from what every operator promises; differences are relative to the norms of the products.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Properties {
    /// Between two products with the same vector; `None` if all bits agree.
    pub between_runs: Option<f64>,
    /// Between A(αx + βy) and αA x + βA y.
    pub nonlinearity: f64,
    /// Between `apply_many` and `apply`.
    pub between_many: f64,
    /// The largest difference that counts as rounding.
    pub allowed: f64,
}

impl Properties {
    fn expect_operator(self) -> Result<(), Error> {
        let Self { between_runs, nonlinearity, between_many, allowed } = self;
        if let Some(difference) = between_runs {
            return Err(OperatorError::NotDeterministic { difference }.into());
        }
        if nonlinearity > allowed || nonlinearity.is_nan() {
            return Err(OperatorError::NotLinear { found: nonlinearity, allowed }.into());
        }
        if between_many > allowed {
            return Err(OperatorError::ManyDiffer { found: between_many, allowed }.into());
        }
        Ok(())
    }
}

/// Two random vectors and their products.
struct Probe<B: AutodiffBackend> {
    x: ParamVector<B>,
    y: ParamVector<B>,
    ax: ParamVector<B>,
    ay: ParamVector<B>,
    properties: Properties,
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
    let same = ax.to_vec()? == again.to_vec()?;
    let between_runs = if same { None } else { Some(relative(&again, &ax, ax.norm()?)?) };
    let ay = product(operator, &y)?;
    let together = product(operator, &x.clone().scale(ALPHA).axpy(BETA, &y)?)?;
    let apart = ax.clone().scale(ALPHA).axpy(BETA, &ay)?;
    let scale = ALPHA.abs() * ax.norm()? + BETA.abs() * ay.norm()?;
    let nonlinearity = relative(&together, &apart, scale)?;
    let many = operator.apply_many(&[x.clone(), y.clone()])?;
    let mut between_many = if many.len() == 2 { 0.0 } else { f64::INFINITY };
    for (many, one) in many.iter().zip([&ax, &ay]) {
        one.expect_like(many)?;
        many.expect_finite("a product with several random vectors")?;
        between_many = relative(many, one, scale)?.max(between_many);
    }
    let allowed = allowed(operator);
    let properties = Properties { between_runs, nonlinearity, between_many, allowed };
    Ok(Probe { x, y, ax, ay, properties })
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
