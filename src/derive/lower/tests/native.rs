//! Which of Burn's own rules are wrong: the same table without lowerings. A report, not a test.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{check::check_native, table};

#[test]
#[ignore = "a report: run with --ignored --nocapture"]
#[allow(clippy::print_stdout)]
fn rules_of_burn_that_fail() {
    std::panic::set_hook(Box::new(|_| {}));
    for case in table() {
        let outcome = catch_unwind(AssertUnwindSafe(|| check_native(&case)));
        match outcome {
            Ok(failures) => failures.iter().for_each(|failure| println!("{failure}")),
            Err(payload) => {
                let text = payload.downcast_ref::<String>().cloned();
                let text =
                    text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_string()));
                println!("{}: panics: {}", case.name, text.unwrap_or_default().replace('\n', " "));
            }
        }
    }
}
