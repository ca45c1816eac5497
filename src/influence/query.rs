//! What is attributed to the training samples: losses of test samples, scalars of θ, or vectors.

use std::ops::Range;

use burn_backend::AutodiffBackend;

use super::{InfluenceError, losses::SampleLosses};
use crate::{error::Error, objective::Objective, space::ParamVector, tensor::DefaultBackend};

/// The functions f of θ whose change is predicted: each has one gradient ∇f, and one row of scores.
///
/// Objectives are evaluated at the parameters of the training objective: [`Objective::at`] moves them there, and returns an
/// error where running statistics belong to the parameters. Those of an objective that is there already must be the training
/// objective's. Vectors are used as they are.
///
/// `&Objective` stands for the loss of each of its samples, `&ParamVector` and `&[ParamVector]` for gradients that are given.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Query<'a, B: AutodiffBackend = DefaultBackend> {
    /// The loss of each sample of an objective, whose closure returns the losses of samples.
    Samples(&'a Objective<B>),
    /// The value of an objective: any scalar of θ.
    Value(&'a Objective<B>),
    /// Gradients ∇f.
    Vectors(&'a [ParamVector<B>]),
}

impl<'a, B: AutodiffBackend> From<&'a Objective<B>> for Query<'a, B> {
    fn from(objective: &'a Objective<B>) -> Self {
        Self::Samples(objective)
    }
}

impl<'a, B: AutodiffBackend> From<&'a ParamVector<B>> for Query<'a, B> {
    fn from(vector: &'a ParamVector<B>) -> Self {
        Self::Vectors(std::slice::from_ref(vector))
    }
}

impl<'a, B: AutodiffBackend> From<&'a [ParamVector<B>]> for Query<'a, B> {
    fn from(vectors: &'a [ParamVector<B>]) -> Self {
        Self::Vectors(vectors)
    }
}

impl<'a, B: AutodiffBackend> From<&'a Vec<ParamVector<B>>> for Query<'a, B> {
    fn from(vectors: &'a Vec<ParamVector<B>>) -> Self {
        Self::Vectors(vectors)
    }
}

/// The gradients of a query, computed when asked for.
pub(super) enum Gradients<'a, B: AutodiffBackend> {
    Samples(Box<SampleLosses<B>>),
    Value(Box<Objective<B>>),
    Vectors(&'a [ParamVector<B>]),
}

impl<'a, B: AutodiffBackend> Gradients<'a, B> {
    /// Checks that the query belongs to the space of the training's parameters, and moves it there.
    pub fn of(query: Query<'a, B>, training: &Objective<B>) -> Result<Self, Error> {
        let parameters = training.parameters();
        let (space, moved) =
            (parameters.space(), |it: &Objective<B>| it.moved_to(parameters, (training, "")));
        let gradients = match query {
            Query::Samples(objective) => {
                space.expect_same(objective.parameters().space())?;
                Self::Samples(Box::new(SampleLosses::new(&moved(objective)?)?))
            }
            Query::Value(objective) => {
                space.expect_same(objective.parameters().space())?;
                Self::Value(Box::new(moved(objective)?))
            }
            Query::Vectors(vectors) => {
                vectors.iter().try_for_each(|vector| space.expect_same(vector.space()))?;
                Self::Vectors(vectors)
            }
        };
        if gradients.len() == 0 { Err(InfluenceError::NoQuery.into()) } else { Ok(gradients) }
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Samples(losses) => losses.len(),
            Self::Value(_) => 1,
            Self::Vectors(vectors) => vectors.len(),
        }
    }

    /// ∇f of some queries.
    pub fn some(&self, range: Range<usize>) -> Result<Vec<ParamVector<B>>, Error> {
        let gradients = match self {
            Self::Samples(losses) => losses.gradients(range)?,
            Self::Value(objective) => vec![objective.gradient()?],
            Self::Vectors(vectors) => vectors.get(range).unwrap_or_default().to_vec(),
        };
        let mut each = gradients.iter();
        each.try_for_each(|gradient| gradient.expect_finite("the gradient of a query"))?;
        Ok(gradients)
    }

    /// Numbers by which queries are told apart: losses, a value with its gradient, or norms.
    pub fn figures(&self) -> Result<Vec<f64>, Error> {
        match self {
            Self::Samples(losses) => losses.values(),
            Self::Value(objective) => {
                let found = objective.value_and_gradient()?;
                let mut figures = found.gradient.to_vec()?;
                figures.push(found.value);
                Ok(figures)
            }
            Self::Vectors(vectors) => {
                Ok(vectors.iter().map(ParamVector::norm).collect::<Result<_, _>>()?)
            }
        }
    }
}
