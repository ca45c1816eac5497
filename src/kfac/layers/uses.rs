//! All uses of each parameter, and what follows: a layer, a block of its own, or neither.

use super::{BlockGroup, LayerGroup, LayerUse, Leftover, Role, Tap, walk::Uses};

impl Uses<'_> {
    fn is_broadcast(&self, parameter: usize) -> bool {
        self.broadcasts.iter().any(|one| one.parameter == parameter)
    }

    fn is_bias(&self, parameter: usize) -> bool {
        self.layers.iter().any(|one| one.bias == Some(parameter))
    }

    fn as_weight(&self, parameter: usize) -> impl Iterator<Item = &LayerUse> {
        self.layers.iter().filter(move |one| one.weight == parameter)
    }

    /// Whether a parameter is the weight of layers of one kind, and nothing else.
    fn is_weight(&self, parameter: usize) -> bool {
        let mut uses = self.as_weight(parameter);
        let Some(first) = uses.next() else {
            return false;
        };
        let alike = uses.all(|one| one.kind == first.kind);
        alike && !self.is_bias(parameter) && self.has_no_others(parameter)
    }

    fn has_no_others(&self, parameter: usize) -> bool {
        !self.is_broadcast(parameter) && !self.other.contains_key(&parameter)
    }

    /// The bias of a weight: the same in all uses that have one, and that of no other weight.
    fn bias_of(&self, weight: usize) -> Option<usize> {
        let bias = self.as_weight(weight).find_map(|one| one.bias)?;
        let own = self.as_weight(weight).all(|one| one.bias.is_none_or(|other| other == bias));
        let others = self.layers.iter().any(|one| one.bias == Some(bias) && one.weight != weight);
        let weights = self.as_weight(bias).next().is_some();
        (own && !others && !weights && self.has_no_others(bias)).then_some(bias)
    }

    /// The groups of uses of each weight.
    pub fn layers(&self) -> Vec<LayerGroup> {
        let mut groups: Vec<LayerGroup> = Vec::new();
        for one in self.layers.iter().filter(|one| self.is_weight(one.weight)) {
            let bias = self.bias_of(one.weight);
            let tap = self.tap(one, Role::Weight(one.kind.clone()), bias.is_some());
            let shape = self.shape_of(one.weight);
            let width = one.kind.width_out(&shape).max(1);
            let rows = self.graph.value(one.output).shape.num_elements() / width;
            match groups.iter_mut().find(|group| group.weight == one.weight) {
                Some(group) => {
                    group.rows += rows;
                    group.uses.push(tap);
                }
                None => groups.push(LayerGroup {
                    kind: one.kind.clone(),
                    weight: one.weight,
                    bias,
                    shape,
                    uses: vec![tap],
                    rows,
                    mixed: None,
                }),
            }
        }
        groups
    }

    fn tap(&self, one: &LayerUse, role: Role, with_bias: bool) -> Tap {
        let biased = with_bias && one.bias.is_some();
        let input = matches!(role, Role::Weight(_)).then_some(one.input);
        Tap { input, biased, ..Tap::of(role, one.output) }
    }

    /// All uses of a parameter that belongs to no layer; `None` if there are others.
    pub fn block(&self, parameter: usize) -> Option<BlockGroup> {
        if self.other.contains_key(&parameter) {
            return None;
        }
        let weights = self.as_weight(parameter);
        let weights = weights.map(|one| self.tap(one, Role::Weight(one.kind.clone()), false));
        let biases = self.layers.iter().filter(|one| one.bias == Some(parameter));
        let biases = biases.map(|one| self.tap(one, Role::Bias(one.kind.clone()), false));
        let broadcasts = self.broadcasts.iter().filter(|one| one.parameter == parameter);
        let broadcasts = broadcasts.map(|one| one.tap.clone());
        let taps: Vec<Tap> = weights.chain(biases).chain(broadcasts).collect();
        let shape = self.shape_of(parameter);
        (!taps.is_empty()).then_some(BlockGroup { parameter, shape, taps })
    }

    /// Why a parameter belongs to no layer.
    pub fn reason(&self, parameter: usize) -> Leftover {
        let (weight, bias) = (self.as_weight(parameter).next(), self.is_bias(parameter));
        let broadcast = self.broadcasts.iter().find(|one| one.parameter == parameter);
        match (self.other.get(&parameter), weight, bias, broadcast) {
            (Some(_), Some(_), ..) | (Some(_), _, true, _) => Leftover::Mixed,
            (Some(other), ..) => other.clone(),
            (None, None, false, Some(one)) => Leftover::Operation(one.operation.clone()),
            (None, None, false, None) => Leftover::Unused,
            (None, None, true, None) => Leftover::Biases,
            (None, ..) => Leftover::Mixed,
        }
    }

    fn shape_of(&self, parameter: usize) -> Vec<usize> {
        self.graph.value(self.graph.inputs()[parameter]).shape.to_vec()
    }
}
