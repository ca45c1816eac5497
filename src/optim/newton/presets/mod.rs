//! Newton-type methods of the literature: one method, one file. Each is a direction with a rule.

mod hessian_free;
mod levenberg_marquardt;
mod lissa;
mod newton_cg;
mod trust_region;

pub use hessian_free::HessianFreeConfig;
pub use levenberg_marquardt::LevenbergMarquardtConfig;
pub use lissa::LissaNewtonConfig;
pub use newton_cg::NewtonCgConfig;
pub use trust_region::TrustRegionNewtonConfig;

/// How a preset becomes an optimizer, from its `optimizer()`.
macro_rules! preset {
    ($preset:ty) => {
        impl $preset {
            /// Checks the ranges and builds the optimizer for a captured model.
            ///
            /// # Errors
            /// As [`NewtonOptimizerConfig::init`].
            pub fn init<B: burn_backend::AutodiffBackend>(
                &self,
                objective: &crate::objective::Objective<B>,
            ) -> Result<crate::optim::NewtonOptimizer<B>, crate::error::Error> {
                self.optimizer().init(objective)
            }

            /// As [`init`](Self::init), from the saved state of an optimizer: the steps continue exactly.
            ///
            /// # Errors
            /// As [`NewtonOptimizerConfig::resume`].
            pub fn resume<B: burn_backend::AutodiffBackend>(
                &self,
                objective: &crate::objective::Objective<B>,
                state: &crate::optim::NewtonOptimizerState,
            ) -> Result<crate::optim::NewtonOptimizer<B>, crate::error::Error> {
                self.optimizer().resume(objective, state)
            }
        }

        impl Default for $preset {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}
use preset;
