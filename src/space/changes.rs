//! How a model differs from the one that a layout or a recording was made of, part by part.

use super::{
    ParamBlock, ParamError, ParamLayout,
    model::{FloatPlace, Training, blocks},
};
use std::{
    collections::{HashMap, HashSet},
    fmt::Write,
    sync::Arc,
};

/// Unchanged parts of a model are listed up to this number.
const MOST_ALIKE: usize = 12;

/// What is unchanged, and what is not.
#[derive(Default)]
pub(super) struct Changes {
    alike: Vec<String>,
    lines: String,
    changed: Vec<String>,
}

impl Changes {
    pub fn same(&mut self, path: &str) {
        self.alike.push(path.to_string());
    }

    pub fn differs(&mut self, path: &str, how: &str) {
        _ = write!(self.lines, "\n  ✗ `{path}` {how}");
        self.changed.push(path.to_string());
    }

    /// [`ParamError::Changed`] if anything has changed.
    pub fn finish(self) -> Result<(), ParamError> {
        if self.changed.is_empty() {
            return Ok(());
        }
        let mut report = String::new();
        for path in self.alike.iter().take(MOST_ALIKE) {
            _ = write!(report, "\n  ✓ `{path}`");
        }
        if let Some(others @ 1..) = self.alike.len().checked_sub(MOST_ALIKE) {
            _ = write!(report, "\n  ✓ {others} others");
        }
        report.push_str(&self.lines);
        Err(ParamError::Changed { changed: self.changed, report })
    }
}

impl ParamLayout {
    /// This layout in a model of the same architecture, with the identifiers of that model: the same parameters by path
    /// and shape, all of them trainable or on a device without autodiff, and no other one trainable.
    ///
    /// # Errors
    /// [`ParamError::Changed`] with what is unchanged and what is not.
    pub(crate) fn in_model(
        self: &Arc<Self>,
        places: &[FloatPlace],
    ) -> Result<Arc<Self>, ParamError> {
        let (mut changes, mut own) = (Changes::default(), Vec::new());
        let at: HashMap<_, _> =
            places.iter().map(|held| (held.place.path.as_str(), held)).collect();
        let paths: HashSet<_> = self.blocks().iter().flat_map(ParamBlock::paths).collect();
        for block in self.blocks() {
            let first = at.get(block.name()).copied();
            for path in block.paths() {
                let here = at.get(path).copied();
                match change(block, here, first) {
                    Some(how) => changes.differs(path, &how),
                    None => changes.same(path),
                }
            }
            own.extend(first.cloned());
        }
        for held in places.iter().filter(|held| held.training == Training::Trainable) {
            if !paths.contains(held.place.path.as_str()) {
                changes.differs(&held.place.path, "requires a gradient now, and did not");
            }
        }
        changes.finish()?;
        if own.iter().zip(self.blocks()).all(|(held, block)| block.id() == Some(held.place.id)) {
            return Ok(Arc::clone(self));
        }
        let found = places.iter().filter(|held| paths.contains(held.place.path.as_str()));
        let trained =
            found.cloned().map(|held| FloatPlace { training: Training::Trainable, ..held });
        let found = Self::from_blocks(blocks(&trained.collect::<Vec<_>>())?)?;
        // Parameters that were separate and now share an identifier, or the other way round.
        self.expect_shaped_alike(&found)?;
        Ok(found)
    }

    fn expect_shaped_alike(&self, found: &Self) -> Result<(), ParamError> {
        let mut changes = Changes::default();
        for block in self.blocks() {
            match found.blocks().iter().find(|other| other.name() == block.name()) {
                Some(other) if other.aliases() == block.aliases() => changes.same(block.name()),
                _ => changes.differs(block.name(), "is shared with other places now"),
            }
        }
        changes.finish()
    }
}

/// How a place of a block has changed.
fn change(
    block: &ParamBlock,
    here: Option<&FloatPlace>,
    first: Option<&FloatPlace>,
) -> Option<String> {
    let Some(here) = here else {
        return Some("is missing".into());
    };
    if here.shape != block.shape() {
        return Some(format!("has shape {:?} in place of {:?}", here.shape, block.shape()));
    }
    if here.training == Training::Frozen {
        return Some("is frozen now".into());
    }
    let shared = first.is_some_and(|first| first.place.id == here.place.id);
    if shared {
        None
    } else {
        Some(format!("no longer shares the parameter of `{}`", block.name()))
    }
}
