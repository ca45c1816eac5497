//! A readable listing of a program, and a Graphviz drawing of it.

use std::fmt::{self, Display, Formatter, Write};

use super::{Graph, Node, ValueId};

impl Display for ValueId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.index())
    }
}

impl Graph {
    fn typed(&self, ids: &[ValueId]) -> String {
        let list: Vec<String> = ids.iter().map(|&id| format!("{id}: {}", self.value(id))).collect();
        list.join(", ")
    }

    fn listing_line(&self, node: &Node) -> String {
        let inputs: Vec<String> = node.inputs.iter().map(ToString::to_string).collect();
        format!("  {} = {:?}({})", self.typed(&node.outputs), node.op, inputs.join(", "))
    }

    /// The program as a Graphviz digraph: `dot -Tsvg` draws it.
    pub fn to_dot(&self) -> String {
        let mut dot = String::from(
            "digraph program {\n  rankdir=TB; node [shape=box, fontname=\"monospace\"];\n",
        );
        let mut line = |text: String| {
            dot.push_str("  ");
            dot.push_str(&text);
            dot.push('\n');
        };
        for &id in &self.inputs {
            line(format!(
                "v{} [label=\"input {id}\\n{}\", shape=ellipse];",
                id.index(),
                self.value(id)
            ));
        }
        for constant in &self.constants {
            let id = constant.value;
            line(format!(
                "v{} [label=\"constant\\n{}\", style=dashed];",
                id.index(),
                self.value(id)
            ));
        }
        for (index, node) in self.nodes.iter().enumerate() {
            line(format!("n{index} [label=\"{}\"];", node.op.name()));
            for input in &node.inputs {
                line(format!("{} -> n{index};", self.dot_source(*input)));
            }
        }
        for (position, &id) in self.outputs.iter().enumerate() {
            line(format!(
                "o{position} [label=\"output {position}\\n{}\", shape=ellipse];",
                self.value(id)
            ));
            line(format!("{} -> o{position};", self.dot_source(id)));
        }
        dot.push_str("}\n");
        dot
    }

    fn dot_source(&self, id: ValueId) -> String {
        match self.nodes.iter().position(|node| node.outputs.contains(&id)) {
            Some(index) => format!("n{index}"),
            None => format!("v{}", id.index()),
        }
    }
}

impl Display for Graph {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        writeln!(text, "program({}) {{", self.typed(&self.inputs))?;
        if !self.one_by_one.is_empty() {
            writeln!(text, "  // one vector after another: {}", self.one_by_one.join(", "))?;
        }
        for constant in &self.constants {
            writeln!(text, "  {}: {} = constant", constant.value, self.value(constant.value))?;
        }
        for node in &self.nodes {
            writeln!(text, "{}", self.listing_line(node))?;
        }
        let outputs: Vec<String> = self.outputs.iter().map(ToString::to_string).collect();
        writeln!(text, "  return {}", outputs.join(", "))?;
        text.push('}');
        f.write_str(&text)
    }
}
