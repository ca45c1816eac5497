//! Names and sizes of factors, to be compared with those of a model. Knows no numbers.

use super::{
    moment::{Eigen, Moment},
    network::Network,
};
use crate::space::{ParamBlock, ParamLayout};

/// Groups and size of a factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub groups: usize,
    pub size: usize,
    pub diagonal: bool,
}

impl Shape {
    /// None where the numbers are not as many as the sizes say.
    pub fn of(moment: &Moment) -> Option<Self> {
        let (groups, size) = (moment.groups(), moment.size());
        let (diagonal, numbers) = match moment {
            Moment::Dense { values, .. } => (false, values.len()),
            Moment::Diagonal(values) => (true, values.len()),
        };
        Self::whole(groups, size, diagonal, numbers)
    }

    /// The same of a decomposition.
    pub fn of_eigen(eigen: &Eigen) -> Option<Self> {
        let (groups, size) = (eigen.groups, eigen.size);
        if groups.checked_mul(size)? != eigen.values.len() {
            return None;
        }
        match &eigen.vectors {
            Some(vectors) => Self::whole(groups, size, false, vectors.len()),
            None => Self::whole(groups, size, true, eigen.values.len()),
        }
    }

    fn whole(groups: usize, size: usize, diagonal: bool, numbers: usize) -> Option<Self> {
        let each = match diagonal {
            true => size,
            false => size.checked_mul(size)?,
        };
        let shape = Self { groups, size, diagonal };
        (numbers > 0 && groups.checked_mul(each)? == numbers).then_some(shape)
    }
}

/// What factors there are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outline<'a> {
    /// Names of the weights, with A and G.
    pub layers: Vec<(&'a str, Shape, Shape)>,
    /// Parameters that belong to no layer, by position.
    pub beside: Vec<(usize, Shape)>,
}

impl Outline<'_> {
    /// Whether a network has these factors.
    pub fn is_of(&self, network: &Network, layout: &ParamLayout) -> bool {
        let blocks = layout.blocks();
        let layers = network.plans.iter().map(|plan| {
            let name = blocks.get(plan.weight).map_or("", ParamBlock::name);
            let shape = |size: usize, diagonal: bool| Shape { groups: plan.groups, size, diagonal };
            (name, shape(plan.d_in, plan.diagonal), shape(plan.d_out, false))
        });
        let beside = network.beside.iter().map(|(position, _)| {
            let size = blocks.get(*position).map_or(0, ParamBlock::len);
            (*position, size)
        });
        let own = self.beside.iter();
        self.layers.iter().copied().eq(layers)
            && own.clone().all(|(_, shape)| shape.groups == 1)
            && own.map(|(position, shape)| (*position, shape.size)).eq(beside)
    }
}
