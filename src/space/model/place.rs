//! Where the float tensors of a model sit, and which of them hold a parameter.
//!
//! An identifier alone is not enough: a frozen clone of a module shares the identifiers of the original. A parameter is
//! identified by its identifier and its place, and a place that requires no gradient holds a constant.

use std::collections::HashMap;

use burn::module::{Module, ParamId};

use super::{
    super::{ParamBlock, ParamError, ParamLayout},
    LocatedTensor, Visit, visit,
};

/// A place in a model: the dotted path of a tensor, and its identifier.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub path: String,
    pub id: ParamId,
}

/// Whether a float tensor is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Training {
    /// It requires a gradient.
    Trainable,
    /// It is on an autodiff device and requires none: a frozen parameter or a running statistic.
    Frozen,
    /// It is on a device without autodiff, where nothing requires a gradient.
    Unknown,
}

/// A float tensor of a model.
#[derive(Clone, Debug)]
pub(crate) struct FloatPlace {
    pub place: Place,
    pub shape: Vec<usize>,
    pub training: Training,
}

/// The float tensors of a model in the order in which Burn visits them. Initializes what was not initialized.
pub(crate) fn float_places<M: Module>(model: &M) -> Vec<FloatPlace> {
    let mut list = List { places: Vec::new() };
    visit(model, &mut list);
    list.places
}

struct List {
    places: Vec<FloatPlace>,
}

impl Visit for List {
    fn tensor(&mut self, found: LocatedTensor<'_>) {
        let Some(tensor) = found.float() else { return };
        let training = if !tensor.is_autodiff() {
            Training::Unknown
        } else if tensor.is_require_grad() {
            Training::Trainable
        } else {
            Training::Frozen
        };
        let (place, shape) = (found.place(), tensor.shape().to_vec());
        self.places.push(FloatPlace { place, shape, training });
    }
}

/// One block for each trainable parameter; places that share one are its aliases.
pub(in crate::space) fn blocks(places: &[FloatPlace]) -> Result<Vec<ParamBlock>, ParamError> {
    let mut blocks: Vec<ParamBlock> = Vec::new();
    let mut positions = HashMap::new();
    let mut frozen_first = HashMap::new();
    for FloatPlace { place, shape, training } in places {
        let name = place.path.clone();
        if *training != Training::Trainable {
            frozen_first.entry(place.id).or_insert(name);
            continue;
        }
        let known = positions.get(&place.id).copied();
        match known.and_then(|position: usize| blocks.get_mut(position)) {
            Some(block) if block.shape == *shape => block.aliases.push(name),
            Some(block) => {
                return Err(ParamError::SharedShape {
                    block: block.name.clone(),
                    alias: name,
                    expected: block.shape.clone(),
                    found: shape.clone(),
                });
            }
            None => {
                positions.insert(place.id, blocks.len());
                blocks.push(ParamBlock {
                    name,
                    aliases: Vec::new(),
                    id: Some(place.id),
                    shape: shape.clone(),
                    offset: 0,
                    frozen_first: frozen_first.get(&place.id).cloned(),
                });
            }
        }
    }
    Ok(blocks)
}

impl ParamLayout {
    /// The places of the parameters in the model that the layout was taken of, with the positions of their blocks.
    pub(crate) fn places(&self) -> impl Iterator<Item = (Place, usize)> {
        self.blocks().iter().enumerate().flat_map(|(position, block)| {
            let paths = block.paths().map(str::to_string);
            paths.filter_map(move |path| Some((Place { path, id: block.id()? }, position)))
        })
    }

    /// Which places of a model hold which block of this layout.
    ///
    /// # Errors
    /// [`ParamError::Ambiguous`].
    pub(crate) fn positions_in(
        &self,
        places: &[FloatPlace],
    ) -> Result<HashMap<Place, usize>, ParamError> {
        let (by_id, mut positions) = (by_id(places), HashMap::new());
        for (position, block) in self.blocks().iter().enumerate() {
            let own = block.id().and_then(|id| by_id.get(&id));
            for held in places_of(block, own.map_or(&[], Vec::as_slice))? {
                positions.insert(held.place.clone(), position);
            }
        }
        Ok(positions)
    }
}

/// The places of a model by their identifiers.
pub(super) fn by_id(places: &[FloatPlace]) -> HashMap<ParamId, Vec<&FloatPlace>> {
    let mut by_id: HashMap<_, Vec<_>> = HashMap::new();
    for held in places {
        by_id.entry(held.place.id).or_default().push(held);
    }
    by_id
}

/// The places that hold a block, among those with its identifier: the ones on its paths, and in a model that is nested
/// otherwise, the trainable ones.
pub(super) fn places_of<'a>(
    block: &ParamBlock,
    own: &[&'a FloatPlace],
) -> Result<Vec<&'a FloatPlace>, ParamError> {
    let own = || own.iter().copied();
    let on_paths = own().filter(|held| block.paths().any(|path| path == held.place.path));
    let on_paths: Vec<_> = on_paths.collect();
    if !on_paths.is_empty() {
        return Ok(on_paths);
    }
    let trainable: Vec<_> = own().filter(|held| held.training == Training::Trainable).collect();
    if !trainable.is_empty() {
        return Ok(trainable);
    }
    let nested = own().filter(|held| block.paths().any(|path| nested(path, &held.place.path)));
    let nested: Vec<_> = nested.collect();
    if !nested.is_empty() && nested.len() <= block.paths().count() {
        return Ok(nested);
    }
    let own: Vec<_> = own().collect();
    if own.len() <= 1 {
        return Ok(own);
    }
    Err(ParamError::Ambiguous {
        block: block.name().to_string(),
        places: own.iter().map(|held| held.place.path.clone()).collect(),
    })
}

/// Whether one path is the other inside of an outer module.
fn nested(a: &str, b: &str) -> bool {
    let inside = |inner: &str, outer: &str| {
        outer.strip_suffix(inner).is_some_and(|before| before.ends_with('.'))
    };
    inside(a, b) || inside(b, a)
}
