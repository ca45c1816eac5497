//! The structure of `src/`: rooms stand on floors, and a room imports from floors below its own only. And what the guide must list.
//!
//! The table of floors is in the documentation of the crate (`src/lib.rs`); the imports are the `use crate::…` lines and
//! every path that starts with `crate::`.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Floor of each room, from the rows `| floor | rooms | … |` of the crate's documentation.
fn floors() -> BTreeMap<String, usize> {
    let text = fs::read_to_string(source().join("lib.rs")).unwrap();
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("//! | ")?.split(" | ");
        let floor: usize = cells.next()?.trim().parse().ok()?;
        Some((floor, cells.next()?.to_string()))
    });
    let mut floors = BTreeMap::new();
    for (floor, rooms) in rows {
        for room in rooms.split('`').skip(1).step_by(2) {
            assert!(floors.insert(room.to_string(), floor).is_none(), "`{room}` is listed twice");
        }
    }
    assert!(floors.len() > 10, "the table of floors was not found in src/lib.rs: {floors:?}");
    floors
}

/// Every `.rs` file below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The first segments after `crate::` in a text without comments: `crate::a::B` and `crate::{a::B, c::{D, E}}`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => found.extend(name(rest)),
            Some(list) => {
                let mut depth = 0;
                let mut start = true;
                for (position, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        _ if start && depth == 0 && !c.is_whitespace() => {
                            found.extend(name(&list[position..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found
}

fn name(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_string())
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code));
    lines.collect::<Vec<_>>().join("\n")
}

/// Room, file and imports of every file below `src/`, the tests of rooms left out.
fn rooms() -> Vec<(String, String, BTreeSet<String>)> {
    let mut found = Vec::new();
    files(&source(), &mut found);
    let inside = found.into_iter().filter_map(|path| {
        let relative = path.strip_prefix(source()).unwrap().to_string_lossy().into_owned();
        let test = relative.split('/').any(|part| part == "tests" || part == "tests.rs");
        if test || relative == "lib.rs" {
            return None;
        }
        let room = relative.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        let imports = imports(&without_comments(&fs::read_to_string(&path).unwrap()));
        Some((room.to_string(), relative.clone(), imports))
    });
    inside.collect()
}

#[test]
fn no_import_runs_up_and_none_is_from_the_root() {
    let floors = floors();
    let mut wrong = Vec::new();
    for (room, file, imports) in rooms() {
        let Some(floor) = floors.get(&room) else {
            wrong.push(format!("{file}: the room `{room}` has no floor in the table"));
            continue;
        };
        for import in imports.iter().filter(|import| **import != room) {
            match floors.get(import) {
                None => wrong.push(format!("{file} imports `crate::{import}`, which is no room")),
                Some(below) if below >= floor => wrong.push(format!(
                    "{file} (floor {floor}) imports from `{import}` (floor {below}), which is not below"
                )),
                Some(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{} imports against the floors:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_room_of_the_table_exists() {
    let rooms: BTreeSet<String> = rooms().into_iter().map(|(room, ..)| room).collect();
    for room in floors().keys() {
        assert!(rooms.contains(room), "the table of floors names `{room}`, which is not in src/");
    }
}

/// Programs take a function from this crate rather than compile it again only if it is never inlined.
#[test]
fn what_is_compiled_with_this_crate_is_never_inlined() {
    let mut paths = Vec::new();
    files(&source(), &mut paths);
    let text: String = paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let list = fs::read_to_string(source().join("compiled.rs")).unwrap();
    let blocks = list.split("addresses! {").skip(1).filter_map(|rest| rest.split_once("};"));
    let words = blocks.flat_map(|(block, _)| block.split_whitespace());
    let names = words.filter(|word| !word.ends_with(':')).map(|name| name.trim_end_matches(';'));
    let names: BTreeSet<_> = names.map(|name| name.trim_end_matches("::<B>")).collect();
    assert!(names.len() > 50, "the functions were not found in src/compiled.rs: {names:?}");
    let inlined = names.iter().filter(|name| {
        let heads = ["(", "<"].map(|after| format!("#[inline(never)]\n    pub fn {name}{after}"));
        !heads.iter().any(|head| text.contains(head))
    });
    assert_eq!(inlined.collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn imports_are_found_in_all_forms() {
    let code =
        "use crate::{a::B, c::{D, e::F}, g};\nlet x = crate::h::I; mycrate::j; $crate::k::l!()";
    let expected = ["a", "c", "g", "h", "k"].map(String::from);
    assert_eq!(imports(code), BTreeSet::from(expected));
    assert_eq!(without_comments("a // crate::b\nc"), "a \nc");
}

/// The variants of a public enum among some sources, those that only pass another error on left out.
fn variants(name: &str, sources: &[String]) -> Vec<String> {
    let start = format!("pub enum {name} {{\n");
    let Some(body) = sources.iter().find_map(|text| text.split_once(&start)) else {
        return Vec::new();
    };
    let (mut found, mut passes_on) = (Vec::new(), false);
    for line in body.1.lines().take_while(|line| *line != "}") {
        passes_on |= line.contains("#[error(transparent)]");
        let variant = line.strip_prefix("    ").filter(|l| l.starts_with(char::is_uppercase));
        if let Some(variant) = variant {
            let end = variant.find(|c: char| !c.is_alphanumeric()).unwrap_or(variant.len());
            if !passes_on {
                found.push(variant[..end].to_string());
            }
            passes_on = false;
        }
    }
    found
}

/// The names of the kinds of errors, from the list in `burn_curvature::errors`.
fn errors() -> Vec<String> {
    let root = fs::read_to_string(source().join("lib.rs")).unwrap();
    let listed = root.split_once("pub mod errors {").unwrap().1.split_once("\n}").unwrap().0;
    let words = listed.split(|c: char| !c.is_alphanumeric());
    let names: Vec<_> = words.filter(|word| word.ends_with("Error")).map(String::from).collect();
    assert!(names.len() > 20, "{names:?}");
    names
}

/// The text of every file of `src/`, the tests of rooms left out.
fn sources() -> Vec<String> {
    let mut paths = Vec::new();
    files(&source(), &mut paths);
    let is_test = |path: &Path| path.iter().any(|part| part == "tests" || part == "tests.rs");
    paths.retain(|path| !is_test(path));
    paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// Each error of `burn_curvature::errors` with its cause and cure.
#[test]
fn the_guide_lists_every_error() {
    let sources = sources();
    let page = fs::read_to_string(source().join("../docs/guide/errors.md")).unwrap();
    // What the backend and the program say of each other is no fault of a caller; the page asks to report it.
    let internal = ["ExecuteError", "GraphError"];
    let mut missing = Vec::new();
    let mut count = 0;
    for name in errors().iter().filter(|name| !internal.contains(&name.as_str())) {
        assert!(page.contains(name), "{name}");
        let all = variants(name, &sources);
        count += all.len();
        missing.extend(all.into_iter().filter(|variant| !page.contains(&format!("`{variant}`"))));
    }
    assert!(count > 150, "{count} variants");
    assert!(missing.is_empty(), "docs/guide/errors.md says nothing of {missing:?}");
}

/// New kinds of errors break nobody's code, and there is none that nothing raises.
#[test]
fn errors_can_grow_and_all_of_them_are_raised() {
    let sources = sources();
    let code: String = sources.iter().map(|text| without_comments(text)).collect();
    let mut unused = Vec::new();
    for name in errors() {
        let Some(text) = sources.iter().find(|text| text.contains(&format!("pub enum {name} {{")))
        else {
            continue; // a single kind: a struct
        };
        assert!(
            text.contains(&format!("#[non_exhaustive]\npub enum {name} {{")),
            "{name} is exhaustive"
        );
        let own = without_comments(text);
        let is_raised = |variant: &String| {
            code.contains(&format!("{name}::{variant}"))
                || own.contains(&format!("Self::{variant}"))
        };
        unused.extend(variants(&name, &sources).into_iter().filter(|one| !is_raised(one)));
    }
    assert!(unused.is_empty(), "nothing raises {unused:?}");
}
