//! Collects the trainable parameters of a module.

use std::collections::HashMap;

use burn::{
    Tensor,
    module::{ModuleVisitor, Param, ParamId},
};

use super::super::{ParamBlock, ParamError};

/// Collects the blocks of a layout.
#[derive(Default)]
pub(super) struct LayoutCollector {
    path: Vec<String>,
    pub(super) blocks: Vec<ParamBlock>,
    positions: HashMap<ParamId, usize>,
    pub(super) plain: usize,
    pub(super) frozen: usize,
    pub(super) failure: Option<ParamError>,
}

impl LayoutCollector {
    fn take(&mut self, id: ParamId, shape: Vec<usize>) {
        let name = self.path.join(".");
        let known = self.positions.get(&id).copied();
        match known.and_then(|position| self.blocks.get_mut(position)) {
            Some(block) if block.shape == shape => block.aliases.push(name),
            Some(block) => {
                self.failure.get_or_insert(ParamError::SharedShape {
                    block: block.name.clone(),
                    alias: name,
                    expected: block.shape.clone(),
                    found: shape,
                });
            }
            None => {
                self.positions.insert(id, self.blocks.len());
                self.blocks.push(ParamBlock {
                    name,
                    aliases: Vec::new(),
                    id: Some(id),
                    shape,
                    offset: 0,
                });
            }
        }
    }
}

impl ModuleVisitor for LayoutCollector {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val(); // Initializes what was lazy.
        if !tensor.is_autodiff() {
            self.plain += 1;
        } else if !tensor.is_require_grad() {
            self.frozen += 1;
        } else {
            self.take(param.id, tensor.dims().to_vec());
        }
    }
}
