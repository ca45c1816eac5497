#![allow(clippy::unwrap_used, dead_code, unused_imports, deprecated)]
#[path = "support/failure.rs"]
mod failure;
#[path = "models/values/mod.rs"]
mod values;
