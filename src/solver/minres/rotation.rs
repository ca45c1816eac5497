//! The QR factorization of the Lanczos tridiagonal, one column at a time, and what follows from it.
//!
//! Names as in Paige & Saunders 1975 and Choi, Paige & Saunders 2011: column k of R is (εₖ, δₖ, γₖ), the reflection that
//! makes it is (cₖ, sₖ), and φ̄ₖ = ‖rₖ‖ = sₖ φ̄ₖ₋₁, in the norm of M⁻¹ with a preconditioner.

/// State after some columns.
#[derive(Debug, Clone)]
pub(super) struct Rotation {
    cosine: f64,
    sine: f64,
    delta_bar: f64,
    epsilon: f64,
    /// φ̄
    pub(super) residual: f64,
}

/// The next column, which may still be refused.
#[derive(Debug, Clone)]
pub(super) struct Column {
    /// εₖ, two above the diagonal.
    pub(super) epsilon: f64,
    /// δₖ, one above the diagonal.
    pub(super) delta: f64,
    /// γₖ, on the diagonal.
    pub(super) gamma: f64,
    pub(super) sine: f64,
    /// φₖ, the length of the step along wₖ.
    pub(super) step: f64,
    /// ‖A rₖ₋₁‖ / ‖rₖ₋₁‖
    pub(super) root: f64,
    /// √(βₖ² + αₖ² + βₖ₊₁²) = ‖A vₖ‖, a lower bound on ‖A‖.
    pub(super) length: f64,
    after: Rotation,
}

impl Rotation {
    /// Before the first column, with ‖r₀‖.
    pub(super) fn new(residual: f64) -> Self {
        Self { cosine: -1.0, sine: 0.0, delta_bar: 0.0, epsilon: 0.0, residual }
    }

    /// vₖᵀ rₖ₋₁
    pub(super) fn overlap(&self) -> f64 {
        -self.residual * self.cosine
    }

    /// Column k of R, from αₖ on the diagonal, βₖ above and βₖ₊₁ below.
    pub(super) fn column(&self, above: f64, alpha: f64, below: f64) -> Column {
        let delta = self.cosine * self.delta_bar + self.sine * alpha;
        let gamma_bar = self.sine * self.delta_bar - self.cosine * alpha;
        let delta_bar = -self.cosine * below;
        let gamma = gamma_bar.hypot(below);
        let (cosine, sine) = match gamma {
            0.0 => (-1.0, 0.0),
            _ => (gamma_bar / gamma, below / gamma),
        };
        Column {
            epsilon: self.epsilon,
            delta,
            gamma,
            sine,
            step: cosine * self.residual,
            root: gamma_bar.hypot(delta_bar),
            length: above.hypot(alpha).hypot(below),
            after: Rotation {
                cosine,
                sine,
                delta_bar,
                epsilon: self.sine * below,
                residual: sine * self.residual,
            },
        }
    }

    /// Takes the column.
    pub(super) fn accept(&mut self, column: &Column) {
        *self = column.after.clone();
    }
}

/// φ(x) = ½ xᵀA x − bᵀx by recurrences of scalars: with d = x − x₀ it is φ(x₀) − ½ dᵀ(r₀ + r), where d = Σ φₖ wₖ and
/// rₖ = sₖ² rₖ₋₁ − φ̄ₖ cₖ uₖ₊₁ (the uₖ₊₁ being orthogonal to d and to all wⱼ with j ≤ k).
#[derive(Debug, Clone)]
pub(super) struct Energy {
    /// φ(x₀)
    start: f64,
    /// dᵀ r₀ and dᵀ r
    moved: [f64; 2],
    /// wₖᵀ r₀ and wₖᵀ r of the last two k, the latest first.
    starts: [f64; 2],
    ends: [f64; 2],
    /// v₁ᵀ r₀, until it has been used.
    first: f64,
}

impl Energy {
    /// At a start with φ(x₀) and ‖r₀‖.
    pub(super) fn new(start: f64, residual: f64) -> Self {
        Self { start, moved: [0.0; 2], starts: [0.0; 2], ends: [0.0; 2], first: residual }
    }

    /// Takes a step; `overlap` is vₖᵀ rₖ₋₁.
    pub(super) fn advance(&mut self, column: &Column, overlap: f64) {
        let next = |from: f64, [last, earlier]: [f64; 2]| {
            (from - column.epsilon * earlier - column.delta * last) / column.gamma
        };
        let start = next(self.first, self.starts);
        let end = next(overlap, self.ends);
        let square = column.sine * column.sine;
        self.first = 0.0;
        self.moved[0] += column.step * start;
        self.moved[1] = square * (self.moved[1] + column.step * end);
        self.starts = [start, self.starts[0]];
        self.ends = [square * end, square * self.ends[0]];
    }

    /// φ(x)
    pub(super) fn value(&self) -> f64 {
        self.start - 0.5 * (self.moved[0] + self.moved[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T̄ = (2 1; 1 −1; 0 0) and r₀ = 3 e₁: residual 0 after two columns, and the solution of T y = (3, 0) is (1, 1).
    #[test]
    fn two_columns_solve_a_two_by_two_system() {
        let mut rotation = Rotation::new(3.0);
        let mut energy = Energy::new(0.0, 3.0);
        let mut columns = Vec::new();
        for (above, alpha, below) in [(0.0, 2.0, 1.0), (1.0, -1.0, 0.0)] {
            let column = rotation.column(above, alpha, below);
            energy.advance(&column, rotation.overlap());
            rotation.accept(&column);
            columns.push(column);
        }
        assert!(rotation.residual.abs() < 1e-15);
        let [first, second] = [&columns[0], &columns[1]];
        let second_y = second.step / second.gamma;
        let first_y = (first.step - second.delta * second_y) / first.gamma;
        assert!((first_y - 1.0).abs() < 1e-14 && (second_y - 1.0).abs() < 1e-14);
        // φ = −½ bᵀx = −½ · 3 · 1
        assert!((energy.value() + 1.5).abs() < 1e-14);
        // ‖T r₀‖ / ‖r₀‖ = ‖(2, 1)‖
        assert!((first.root - 5f64.sqrt()).abs() < 1e-14);
    }
}
