//! How a client names a prompt: `name@version` in a header, `{id, version}` in an OpenAI Responses body.
//!
//! A claim is only well-formed here; whether the prompt exists and is approved is `governance`'s question.

/// A prompt as a client names it: `support-triage@3`, or without a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptClaim {
    /// The name as sent; not trusted, not recorded unless the registry knows it.
    pub name: String,
    /// The version, when one was named.
    pub version: Option<u32>,
}

impl PromptClaim {
    /// A claim of a well-formed name (`[A-Za-z0-9._:/-]{1,128}`) and version (a decimal number without leading
    /// zeros); `None` otherwise.
    pub(crate) fn new(name: &str, version: Option<&str>) -> Option<Self> {
        let version = match version {
            None => None,
            Some(digits) => Some(decimal(digits)?),
        };
        let good = crate::id::is_plain_name(name) && !name.contains('@');
        good.then(|| Self { name: name.to_owned(), version })
    }

    /// Reads `name` or `name@version`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.split_once('@') {
            Some((name, version)) => Self::new(name, Some(version)),
            None => Self::new(text, None),
        }
    }
}

fn decimal(digits: &str) -> Option<u32> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !(digits.len() > 1 && digits.starts_with('0'));
    if plain { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::PromptClaim;

    #[test]
    fn a_claim_is_a_name_with_or_without_a_version() {
        let claim = |text| PromptClaim::parse(text).map(|claim| (claim.name, claim.version));
        assert_eq!(claim("support-triage@3"), Some(("support-triage".to_owned(), Some(3))));
        assert_eq!(claim("support-triage"), Some(("support-triage".to_owned(), None)));
        for bad in
            ["", "@3", "a@", "a@03", "a@+3", "a@3@4", "a@-1", "a@4294967296", "a b@1", "a@1 ", " a@1", "\u{e4}@1"]
        {
            assert_eq!(claim(bad), None, "{bad:?}");
        }
    }
}
