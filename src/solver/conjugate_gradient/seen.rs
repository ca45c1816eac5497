//! What one read-back of conjugate gradients brings. Knows numbers on the host only.

/// The numbers of one iteration.
pub(super) struct Seen {
    /// rᵀz before the step
    pub(super) rho: f64,
    /// pᵀA p
    pub(super) curvature: f64,
    /// rᵀz after the step
    pub(super) next: f64,
    /// rᵀr after the step
    pub(super) square: f64,
}
