//! The files of the demo, inside the binary: the shipped policies and a bootstrap config whose upstreams are the
//! simulated LLM.

use std::io;
use std::path::Path;

/// The bootstrap config; `${SIMULATOR}` is where the simulated LLM listens.
pub(super) const CONFIG: &str = "\
listen: 127.0.0.1:0
admin: 127.0.0.1:0
state: ./var
policies: ./policies
trust: none
upstreams:
  openai: {url: '${SIMULATOR}', api_key: '${UPSTREAM_KEY}'}
  anthropic: {url: '${SIMULATOR}', api_key: '${UPSTREAM_KEY}', breaker: {failures: 3, open_for: 30s}}
";

macro_rules! files {
    ($($path:literal),+ $(,)?) => {
        /// The shipped policy files, by path below `policies/`.
        pub(super) const POLICIES: &[(&str, &str)] = &[
            $(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/policies/", $path)))),+
        ];
    };
}

files![
    "models/claude-sonnet-4-5.yaml",
    "models/gpt-3.5-turbo.yaml",
    "models/gpt-4o-mini.yaml",
    "models/gpt-4o.yaml",
    "models/text-embedding-3-small.yaml",
    "organizations/acme-bank.yaml",
    "people.yaml",
    "prompts/support-triage/1.yaml",
    "prompts/support-triage/2.yaml",
    "prompts/support-triage/3.yaml",
    "risk/default.yaml",
    "rules/base.yaml",
    "tenants/acme.yaml",
    "tenants/globex.yaml",
];

/// Writes the demo's directory.
pub(super) fn write(directory: &Path) -> io::Result<()> {
    for (path, text) in POLICIES {
        let file = directory.join("policies").join(path);
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(file, text)?;
    }
    std::fs::write(directory.join("portcullis.yaml"), CONFIG)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::POLICIES;

    fn files_below(directory: &Path, root: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files_below(&path, root, found);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }

    #[test]
    fn every_shipped_policy_file_is_in_the_binary() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        let mut shipped = BTreeSet::new();
        files_below(&root, &root, &mut shipped);
        assert_eq!(shipped, POLICIES.iter().map(|(path, _)| PathBuf::from(path)).collect());
    }
}
