//! The programs of scores, derived once per recording. Knows nothing of vectors and operators.

use std::sync::Arc;

use super::super::{
    layers::NetworkLayers,
    pass::Structure,
    program::{self, Form, SAMPLES},
};
use crate::{error::Error, graph::Graph, objective::Derivation};

/// A program of scores of all samples.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SampleProgram {
    pub structure: Arc<Structure>,
    pub scored: Scored,
}

/// What is computed of the gradient of a sample.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scored {
    InnerProducts { vectors: usize },
    QuadraticForms(Vec<Form>),
}

impl Derivation for SampleProgram {
    /// Number of samples.
    type Notes = usize;

    fn derive(&self, loss: &Graph, parameters: usize) -> Result<(Graph, usize), Error> {
        let found = NetworkLayers::of(loss, parameters, SAMPLES.separation());
        let network = self.structure.select(found)?;
        let program = match &self.scored {
            Scored::InnerProducts { vectors } => {
                program::inner_products(&network, parameters, *vectors)?
            }
            Scored::QuadraticForms(forms) => program::quadratic_forms(&network, parameters, forms)?,
        };
        Ok((program, network.samples.count))
    }
}
