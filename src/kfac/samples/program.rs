//! The programs of scores, derived once per recording. Knows nothing of vectors and operators.

use std::sync::Arc;

use super::super::{
    layers::NetworkLayers,
    pass::Structure,
    program::{self, Form, SAMPLES, Selected},
};
use crate::{
    error::Error,
    graph::{Graph, ValueType},
    objective::Derivation,
};

/// A program of scores of all samples.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SampleProgram {
    pub structure: Arc<Structure>,
    pub scored: Scored,
}

/// What is computed of the gradient of a sample.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scored {
    InnerProducts {
        vectors: usize,
    },
    QuadraticForms(Vec<Form>),
    /// With so many other gradients; the form of each part, and whether the other gradients are single outer products.
    BilinearForms(Vec<(Form, bool)>, usize),
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
            Scored::BilinearForms(forms, others) => {
                program::bilinear_forms(&network, parameters, forms, *others)?
            }
        };
        Ok((program, network.samples.count))
    }
}

/// A program of the gradients of some samples in bases.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SelectionProgram {
    pub structure: Arc<Structure>,
    pub forms: Vec<Form>,
    /// Of the indices of the samples.
    pub indices: ValueType,
}

impl Derivation for SelectionProgram {
    /// The number of samples, and how the gradients by each part are given.
    type Notes = (usize, Vec<Selected>);

    fn derive(&self, loss: &Graph, parameters: usize) -> Result<(Graph, Self::Notes), Error> {
        let found = NetworkLayers::of(loss, parameters, SAMPLES.separation());
        let network = self.structure.select(found)?;
        let (graph, selected) =
            program::selected_gradients(&network, parameters, &self.forms, &self.indices)?;
        Ok((graph, (self.indices.shape.num_elements(), selected)))
    }
}
