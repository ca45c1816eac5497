//! The trust region of Steihaug and Toint.

/// ‖x‖ ≤ radius in the norm of M, kept track of by recurrences (Conn, Gould & Toint 2000, section 7.5.1).
pub(super) struct TrustRegion {
    /// As it was asked for.
    asked: f64,
    /// In the unit of ‖x‖.
    radius: f64,
    /// xᵀM x
    square: f64,
    /// xᵀM p
    overlap: f64,
}

impl TrustRegion {
    /// At x = 0.
    pub(super) fn new(radius: f64) -> Self {
        Self { asked: radius, radius, square: 0.0, overlap: 0.0 }
    }

    /// Takes over the unit of ‖x‖, which the first product decides.
    pub(super) fn measure_in(&mut self, unit: f64) {
        self.radius = self.asked / unit;
    }

    /// At another direction, with xᵀM p.
    pub(super) fn restart(&mut self, overlap: f64) {
        self.overlap = overlap;
    }

    /// Whether x + α p lies inside; `length` is pᵀM p.
    pub(super) fn holds(&self, alpha: f64, length: f64) -> bool {
        self.moved(alpha, length) < self.radius * self.radius
    }

    /// τ ≥ 0 with ‖x + τ p‖ = radius.
    pub(super) fn to_boundary(&self, length: f64) -> f64 {
        let left = (self.radius * self.radius - self.square).max(0.0);
        let root = (self.overlap * self.overlap + length * left).sqrt();
        if self.overlap > 0.0 {
            left / (self.overlap + root) // without cancellation
        } else {
            (root - self.overlap) / length
        }
    }

    /// Takes x ← x + α p and p ← z + β p, where xᵀM z = xᵀr = 0.
    pub(super) fn advance(&mut self, alpha: f64, beta: f64, length: f64) {
        self.square = self.moved(alpha, length);
        self.overlap = beta * (self.overlap + alpha * length);
    }

    fn moved(&self, alpha: f64, length: f64) -> f64 {
        self.square + 2.0 * alpha * self.overlap + alpha * alpha * length
    }
}
