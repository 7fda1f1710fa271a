//! Values that must not be shown.
//!
//! [`Secret`] hides its text from `Debug`, has neither `Display` nor `Serialize`, and wipes it when dropped.

use std::fmt;

use zeroize::Zeroize;

/// A credential in memory. The only way to its text is [`Secret::expose`], which is easy to find in review.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes a credential into custody.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself. Never log, record or echo what this returns.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_shows_nothing_of_the_text() {
        assert_eq!(format!("{:?}", Secret::new("sk-live".to_owned())), "[secret]");
    }
}
