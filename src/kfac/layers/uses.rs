//! All uses of each parameter, and what follows: a layer, a block of its own, or neither.

use super::{BlockGroup, LayerGroup, Leftover, Role, Tap, walk::Uses};

impl Uses<'_> {
    fn is_bias(&self, parameter: usize) -> bool {
        self.taps.iter().any(|(_, tap)| tap.bias == Some(parameter))
    }

    fn uses_of(&self, parameter: usize) -> impl Iterator<Item = &Tap> {
        self.taps.iter().filter(move |(own, _)| *own == parameter).map(|(_, tap)| tap)
    }

    fn as_weight(&self, parameter: usize) -> impl Iterator<Item = &Tap> {
        self.uses_of(parameter).filter(|tap| matches!(tap.role, Role::Weight(_)))
    }

    /// Whether a parameter is the weight of layers of one kind, and nothing else.
    fn is_weight(&self, parameter: usize) -> bool {
        let Some(first) = self.as_weight(parameter).next() else {
            return false;
        };
        let alike = self.as_weight(parameter).all(|one| one.role == first.role);
        alike && !self.is_bias(parameter) && self.has_no_others(parameter)
    }

    /// Whether it is not broadcast or used in another way.
    fn has_no_others(&self, parameter: usize) -> bool {
        !self.broadcast_by.contains_key(&parameter) && !self.other.contains_key(&parameter)
    }

    /// The bias of a weight: the same in all uses that have one, and that of no other weight.
    fn bias_of(&self, weight: usize) -> Option<usize> {
        let bias = self.as_weight(weight).find_map(|one| one.bias)?;
        let own = self.as_weight(weight).all(|one| one.bias.is_none_or(|other| other == bias));
        let others = self.taps.iter().any(|(of, one)| one.bias == Some(bias) && *of != weight);
        let weights = self.as_weight(bias).next().is_some();
        (own && !others && !weights && self.has_no_others(bias)).then_some(bias)
    }

    /// The groups of uses of each weight.
    pub fn layers(&self) -> Vec<LayerGroup> {
        let mut groups: Vec<LayerGroup> = Vec::new();
        for (weight, tap) in self.taps.iter().filter(|(weight, _)| self.is_weight(*weight)) {
            let Role::Weight(kind) = &tap.role else { continue };
            let (weight, kind, bias) = (*weight, kind.clone(), self.bias_of(*weight));
            let tap = Tap { bias: tap.bias.and(bias), ..tap.clone() };
            let shape = self.shape_of(weight);
            let width = kind.width_out(&shape).max(1);
            let rows = self.graph.value(tap.value).shape.num_elements() / width;
            match groups.iter_mut().find(|group| group.weight == weight) {
                Some(group) => {
                    group.rows += rows;
                    group.uses.push(tap);
                }
                None => {
                    let uses = vec![tap];
                    let (mixed, is_bag) = (None, false);
                    groups.push(LayerGroup {
                        kind,
                        weight,
                        bias,
                        shape,
                        uses,
                        rows,
                        mixed,
                        is_bag,
                    });
                }
            }
        }
        groups
    }

    /// All uses of a parameter that belongs to no layer; `None` if there are others.
    pub fn block(&self, parameter: usize) -> Option<BlockGroup> {
        if self.other.contains_key(&parameter) {
            return None;
        }
        let weights = self.as_weight(parameter).map(|tap| Tap { bias: None, ..tap.clone() });
        let biases = self.taps.iter().filter(|(_, tap)| tap.bias == Some(parameter));
        let biases = biases.filter_map(|(_, tap)| tap.as_bias());
        let broadcasts =
            self.uses_of(parameter).filter(|tap| matches!(tap.role, Role::Broadcast(_)));
        let taps: Vec<Tap> = weights.chain(biases).chain(broadcasts.cloned()).collect();
        let shape = self.shape_of(parameter);
        (!taps.is_empty()).then_some(BlockGroup { parameter, shape, taps })
    }

    /// Why a parameter belongs to no layer.
    pub fn reason(&self, parameter: usize) -> Leftover {
        let (weight, bias) = (self.as_weight(parameter).next(), self.is_bias(parameter));
        match (self.other.get(&parameter), weight, bias, self.broadcast_by.get(&parameter)) {
            (Some(_), Some(_), ..) | (Some(_), _, true, _) => Leftover::Mixed,
            (Some(other), ..) => other.clone(),
            (None, None, false, Some(operation)) => Leftover::Operation(operation.clone()),
            (None, None, false, None) => Leftover::Unused,
            (None, None, true, None) => Leftover::Biases,
            (None, ..) => Leftover::Mixed,
        }
    }

    fn shape_of(&self, parameter: usize) -> Vec<usize> {
        self.graph.value(self.graph.inputs()[parameter]).shape.to_vec()
    }
}
