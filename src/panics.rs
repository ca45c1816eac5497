//! Panics of Burn and of a user's closure, caught and turned into messages. Depends on no room.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook},
    path::Path,
    sync::Once,
};

thread_local! {
    /// How many calls of [`caught`] this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Where the last caught panic of this thread happened.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `body`. A panic in it becomes its message, with the place if that is in the caller's own code, and is not printed.
///
/// The first call adds a hook to the process, in front of the hook that was there: it stays silent for panics that are
/// caught here and passes all others on.
pub(crate) fn caught<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    let (mut body, mut result) = (Some(body), None);
    run(&mut || result = body.take().map(|body| body()))?;
    result.ok_or_else(|| "it did not run".into())
}

fn run(body: &mut dyn FnMut()) -> Result<(), String> {
    static HOOK: Once = Once::new();
    if !std::thread::panicking() {
        HOOK.call_once(|| {
            let previous = take_hook();
            set_hook(Box::new(move |info| {
                if DEPTH.get() == 0 { previous(info) } else { PLACE.set(place(info)) }
            }));
        });
    }
    let _inside = Inside::enter();
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| message(payload.as_ref()))
}

/// Counts a call of [`caught`] while it lasts.
struct Inside;

impl Inside {
    fn enter() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_else(|| "a panic without a message".into());
    match PLACE.take() {
        Some(place) => format!("{text} (at {place})"),
        None => text,
    }
}

/// File and line, for files of the program itself: those of dependencies have absolute paths.
fn place(info: &PanicHookInfo<'_>) -> Option<String> {
    let location = info.location()?;
    let own = Path::new(location.file()).is_relative();
    own.then(|| format!("{}:{}", location.file(), location.line()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::process::Command;

    use super::caught;

    #[test]
    fn a_caught_panic_is_a_message_with_its_place() {
        assert_eq!(caught(|| 3), Ok(3));
        let found = caught(|| panic!("no {}", "number")).map(|(): ()| ()).unwrap_err();
        assert!(found.starts_with("no number (at src/panics.rs:"), "{found}");
    }

    /// Run by the next test in a process of its own.
    #[test]
    #[ignore = "prints a panic"]
    fn child() {
        let inner = caught(|| caught(|| panic!("caught")).map(|(): ()| ()));
        assert!(matches!(inner, Ok(Err(_))));
        panic!("not caught");
    }

    #[test]
    fn caught_panics_are_not_printed_and_others_are() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let child = "panics::tests::child";
        let output = command.args([child, "--exact", "--ignored", "--nocapture"]).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(printed.contains("not caught"), "{printed}");
        assert_eq!(printed.matches("caught").count(), 1, "{printed}");
    }
}
