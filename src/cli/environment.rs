//! The one place of the command line that reads the process environment.

/// An environment variable, when it is set to text.
#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// All variables that are text.
pub(super) fn all() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
