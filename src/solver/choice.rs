//! Which solver when: a recommendation from what is known of a system. Knows no operator and solves nothing.

use serde::{Deserialize, Serialize};

use crate::{operator::DEFAULT_SIZE_LIMIT, tensor::Precision};

/// What is known of the signs of A's eigenvalues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Definiteness {
    /// Nothing, as for the Hessian of a network.
    Unknown,
    /// All are positive: a Gauss-Newton or Fisher with damping, the Hessian of a convex loss with weight decay.
    PositiveDefinite,
    /// None is negative, some may be zero: a Gauss-Newton or Fisher without damping.
    PositiveSemidefinite,
    /// Some are negative.
    Indefinite,
}

/// What is known of a system A x = b before it is solved.
///
/// # Example
/// ```
/// use burn_curvature::{Choice, Definiteness, Problem, recommend};
///
/// let problem = Problem::new(670_000).with_definiteness(Definiteness::PositiveDefinite).with_condition(900.0);
/// let recommendation = recommend(&problem);
/// assert_eq!(recommendation.choice, Choice::ConjugateGradient);
/// assert!(recommendation.reason.contains("900"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// Number of unknowns n.
    pub unknowns: usize,
    /// The signs of the eigenvalues.
    pub definiteness: Definiteness,
    /// An estimate of κ, such as that of an earlier report.
    pub condition: Option<f64>,
    /// How many b there are for the same A.
    pub right_hand_sides: usize,
    /// Format of the numbers.
    pub precision: Precision,
    /// Whether only products with mini-batches can be afforded.
    pub stochastic: bool,
}

impl Problem {
    /// A system of which nothing but its size is known, with one right-hand side in f32.
    pub fn new(unknowns: usize) -> Self {
        Self {
            unknowns,
            definiteness: Definiteness::Unknown,
            condition: None,
            right_hand_sides: 1,
            precision: Precision::F32,
            stochastic: false,
        }
    }

    /// The signs of the eigenvalues.
    pub fn with_definiteness(mut self, definiteness: Definiteness) -> Self {
        self.definiteness = definiteness;
        self
    }

    /// An estimate of κ.
    pub fn with_condition(mut self, condition: f64) -> Self {
        self.condition = Some(condition);
        self
    }

    /// How many b there are for the same A.
    pub fn with_right_hand_sides(mut self, count: usize) -> Self {
        self.right_hand_sides = count;
        self
    }

    /// Format of the numbers.
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Whether only products with mini-batches can be afforded.
    pub fn with_stochastic(mut self, stochastic: bool) -> Self {
        self.stochastic = stochastic;
        self
    }

    /// Products that a Krylov method takes for one b to a residual of 10⁻⁶: ½√κ·ln(2·10⁶) for a definite A by the
    /// textbook bound, κ in place of √κ for an indefinite one, at most 2n.
    fn expected_products(&self) -> f64 {
        let condition = self.sound_condition().unwrap_or(ASSUMED_CONDITION);
        let root = match self.definiteness {
            Definiteness::PositiveDefinite | Definiteness::PositiveSemidefinite => condition.sqrt(),
            Definiteness::Unknown | Definiteness::Indefinite => condition,
        };
        let bound = (0.5 * root * 2e6f64.ln()).ceil();
        bound.clamp(1.0, 2.0 * self.unknowns.max(1) as f64)
    }

    fn sound_condition(&self) -> Option<f64> {
        self.condition.filter(|condition| *condition >= 1.0)
    }

    /// Whether rounding may spoil more than one part in a hundred.
    fn exceeds(&self, precision: Precision) -> bool {
        let spoils = |condition| condition * precision.epsilon() > 1e-2;
        self.sound_condition().is_some_and(spoils)
    }
}

/// A method to solve a system with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Choice {
    /// [`Direct`](crate::Direct).
    Direct,
    /// [`ConjugateGradient`](crate::ConjugateGradient).
    ConjugateGradient,
    /// [`ConjugateGradient`](crate::ConjugateGradient) with a randomized low-rank (Nyström) preconditioner.
    NystromConjugateGradient,
    /// [`Minres`](crate::Minres).
    Minres,
    /// LiSSA, the stochastic Neumann series.
    Lissa,
}

/// A method, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recommendation {
    /// The method.
    pub choice: Choice,
    /// Whether to solve in f64 although the problem is in f32.
    pub in_f64: bool,
    /// One sentence.
    pub reason: String,
}

/// κ where nothing is known of it.
const ASSUMED_CONDITION: f64 = 1e4;
/// κ from which a low-rank preconditioner pays for its sketch.
const PRECONDITIONED_FROM: f64 = 1e4;

/// Recommends a solver from what is known.
///
/// The rules, first match first: a factorization if n ≤ 4096 and its n products are no more than an iteration would take
/// for all right-hand sides; LiSSA if only mini-batches can be afforded; MINRES unless A is known to be positive definite;
/// conjugate gradients with a Nyström preconditioner if κ ≥ 10⁴; conjugate gradients. A plain Neumann series is never
/// recommended, as conjugate gradients need fewer products: it is for where x must be a fixed linear map of b.
pub fn recommend(problem: &Problem) -> Recommendation {
    let (choice, mut reason) = choose(problem);
    let in_f64 = problem.precision == Precision::F32 && problem.exceeds(Precision::F32);
    if problem.exceeds(Precision::F64) {
        reason.push_str(", and add damping, since this condition number is beyond f64, too");
    } else if in_f64 {
        reason.push_str(", and solve in f64, since f32 rounding times the condition number is above a hundredth");
    }
    reason.push('.');
    Recommendation { choice, in_f64, reason }
}

fn choose(problem: &Problem) -> (Choice, String) {
    let n = problem.unknowns;
    let count = problem.right_hand_sides.max(1);
    let iterated = problem.expected_products() * count as f64;
    if !problem.stochastic && n <= DEFAULT_SIZE_LIMIT && n as f64 <= iterated {
        let reason = format!(
            "A factorization takes {n} products with A once, where an iteration is expected to take about {iterated:.0} for \
             {count} right-hand sides, and it needs no sign and finds singular directions"
        );
        return (Choice::Direct, reason);
    }
    if problem.stochastic {
        return (Choice::Lissa, stochastic(problem.definiteness).to_string());
    }
    let reason = match problem.definiteness {
        Definiteness::PositiveDefinite => return definite(problem),
        Definiteness::Unknown => {
            "The signs of the eigenvalues are not known, MINRES takes any, and its report tells them; damped enough to be \
             positive definite, the system is one for conjugate gradients"
        }
        Definiteness::PositiveSemidefinite => {
            "A may be singular, and MINRES finds the shortest least-squares solution where conjugate gradients break down"
        }
        Definiteness::Indefinite => {
            "A has negative eigenvalues, at which conjugate gradients stop and MINRES does not"
        }
    };
    (Choice::Minres, reason.to_string())
}

fn stochastic(definiteness: Definiteness) -> &'static str {
    match definiteness {
        Definiteness::PositiveDefinite => {
            "LiSSA takes one mini-batch per product, and A is positive definite, as it needs to be"
        }
        Definiteness::Unknown | Definiteness::PositiveSemidefinite | Definiteness::Indefinite => {
            "LiSSA takes one mini-batch per product, but needs a positive definite A: take the Gauss-Newton in place of the \
             Hessian, with damping"
        }
    }
}

fn definite(problem: &Problem) -> (Choice, String) {
    let products = problem.expected_products();
    match problem.sound_condition() {
        Some(condition) if condition >= PRECONDITIONED_FROM => (
            Choice::NystromConjugateGradient,
            format!(
                "A is positive definite with a condition number of about {condition:.0e}, for which plain conjugate \
                 gradients may take {products:.0} products; a low-rank sketch of the large eigenvalues as a preconditioner \
                 saves most of them"
            ),
        ),
        Some(condition) => (
            Choice::ConjugateGradient,
            format!(
                "A is positive definite with a condition number of about {condition:.0}, for which conjugate gradients \
                 take some {products:.0} products at most"
            ),
        ),
        None => (
            Choice::ConjugateGradient,
            "A is positive definite, and the report of conjugate gradients will tell its condition number".to_string(),
        ),
    }
}
